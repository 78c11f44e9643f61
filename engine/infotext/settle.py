"""From what a tool says to what Loraloom can do: a Request, and a note for all that is missing or was replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import BadRequest
from ..prompt import parse_prompt
from ..types import MAX_ADAPTERS, MAX_PROMPT, MAX_SEED, MAX_SIDE, MAX_STEPS, SCHEDULES, AdapterUse, Hires, Request
from .facts import Facts, Lora
from .names import known_sampler, near_sampler
from .write import plain

_MIN_SIDE = 64
_SHOWN = 60  # characters of a foreign name that a note repeats


@dataclass(frozen=True, slots=True)
class Reading:
    """What a picture says of how it was made.

    `request` draws it again as nearly as we can; `notes` name all that is missing or was replaced, a sentence each.
    `hashes` gives the beginning of a SHA-256, of the file or of its tensors, by the name of an adapter or an embedding.
    `fields` are the named values as they were written. Names of models and adapters are those of the source.
    """

    source: str
    request: Request
    notes: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


def settle(facts: Facts) -> Reading:
    """The Reading of the facts. Never raises: what a Request does not take is replaced, and noted."""
    notes = list(facts.notes)
    prompt, uses = _mix(facts, notes)
    request = Request(
        prompt=_cut(prompt, "prompt", notes), negative=_cut(facts.negative, "negative prompt", notes), adapters=uses
    )
    request = _sampled(request, facts, notes)
    request = _sized(request, facts, notes)
    changed = facts.strength if facts.hires_scale is None or facts.hires_strength is not None else None
    changes = {
        "model": facts.model or None,
        "vae": facts.vae or None,
        "steps": facts.steps and min(facts.steps, MAX_STEPS),
        "cfg": facts.cfg,
        # PyTorch's CPU generator looks at the lowest 32 bits only, so a longer seed (ComfyUI's) draws the same noise
        "seed": facts.seed if facts.seed is None or facts.seed < 0 else facts.seed & MAX_SEED,
        "clip_skip": facts.clip_skip,
        "noise": facts.noise or None,
        "eta": facts.eta,
        "ensd": facts.ensd,
        "mask_blur": facts.mask_blur,
        "variation_seed": facts.variation_seed,
        "variation_strength": facts.variation_strength,
        "cfg_rescale": facts.cfg_rescale,
        "emphasis": facts.emphasis or None,
        "strength": changed,
    }
    if facts.steps is not None and facts.steps > MAX_STEPS:
        notes.append(f"{facts.steps} steps are more than is possible here: {MAX_STEPS} instead.")
    for name, value in changes.items():
        if value is not None:
            request = _put(request, notes, name, value)
    request = _hires(request, facts, notes)
    if changed is not None:
        notes.append("It was made from another picture, which is not in the metadata; without it the result differs.")
    hashes = facts.hashes | {lora.name: lora.hash for lora in facts.loras if lora.hash}
    known = {plain(name): digest.removeprefix("0x").lower() for name, digest in hashes.items()}
    named = {use.name: known.pop(plain(use.name)) for use in request.adapters if plain(use.name) in known}
    return Reading(facts.source, request, tuple(dict.fromkeys(notes)), facts.fields, named | known)


def _mix(facts: Facts, notes: list[str]) -> tuple[str, tuple[AdapterUse, ...]]:
    """The prompt without tags, and the adapters that it and the tool name, each once."""
    parsed = parse_prompt(facts.prompt)
    notes.extend(parsed.errors)
    uses = {use.name.casefold(): use for use in parsed.adapters}
    for lora in facts.loras:
        if lora.name and lora.name.casefold() not in uses:
            uses[lora.name.casefold()] = _use(lora, notes)
    if len(uses) > MAX_ADAPTERS:
        left = ", ".join(use.name[:_SHOWN] for use in list(uses.values())[MAX_ADAPTERS : MAX_ADAPTERS + 5])
        notes.append(f"It has {len(uses)} adapters and {MAX_ADAPTERS} are possible; left out: {left}.")
    return parsed.text, tuple(uses.values())[:MAX_ADAPTERS]


def _use(lora: Lora, notes: list[str]) -> AdapterUse:
    te_weight = None if lora.te_weight == lora.weight else lora.te_weight
    try:
        return AdapterUse(lora.name, lora.weight, te_weight)
    except BadRequest as error:
        notes.append(f"{error} It is taken as 1.")
        return AdapterUse(lora.name)


def _cut(text: str, what: str, notes: list[str]) -> str:
    if len(text) > MAX_PROMPT:
        notes.append(f"The {what} has {len(text)} characters; it is cut to {MAX_PROMPT}.")
    return text[:MAX_PROMPT]


def _sampled(request: Request, facts: Facts, notes: list[str]) -> Request:
    """With the sampler and schedule, or with those that come near."""
    if not facts.sampler:
        return request
    schedule = facts.schedule
    if schedule not in ("", *SCHEDULES):
        notes.append(f"The schedule {schedule[:_SHOWN]!r} is not here: the sampler's own instead.")
        schedule = ""
    named = known_sampler(facts.sampler, schedule)
    if named is None:
        other = near_sampler(facts.sampler)
        notes.append(f"The sampler {facts.sampler[:_SHOWN]!r} is not here: {other} instead.")
        named = known_sampler(other, schedule) or (request.sampler, "")
    try:
        return replace(request, sampler=named[0], schedule=named[1])
    except BadRequest as error:
        notes.append(f"{error} {request.sampler} instead.")
        return request


def _sized(request: Request, facts: Facts, notes: list[str]) -> Request:
    """With a size that is possible: sides of multiples of 8, both made smaller alike where one is too long."""
    if facts.width is None or facts.height is None or min(facts.width, facts.height) <= 0:
        return request
    shrink = min(1.0, MAX_SIDE / max(facts.width, facts.height))
    width, height = (max(_MIN_SIDE, round(side * shrink / 8) * 8) for side in (facts.width, facts.height))
    if (width, height) != (facts.width, facts.height):
        notes.append(f"{facts.width}x{facts.height} pixels are not possible here: {width}x{height} instead.")
    return replace(request, width=width, height=height)


def _hires(request: Request, facts: Facts, notes: list[str]) -> Request:
    if facts.hires_scale is None:
        return request
    usual = Hires()
    strength = facts.strength if facts.hires_strength is None else facts.hires_strength
    wanted = {
        "scale": facts.hires_scale,
        "strength": usual.strength if strength is None else strength,
        "steps": facts.hires_steps or 0,
    }
    try:
        hires = Hires(**wanted)  # type: ignore[arg-type]  # the names are its own
    except BadRequest as error:
        notes.append(f"{error} Hires fix is left out.")
        return request
    if facts.hires_upscaler:
        try:
            hires = replace(hires, upscaler=facts.hires_upscaler)
        except BadRequest:
            notes.append(f"The upscaler {facts.hires_upscaler[:_SHOWN]!r} is not here: {hires.upscaler} instead.")
    return _put(request, notes, "hires", hires)


def _put(request: Request, notes: list[str], name: str, value: object) -> Request:
    """The request with one value changed, or as it was, with a note why."""
    try:
        return replace(request, **{name: value})  # type: ignore[arg-type]  # the name is one of its fields
    except BadRequest as error:
        usual = getattr(request, name)
        notes.append(f"{error} {'It is left open' if usual is None else f'{_told(usual)} instead'}.")
        return request


def _told(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)
