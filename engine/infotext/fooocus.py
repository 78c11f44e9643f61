"""Fooocus: a JSON object in `parameters`. (Its other scheme, a1111, is the WebUI's text: see `webui`.)"""

from __future__ import annotations

import re
from typing import Any

from .facts import Facts, Lora, decimal, items, read_object, shown, text, whole
from .names import webui_sampler, webui_schedule

_PAIR = re.compile(r"\(?\s*+(\d{1,6})\s*+[,x×]\s*+(\d{1,6})\s*+\)?")
_OLD_LORA = re.compile(r"(.+?) : (-?\d{1,3}(?:\.\d{1,9})?)")
_ENDINGS = (".safetensors", ".ckpt", ".pt")
_SLOTS = 16


def read_fooocus(texts: dict[str, str]) -> Facts | None:
    """The facts, if `parameters` is such an object."""
    written = texts.get("parameters", "").lstrip()
    if not written.startswith("{"):
        return None
    values = read_object(written, "Fooocus metadata")
    if "base_model" not in values and "Fooocus" not in text(values.get("version")):
        return None
    facts = Facts(source="Fooocus", fields=shown(values), noise="CPU")
    facts.prompt, facts.negative = _prompt(values, "prompt"), _prompt(values, "negative_prompt")
    facts.steps, facts.seed = whole(values.get("steps")), whole(values.get("seed"))
    facts.cfg, facts.clip_skip = decimal(values.get("guidance_scale")), whole(values.get("clip_skip"))
    facts.sampler, karras = webui_sampler(text(values.get("sampler")))
    facts.schedule = karras or webui_schedule(text(values.get("scheduler")))
    facts.model = _stem(values.get("base_model"))
    vae = text(values.get("vae"))
    facts.vae = "" if vae.startswith("Default") else _stem(vae)
    if size := _PAIR.fullmatch(text(values.get("resolution"))):
        facts.width, facts.height = int(size[1]), int(size[2])
    facts.loras = _loras(values)
    if text(values.get("refiner_model")) not in ("", "None"):
        facts.notes.append("It was made with a refiner, which is not possible here.")
    facts.notes.append("Fooocus sharpens and guides in ways of its own, so the picture comes out alike, not the same.")
    return facts


def _prompt(values: dict[str, Any], key: str) -> str:
    """With what Fooocus' styles made of it, for that is what was drawn."""
    full = values.get(f"full_{key}")
    if isinstance(full, list):
        return ", ".join(part.strip() for part in full if isinstance(part, str) and part.strip())
    return text(full) or text(values.get(key))


def _loras(values: dict[str, Any]) -> list[Lora]:
    """`loras` lists (name, weight, hash); before 2.2 they were `lora_combined_1`: "name : weight"."""
    found = []
    for entry in items(values.get("loras")):
        if isinstance(entry, list) and len(entry) > 1 and isinstance(entry[0], str):
            weight = decimal(entry[1])
            digest = text(entry[2]) if len(entry) > 2 else ""
            found.append(Lora(_stem(entry[0]), 1.0 if weight is None else weight, hash=digest))
    for number in range(1, _SLOTS + 1):
        if old := _OLD_LORA.fullmatch(text(values.get(f"lora_combined_{number}"))[:1000]):
            found.append(Lora(_stem(old[1]), float(old[2])))
    return found


def _stem(name: object) -> str:
    whole_name = text(name)
    return next((whole_name.removesuffix(end) for end in _ENDINGS if whole_name.endswith(end)), whole_name)
