"""Is a finished picture fit for everybody? Asked of the checkpoint's own safety checker, or of one that is plugged in.

Failing closed: a checker that cannot be loaded, or breaks on a picture, has flagged it. What becomes of a flagged
picture is not decided here, and none is ever painted black.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessor

from ..errors import ModelUnreadable

log = logging.getLogger(__name__)

AUTO, OFF = "auto", "off"
Check = Callable[[Image.Image], bool]
"""True for a picture that is not fit for everybody. A plug-in is one of these."""


class Safety:
    """One checker, or none: then nothing is flagged."""

    def __init__(self, check: Check | None) -> None:
        self._check = check

    @property
    def on(self) -> bool:
        return self._check is not None

    def flags(self, image: Image.Image) -> bool:
        """Whether the picture is not fit for everybody, or could not be checked."""
        if self._check is None:
            return False
        try:
            return bool(self._check(image))
        except Exception:
            log.exception("the safety checker failed on a picture, which counts as flagged")
            return True


def load_safety(
    wanted: str, source: str, device: torch.device, dtype: torch.dtype, *, cache: Path | None = None
) -> Safety:
    """The checker for pictures of the base model `source`.

    `wanted` is "auto" for the one that the checkpoint brings, if it does; "off"; or "module:callable", a Check. Raises
    ModelUnreadable where there is no such callable.
    """
    if wanted == OFF:
        return Safety(None)
    if wanted != AUTO:
        return Safety(_plugged_in(wanted))
    if Path(source).expanduser().is_file():  # a single file has no room for one
        return Safety(None)
    try:
        return Safety(_own(source, device, dtype, cache))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        words = "the safety checker of %s cannot be loaded, so every picture counts as flagged; put its files back, or"
        log.error(words + ' set [engine] safety = "off": %s', source, error)
        return Safety(_unloadable)


def _plugged_in(name: str) -> Check:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelUnreadable(f"[engine] safety: {name!r} cannot be found ({error}); write module:callable.") from error
    if not callable(found):
        raise ModelUnreadable(f"[engine] safety: {name!r} is no function that takes a picture.")
    check: Check = found
    return check


def _own(source: str, device: torch.device, dtype: torch.dtype, cache: Path | None) -> Check | None:
    """The checkpoint's own, in the format of diffusers' Stable Diffusion 1.x; None where it names none."""
    local = Path(source).expanduser().is_dir()
    where: dict[str, Any] = {"cache_dir": cache, "local_files_only": local}
    index = DiffusionPipeline.load_config(source, **where)
    if not any(index.get("safety_checker") or ()):
        return None
    checker: Any = StableDiffusionSafetyChecker.from_pretrained(
        source, subfolder="safety_checker", use_safetensors=True, dtype=dtype, **where
    )
    checker = checker.to(device).eval()
    extractor: Any = CLIPImageProcessor.from_pretrained(source, subfolder="feature_extractor", **where)
    nothing = numpy.zeros((1, 1, 1, 3), dtype=numpy.float32)  # in place of the picture, which it would paint black

    def check(image: Image.Image) -> bool:
        seen = extractor(image.convert("RGB"), return_tensors="pt").pixel_values.to(device, dtype)
        _, flagged = checker(clip_input=seen, images=nothing.copy())
        return bool(flagged[0])

    return check


def _unloadable(image: Image.Image) -> bool:
    return True
