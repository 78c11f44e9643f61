"""Hires fix: what the first pass drew, larger, as the start of the second."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from PIL import Image

from ..types import LATENT_UPSCALERS, Hires
from .image import to_pixels
from .vae import Vae

_PIXELS = {"Lanczos": Image.Resampling.LANCZOS, "Nearest": Image.Resampling.NEAREST}


def enlarged(
    latents: torch.Tensor, hires: Hires, size: tuple[int, int], vae: Vae, generator: torch.Generator
) -> torch.Tensor:
    """`latents` (1, 4, h, w) as latents of a picture of `size` (width, height) pixels.

    By torch's interpolation of the latents, or by decoding, enlarging and encoding the picture.
    """
    width, height = size
    if hires.upscaler in LATENT_UPSCALERS:
        mode, antialias = LATENT_UPSCALERS[hires.upscaler]
        cells = (height // vae.factor, width // vae.factor)
        larger: torch.Tensor = F.interpolate(latents, size=cells, mode=mode, antialias=antialias)
        return larger
    picture = vae.decode(latents).resize(size, _PIXELS[hires.upscaler])
    return vae.encode(to_pixels(picture), generator).to(latents)


def second_schedule(hires: Hires, steps: int) -> tuple[int, int]:
    """(steps of the whole schedule, how many of them are done at its end) for the second pass.

    As the WebUI counts it: all of `hires.steps` are done, in a schedule that is longer by as much as strength leaves.
    """
    done = (hires.steps or steps) if hires.strength else 0
    return max(1, int(done / min(hires.strength, 0.999))) if done else 1, done
