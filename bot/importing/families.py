"""Base models as sources name them, in the engine's words."""

from __future__ import annotations

import re

_FAMILIES = (  # the first that is found in the name, in lower case, decides
    ("SDXL", r"sdxl|\bxl\b|stable-diffusion-xl|pony|illustrious|noob ?ai|animagine|playground-v2"),
    ("SD 2", r"\bsd ?2|stable-diffusion-2|sd-?v?2[.-]"),
    ("SD 1.5", r"\bsd ?1|stable-diffusion-v?1|sd-?v1|\bsd15\b"),
)
_OTHERS = re.compile(
    r"\b(?:flux|sd ?3|stable-diffusion-3|stable cascade|svd|wan|hunyuan|pixart|qwen|chroma|lumina|kolors|aura ?flow|"
    r"cogvideo|ltx|mochi|z-?image|hidream|ace ?step|pony ?v7|sora|veo|seedream|imagen|nano banana)",
    re.IGNORECASE,
)


def stated_family(base: str) -> str:
    """ "SD 1.5", "SD 2" or "SDXL"; "" for a base that is none of them or not known."""
    if is_foreign(base):
        return ""
    return next((family for family, pattern in _FAMILIES if re.search(pattern, base.lower())), "")


def is_foreign(base: str) -> bool:
    """Whether `base` is known to be no Stable Diffusion that this bot draws with."""
    return _OTHERS.search(base) is not None
