"""AUTOMATIC1111's WebUI and all that write as it does: Forge, SD.Next, Fooocus (its scheme a1111), Civitai."""

from __future__ import annotations

import re

from ..errors import MetadataUnreadable
from .facts import Facts, Lora, decimal, items, read_json, text, whole
from .grammar import Infotext, pairs, parse
from .names import split_name, webui_sampler, webui_schedule
from .write import HIRES_STRENGTH, VERSION

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_RESCALE = ("CFG Rescale", "CFG Rescale φ", "CFG Rescale phi", "CFG rescale")
_NOTHING = ("", "none", "automatic", "baked vae", "default (model)")
UNKNOWN = {
    "Refiner": "a refiner",
    "Seed resize from": "a resized seed",
    "Face restoration": "face restoration",
    "Token merging ratio": "token merging",
    "Hypernet": "a hypernetwork",
    "ControlNet 0": "ControlNet",
    "ControlNet": "ControlNet",
    "ADetailer model": "ADetailer",
    "FreeU Stages": "FreeU",
    "Tiling": "tiling",
    "NGMS": "skipped guidance (NGMS)",
    "Regional Prompter": "regional prompts",
    "Dynamic thresholding enabled": "dynamic thresholding",
    "Hires sampler": "another sampler for hires fix",
    "Hires checkpoint": "another model for hires fix",
    "Hires prompt": "another prompt for hires fix",
    "Hires negative prompt": "another negative prompt for hires fix",
    "Styles": "styles that are not in the text",
}
"""What the picture was made with besides, and we do not have."""


def read_webui(written: str, source: str = "") -> Facts | None:
    """The facts of a text in the WebUI's form; None if it has no line of values."""
    parts = parse(written)
    if not parts.fields:
        return None
    fields = dict(parts.fields)
    source = source or _source(fields)
    fooocus = source == "Fooocus"
    facts = Facts(source=source, prompt=parts.prompt, negative=parts.negative, fields=fields)
    _sampling(facts, fields)
    facts.model = "" if fields.get("Model", "").casefold() in _NOTHING else fields["Model"]
    facts.vae = "" if fields.get("VAE", "").casefold() in _NOTHING else fields["VAE"]
    if size := _SIZE.fullmatch(fields.get("Size", "")):
        facts.width, facts.height = int(size[1]), int(size[2])
    facts.clip_skip = whole(fields.get("Clip skip"))
    facts.strength = decimal(fields.get("Denoising strength"))
    facts.mask_blur = whole(fields.get("Mask blur"))
    facts.emphasis = fields.get("Emphasis", "")
    facts.cfg_rescale = next((decimal(fields[key]) for key in _RESCALE if key in fields), None)
    _hires(facts, fields)
    _adapters(facts, parts)
    _noise(facts, fields)
    if not fooocus:
        missing = [words for key, words in UNKNOWN.items() if fields.get(key, "[]") not in ("[]", "False", "0")]
        facts.notes += [f"It was made with {words}, which is not possible here." for words in dict.fromkeys(missing)]
    return facts


def _source(fields: dict[str, str]) -> str:
    version = fields.get("Version", "")
    if version.startswith(VERSION.partition(" ")[0]):
        return "Loraloom"
    if version.startswith("Fooocus") or fields.get("Metadata scheme"):
        return "Fooocus"
    if version.casefold().startswith("comfyui"):
        return "ComfyUI"
    if version.startswith(("f", "neo", "classic")):
        return "Forge"
    if fields.get("App") == "SD.Next":
        return "SD.Next"
    if "Civitai resources" in fields or "Civitai metadata" in fields:
        return "Civitai"
    return "WebUI"


