"""Adapter tags: `<lora:name>`, `<lora:name:both>`, `<lora:name:te:unet:dyn>`, or by name; lyco is the same.

By name there are te, unet, dyn (AUTOMATIC1111's WebUI), hr, hrte, hrunet and weights over the steps such as
`0@0,1@0.5` (its extension sd-webui-loractl), lbw, start, stop and step (sd-webui-lora-block-weight).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import BadRequest
from ..strength import LAYOUTS, PRESETS, Curve, shortest
from ..types import AdapterUse

_KINDS = ("lora", "lyco")
_PLACES = ("te", "unet", "dyn")
_NUMBER = re.compile(r"\s*+[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+\s*+")
_RANDOM = ("R", "U", "X")  # how the extension spells weights that it throws dice for
_LONGEST = 60  # characters of a tag that a sentence repeats


class _BadTag(Exception):
    """Why a tag cannot be used."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`<kind:arg:arg>` at text[start:end]."""

    kind: str
    args: tuple[str, ...]
    start: int
    end: int

    def __str__(self) -> str:
        return shortened(f"<{self.kind}:{':'.join(self.args)}>")

    def use(self) -> AdapterUse:
        """The adapter it asks for. Raises _BadTag."""
        if self.kind.lower() not in _KINDS:
            raise _BadTag(f"{self.kind!r} is no kind of adapter; there are lora and lyco.")
        name = self.args[0].strip()
        if not name:
            raise _BadTag("it names no adapter.")
        return _use(name, _arguments(self.args[1:]))


def find_tags(text: str) -> Iterator[Tag]:
    """Every tag, from left to right; a tag ends at the first ">" and may hold anything else."""
    at = text.find("<")
    while at >= 0:
        colon = at + 1
        while colon < len(text) and _is_word(text[colon]):
            colon += 1
        if colon == at + 1 or not text.startswith(":", colon):
            at = text.find("<", colon)
            continue
        end = text.find(">", colon) + 1
        if not end:
            return
        yield Tag(text[at + 1 : colon], tuple(text[colon + 1 : end - 1].split(":")), at, end)
        at = text.find("<", end)


def without_tags(text: str, tags: list[Tag]) -> str:
    """The text with each tag cut out, and no more space around the hole than there was on one side of it."""
    if not tags:
        return text
    kept = ""
    starts = [0, *(tag.end for tag in tags)]
    ends = [*(tag.start for tag in tags), len(text)]
    pieces: list[str] = []
    for start, end in zip(starts, ends, strict=True):
        piece = text[start:end]
        if start and (not kept or kept[-1] == " "):
            piece = piece.lstrip(" ")
        if end < len(text) and _may_begin_tag(piece):
            piece += " "  # or what follows the hole would become a tag that nobody wrote
        kept = piece or kept
        pieces.append(piece)
    joined = "".join(pieces)
    return joined.rstrip(" ") if tags[-1].end == len(text.rstrip(" ")) else joined


def adapters_of(tags: list[Tag]) -> tuple[tuple[AdapterUse, ...], tuple[str, ...]]:
    """The adapters the tags ask for, each once, and a sentence for each tag that cannot be used."""
    mix: dict[str, AdapterUse] = {}
    errors: list[str] = []
    for tag in tags:
        try:
            use = tag.use()
            old = mix.get(key(use))
            mix[key(use)] = old.plus(use) if old else use
        except (_BadTag, BadRequest) as error:
            errors.append(f"{tag} at character {tag.start + 1} is left out: {error}")
    return tuple(mix.values()), tuple(errors)


def key(use: AdapterUse) -> str:
    """What makes two uses the same adapter: the name, upper and lower case alike."""
    return use.name.casefold()


def written(use: AdapterUse) -> str:
    """The tag that asks for this adapter. What a tag cannot hold is left out of the name."""
    name = use.name.translate({ord(sign): None for sign in ":>"}).strip()
    unet = _curve_written(use.curve or ((use.weight, 0.0),))
    text = _curve_written(use.text_curve or ((use.text_weight, 0.0),))
    weights = [unet] if unet == text else [text, unet]
    return f"<lora:{':'.join((name, *weights, *_named(use)))}>"


