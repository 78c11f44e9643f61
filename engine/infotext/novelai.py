"""NovelAI: `Comment` is a JSON object with the settings, `Description` the prompt, `Source` the model."""

from __future__ import annotations

from .facts import Facts, decimal, read_object, shown, text, whole
from .names import webui_sampler, webui_schedule


def read_novelai(texts: dict[str, str]) -> Facts | None:
    """The facts, if `Comment` is such an object."""
    written = texts.get("Comment", "").lstrip()
    if not written.startswith("{"):
        return None
    values = read_object(written, "NovelAI metadata")
    if "sampler" not in values or ("uc" not in values and "NovelAI" not in texts.get("Software", "")):
        return None
    facts = Facts(source="NovelAI", fields=shown(values))
    facts.prompt = text(values.get("prompt")) or texts.get("Description", "").strip()
    facts.negative = text(values.get("uc"))
    facts.steps, facts.seed = whole(values.get("steps")), whole(values.get("seed"))
    facts.cfg, facts.cfg_rescale = decimal(values.get("scale")), decimal(values.get("cfg_rescale"))
    facts.width, facts.height = whole(values.get("width")), whole(values.get("height"))
    facts.sampler, karras = webui_sampler(text(values.get("sampler")))
    facts.schedule = karras or webui_schedule(text(values.get("noise_schedule")))
    facts.model = texts.get("Source", "")
    if text(values.get("request_type")) == "Img2ImgRequest":
        facts.strength = decimal(values.get("strength"))
    facts.notes.append("NovelAI's models are not to be had, and { } weigh words there; expect another picture.")
    return facts