def _sampling(facts: Facts, fields: dict[str, str]) -> None:
    facts.steps = whole(fields.get("Steps"))
    facts.cfg = decimal(fields.get("CFG scale", fields.get("Guidance Scale")))
    facts.seed = whole(fields.get("Seed"))
    schedule = fields.get("Schedule type")
    facts.sampler, facts.schedule = split_name(fields.get("Sampler", ""), schedule)
    if facts.source == "Fooocus" or facts.sampler == facts.sampler.lower() != "":
        facts.sampler, karras = webui_sampler(facts.sampler)  # k-diffusion's own names
        facts.schedule = karras or webui_schedule(fields.get("Scheduler", schedule or ""))
    facts.eta = decimal(fields.get("Eta DDIM", fields.get("Eta")))
    facts.ensd = whole(fields.get("ENSD"))
    facts.variation_seed = whole(fields.get("Variation seed"))
    facts.variation_strength = decimal(fields.get("Variation seed strength"))


def _noise(facts: Facts, fields: dict[str, str]) -> None:
    """The WebUI leaves out its default, the noise of a CUDA card, which is what its setting NV computes."""
    written = fields.get("RNG", "")
    if written:
        facts.noise = "NV" if written == "GPU" else written
    elif facts.source in ("WebUI", "Forge", "SD.Next"):
        facts.noise = "NV"


def _hires(facts: Facts, fields: dict[str, str]) -> None:
    scale = decimal(fields.get("Hires upscale"))
    if size := _SIZE.fullmatch(fields.get("Hires resize", "")):
        sides = [(int(after), before) for after, before in zip(size.groups(), (facts.width, facts.height), strict=True)]
        scales = [after / before for after, before in sides if after and before]
        scale = max(scales, default=scale)
        if scale and max(scales) - min(scales) > 0.01:
            facts.notes.append(f"Hires fix cropped it to {size[0]}; here it is scaled as a whole, by {scale:.3g}.")
    if scale is None:
        return
    facts.hires_scale = scale
    facts.hires_steps = whole(fields.get("Hires steps"))
    facts.hires_upscaler = fields.get("Hires upscaler", "")
    facts.hires_strength = decimal(fields.get(HIRES_STRENGTH))


def _adapters(facts: Facts, parts: Infotext) -> None:
    """Hashes of what the tags name, and what only the values name (Fooocus' weights, Civitai's resources)."""
    fields = parts.fields
    facts.hashes = pairs(fields.get("Lora hashes", "")) | pairs(fields.get("TI hashes", ""))
    if "Hashes" in fields:
        listed = _json(facts, "Hashes")
        for key, digest in listed.items() if isinstance(listed, dict) else ():
            kind, _, name = str(key).partition(":")
            if name and kind.casefold() in ("lora", "lyco", "embed"):
                facts.hashes.setdefault(name, text(digest))
    for name, weight in pairs(fields.get("Lora weights", "")).items():
        facts.loras.append(Lora(name, _weight(weight), hash=facts.hashes.get(name, "")))
    for resource in items(_json(facts, "Civitai resources") if "Civitai resources" in fields else []):
        if isinstance(resource, dict):
            _civitai(facts, resource)


def _civitai(facts: Facts, resource: dict[str, object]) -> None:
    """One of the models that Civitai's generator names: by its page, seldom by a hash."""
    kind = text(resource.get("type")).casefold()
    name = text(resource.get("modelName")) or text(resource.get("name"))
    version = text(resource.get("modelVersionName"))
    if kind == "checkpoint" and not facts.model:
        facts.model = name
    elif kind in ("lora", "lycoris", "locon", "dora"):
        number = whole(resource.get("modelVersionId"))
        label = name or f"civitai {number}"
        facts.loras.append(Lora(label, _weight(resource.get("weight")), hash=text(resource.get("hash"))))
        page = f"civitai.com/model-versions/{number}" if number else "Civitai"
        facts.notes.append(f"{label} is {version or 'a version'} on {page}.")


def _weight(value: object) -> float:
    number = decimal(value)
    return 1.0 if number is None else number


def _json(facts: Facts, key: str) -> object:
    try:
        return read_json(facts.fields[key], key)
    except MetadataUnreadable as error:
        facts.notes.append(str(error))
        return None
