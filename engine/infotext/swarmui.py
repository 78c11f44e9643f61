"""SwarmUI: a JSON object with `sui_image_params`, in `parameters` or in the EXIF of other pictures than PNG."""

from __future__ import annotations

from typing import Any

from .facts import Facts, Lora, decimal, items, read_object, shown, text, whole
from .names import webui_sampler, webui_schedule


def read_swarmui(texts: dict[str, str]) -> Facts | None:
    """The facts, if `parameters` is such an object."""
    written = texts.get("parameters", "").lstrip()
    if not written.startswith("{") or "sui_image_params" not in written:
        return None
    outer = read_object(written, "SwarmUI metadata")
    values = outer.get("sui_image_params")
    if not isinstance(values, dict):
        return None
    facts = Facts(source="SwarmUI", fields=shown(values), noise="CPU")
    facts.prompt, facts.negative = text(values.get("prompt")), text(values.get("negativeprompt"))
    facts.steps, facts.seed = whole(values.get("steps")), whole(values.get("seed"))
    facts.cfg = decimal(values.get("cfgscale"))
    facts.width, facts.height = whole(values.get("width")), whole(values.get("height"))
    facts.sampler, karras = webui_sampler(text(values.get("sampler", values.get("comfyuisampler", "euler"))))
    facts.schedule = karras or webui_schedule(text(values.get("scheduler", values.get("comfyuischeduler", "normal"))))
    facts.model = _stem(text(values.get("model")))
    vae = text(values.get("vae"))
    facts.vae = "" if vae in ("Automatic", "None") else _stem(vae)
    layer = whole(values.get("clipstopatlayer"))
    facts.clip_skip = None if layer is None else abs(layer)
    facts.variation_seed = whole(values.get("variationseed"))
    facts.variation_strength = decimal(values.get("variationseedstrength"))
    facts.loras = _loras(values, _hashes(outer))
    if "initimage" in values or "initimagecreativity" in values:
        facts.strength = decimal(values.get("initimagecreativity")) or 0.6
    scale = decimal(values.get("refinerupscale"))
    if scale is not None and scale > 1 and facts.strength is None:
        facts.hires_scale = scale
        facts.strength = decimal(values.get("refinercontrolpercentage"))
        method = text(values.get("refinerupscalemethod"))
        facts.hires_upscaler = "Latent" if method.startswith("latent") else method
    return facts


def _loras(values: dict[str, Any], hashes: dict[str, str]) -> list[Lora]:
    names, weights = _list(values.get("loras")), _list(values.get("loraweights"))
    weights += ["1"] * (len(names) - len(weights))
    found = []
    for name, written in zip(names, weights, strict=False):
        weight = decimal(written)
        found.append(Lora(_stem(name), 1.0 if weight is None else weight, hash=hashes.get(_stem(name), "")))
    return found


def _hashes(outer: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of the tensors by model, as `sui_models` lists them."""
    entries = [entry for entry in items(outer.get("sui_models")) if isinstance(entry, dict)]
    return {_stem(text(entry.get("name"))): text(entry.get("hash")).removeprefix("0x") for entry in entries}


def _list(value: object) -> list[str]:
    """A list, or a text with commas, as texts."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in items(value)]


def _stem(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].removesuffix(".safetensors")
