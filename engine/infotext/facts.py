"""What one tool says about a picture, before any of it is held against what Loraloom can do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import MetadataUnreadable

MAX_TEXT = 4 << 20  # characters of one text; ComfyUI's workflows are the largest, some 100,000
_DIGITS = 25  # a number that matters here is not longer


@dataclass(slots=True)
class Lora:
    """`hash` is any beginning of a SHA-256, of the file or of its tensors; "" where the tool wrote none."""

    name: str
    weight: float = 1.0
    te_weight: float | None = None
    hash: str = ""


@dataclass(slots=True, kw_only=True)
class Facts:
    """None or "": the tool does not say. Names of samplers, schedules and upscalers are the WebUI's.

    The prompt may hold tags such as `<lora:x:1>`, whichever tool it is from. `strength` without `hires_scale` tells
    that the picture was made from another one. `notes` are what a member should know about this source.
    """

    source: str
    prompt: str = ""
    negative: str = ""
    loras: list[Lora] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)  # of adapters and embeddings that the prompts name
    model: str = ""
    vae: str = ""
    steps: int | None = None
    sampler: str = ""
    schedule: str = ""
    cfg: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    strength: float | None = None
    mask_blur: int | None = None
    hires_scale: float | None = None
    hires_strength: float | None = None
    hires_steps: int | None = None
    hires_upscaler: str = ""
    noise: str = ""
    eta: float | None = None
    ensd: int | None = None
    variation_seed: int | None = None
    variation_strength: float | None = None
    cfg_rescale: float | None = None
    emphasis: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_json(text: str, what: str) -> Any:
    """The JSON value. Raises MetadataUnreadable, also for what is too large or nested too deeply."""
    if len(text) > MAX_TEXT:
        raise MetadataUnreadable(f"The {what} in this picture has {len(text):,} characters; {MAX_TEXT:,} is the most.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MetadataUnreadable(f"The {what} in this picture is damaged: it is not valid JSON.") from error


def read_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object. Raises MetadataUnreadable."""
    value = read_json(text, what)
    if not isinstance(value, dict):
        raise MetadataUnreadable(f"The {what} in this picture is damaged: it is no JSON object.")
    return value


def whole(value: object) -> int | None:
    """A whole number, however it is written; None for anything else."""
    number = decimal(value)
    if number is None or number != int(number):
        return None
    try:
        return int(str(value).strip())  # a float would lose digits of a 64-bit seed
    except ValueError:
        return int(number)


def decimal(value: object) -> float | None:
    """A finite number, however it is written; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _DIGITS:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text(value: object) -> str:
    """A text, or "" for anything else."""
    return value if isinstance(value, str) else ""


def items(value: object) -> list[Any]:
    """A list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def shown(values: Mapping[str, Any]) -> dict[str, str]:
    """The values as texts, for `Facts.fields`."""
    return {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
