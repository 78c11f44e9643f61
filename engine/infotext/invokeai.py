"""InvokeAI, in its three forms: `invokeai_metadata` (since 3.0), `sd-metadata` (2.x), `Dream` (1.x, a command line)."""

from __future__ import annotations

import re
from typing import Any

from .facts import Facts, Lora, decimal, items, read_object, shown, text, whole
from .names import webui_sampler

_BRACKETS = re.compile(r"\[([^\[\]]*+)\]")
_DREAM = re.compile(r'\s*+"((?:[^"\\]++|\\.)*+)"(.*)', re.DOTALL)
_OPTION = re.compile(r"-{1,2}([A-Za-z_]++)\s*+(\S*+)")
_COMPEL = re.compile(r"[\w)][+-]{1,10}(?=[\s,.)]|$)|\)[0-9]")


def read_invokeai(texts: dict[str, str]) -> Facts | None:
    """The facts of whichever form is there."""
    facts: Facts | None
    if "invokeai_metadata" in texts:
        facts = _current(read_object(texts["invokeai_metadata"], "InvokeAI metadata"))
    elif "sd-metadata" in texts:
        facts = _second(read_object(texts["sd-metadata"], "InvokeAI metadata"))
    elif "Dream" in texts:
        facts = _first(texts["Dream"])
    else:
        return None
    if facts is not None and _COMPEL.search(facts.prompt + facts.negative):
        facts.notes.append("InvokeAI weighs words with + and -, which mean nothing here; write (word:1.1) instead.")
    return facts


def _current(values: dict[str, Any]) -> Facts:
    facts = Facts(source="InvokeAI", fields=shown(values))
    facts.prompt, facts.negative = text(values.get("positive_prompt")), text(values.get("negative_prompt"))
    facts.steps, facts.seed = whole(values.get("steps")), whole(values.get("seed"))
    facts.width, facts.height = whole(values.get("width")), whole(values.get("height"))
    facts.cfg, facts.cfg_rescale = decimal(values.get("cfg_scale")), decimal(values.get("cfg_rescale_multiplier"))
    facts.sampler, facts.schedule = webui_sampler(text(values.get("scheduler")))
    facts.model, facts.vae = _name(values.get("model")), _name(values.get("vae"))
    facts.noise = "NV" if values.get("rand_device") == "cuda" else "CPU"
    skipped = whole(values.get("clip_skip"))
    facts.clip_skip = None if skipped is None else skipped + 1  # it counts the layers left out
    for entry in _objects(values.get("loras")):
        model = entry.get("model", entry.get("lora"))
        weight = decimal(entry.get("weight"))
        if name := _name(model):
            facts.loras.append(Lora(name, 0.75 if weight is None else weight, hash=_sha256(model)))
    if values.get("init_image") or "img2img" in text(values.get("generation_mode")):
        facts.strength = decimal(values.get("strength")) or 0.75
    if values.get("hrf_enabled"):
        facts.notes.append("It was made with InvokeAI's high resolution fix, which is not taken over.")
    if values.get("controlnets") or values.get("ipAdapters") or values.get("t2iAdapters"):
        facts.notes.append("It was made with ControlNet or an image prompt, which is not possible here.")
    return facts


def _second(values: dict[str, Any]) -> Facts:
    image = values.get("image")
    image = image if isinstance(image, dict) else {}
    facts = Facts(source="InvokeAI", fields=shown(image), noise="CPU")
    prompts = image.get("prompt")
    parts = [text(part.get("prompt")) for part in _objects(prompts)] if isinstance(prompts, list) else [text(prompts)]
    facts.prompt, facts.negative = _split(" ".join(parts))
    facts.steps, facts.seed = whole(image.get("steps")), whole(image.get("seed"))
    facts.width, facts.height = whole(image.get("width")), whole(image.get("height"))
    facts.cfg = decimal(image.get("cfg_scale"))
    facts.sampler, facts.schedule = webui_sampler(text(image.get("sampler")))
    facts.model = text(values.get("model_weights"))
    if image.get("type") == "img2img":
        facts.strength = decimal(image.get("strength")) or 0.75
    return facts


def _first(line: str) -> Facts | None:
    match = _DREAM.match(line)
    if match is None:
        return None
    options = dict(_OPTION.findall(match[2]))
    facts = Facts(source="InvokeAI", fields=options, noise="CPU")
    facts.prompt, facts.negative = _split(match[1].replace('\\"', '"'))
    facts.steps, facts.seed = whole(options.get("s")), whole(options.get("S"))
    facts.width, facts.height = whole(options.get("W")), whole(options.get("H"))
    facts.cfg = decimal(options.get("C"))
    facts.sampler, facts.schedule = webui_sampler(options.get("A", ""))
    facts.strength = decimal(options.get("f")) if "I" in options or "init_img" in options else None
    return facts


def _split(prompt: str) -> tuple[str, str]:
    """(prompt, negative prompt): what stands in square brackets is unwanted."""
    unwanted = ", ".join(part.strip() for part in _BRACKETS.findall(prompt) if part.strip())
    return " ".join(_BRACKETS.sub(" ", prompt).split()), unwanted


def _name(model: object) -> str:
    """Of a model in any of the forms that InvokeAI has had."""
    if isinstance(model, dict):
        return next((name for key in ("name", "model_name") if (name := text(model.get(key)))), "")
    return text(model)


def _sha256(model: object) -> str:
    """Its usual hash is BLAKE3, which is no help here."""
    digest = text(model.get("hash")) if isinstance(model, dict) else ""
    return digest.removeprefix("sha256:") if digest.startswith("sha256:") else ""


def _objects(values: object) -> list[dict[str, Any]]:
    return [value for value in items(values) if isinstance(value, dict)]