def shortened(text: str) -> str:
    """The text, as much of it as a sentence repeats."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _named(use: AdapterUse) -> Iterator[str]:
    """The arguments that are only written where they are needed."""
    if use.rank is not None:
        yield f"dyn={use.rank}"
    if use.hires and use.hires == use.hires_te:
        yield f"hr={_curve_written(use.hires)}"
    else:
        yield from (f"{k}={_curve_written(v)}" for k, v in (("hrte", use.hires_te), ("hrunet", use.hires)) if v)
    if use.blocks:
        yield f"lbw={','.join(map(_short, shortest(use.blocks)))}"
    yield from (f"{k}={_short(v)}" for k, v in (("start", use.start), ("stop", use.stop)) if v is not None)


def _curve_written(curve: Curve) -> str:
    if len(curve) == 1:
        return _short(curve[0][0])
    return ",".join(f"{_short(weight)}@{_short(place)}" for weight, place in curve)


def _use(name: str, given: dict[str, Any]) -> AdapterUse:
    """As the extensions have it: the UNet's weight is the text encoders' unless given, and hr stands for both."""
    text: Curve = given.get("te", ((1.0, 0.0),))
    unet: Curve = given.get("unet", text)
    start, stop = given.get("step", (given.get("start"), given.get("stop")))
    if "step" in given and {"start", "stop"} & given.keys():
        raise _BadTag("step already says where it starts and stops.")
    return AdapterUse(
        name,
        weight=unet[0][0],
        te_weight=text[0][0],
        curve=unet if len(unet) > 1 else (),
        te_curve=text if len(text) > 1 else (),
        hires=given.get("hrunet", given.get("hr", ())),
        hires_te=given.get("hrte", given.get("hr", ())),
        blocks=given.get("lbw", ()),
        rank=given.get("dyn"),
        start=start,
        stop=stop,
    )


def _arguments(args: tuple[str, ...]) -> dict[str, Any]:
    """What the arguments give, by place, then by name, which counts more."""
    placed: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for arg in args:
        key, equals, value = arg.partition("=")
        key = key.strip().lower()
        if not equals:
            if len(placed) == len(_PLACES):
                raise _BadTag(f"a fourth number ({arg.strip()[:_LONGEST]}) means nothing.")
            key = _PLACES[len(placed)]
            placed[key] = _READERS[key](arg)
        elif key in named:
            raise _BadTag(f"{key} is given twice.")
        elif key in _READERS:
            named[key] = _READERS[key](value)
        else:
            raise _BadTag(_REFUSED.get(key, f"{key!r} is no argument; there are {', '.join(_READERS)}."))
    return placed | named


def _curve(text: str) -> Curve:
    """`0.5`, or weights with their places, `0@0,1@0.5`; the place of a later one without is 1."""
    if "@" not in text:
        return ((_number(text), 0.0),)
    points = []
    for number, point in enumerate(text.replace(";", ",").split(",")):
        weight, at, place = point.partition("@")
        if not at and not number:
            raise _BadTag(f"the first of several weights needs its place, such as {weight.strip()[:_LONGEST]}@0.")
        points.append((_number(weight), _number(place) if at else 1.0))
    return tuple(points)


def _blocks(text: str) -> tuple[float, ...]:
    """The name of a preset, or weights of 12, 17, 20 or 26 blocks."""
    preset = PRESETS.get(text.strip().upper())
    if preset is not None:
        return preset
    weights = text.split(",")
    if any(weight.strip().upper().startswith(_RANDOM) for weight in weights) and len(weights) > 1:
        raise _BadTag("random block weights (R, U, X) could not be drawn again; write numbers.")
    if len(weights) not in LAYOUTS:
        lengths = ", ".join(map(str, LAYOUTS))
        raise _BadTag(
            f"lbw={text.strip()[:_LONGEST]} is neither one of {', '.join(PRESETS)} nor a list of {lengths} numbers."
        )
    return tuple(map(_number, weights))


def _range(text: str) -> tuple[float, float]:
    start, dash, stop = text.partition("-")
    if not dash:
        raise _BadTag(f"step={text.strip()[:_LONGEST]} is no range; write step=5-10.")
    return _number(start), _number(stop)


def _whole(text: str) -> int:
    number = _number(text)
    if number != int(number) or number < 1:
        raise _BadTag(f"a dynamic rank (dyn) of {text.strip()[:_LONGEST]}; it is a whole number from 1 on.")
    return int(number)


def _number(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise _BadTag(f"{text.strip()[:_LONGEST]!r} is not a number.")
    return number


_READERS: dict[str, Callable[[str], Any]] = {
    "te": _curve,
    "unet": _curve,
    "dyn": _whole,
    "hr": _curve,
    "hrte": _curve,
    "hrunet": _curve,
    "lbw": _blocks,
    "start": _number,
    "stop": _number,
    "step": _range,
}
_REFUSED = {
    "lbwe": "weights of single elements (lbwe) are not supported; blocks have weights (lbw).",
    "x": "random block weights (x) could not be drawn again; write numbers.",
}


def _short(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _may_begin_tag(text: str) -> bool:
    _, sign, word = text.rpartition("<")
    return bool(sign) and all(map(_is_word, word))
