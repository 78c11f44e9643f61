"""The picture and the mask that came with a request: where its rows start, what they keep, what is put back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ..types import Request
from .image import read_image, read_mask, to_pixels
from .inpaint import Kept, blurred, cells_of, restored, told
from .sampling import Row
from .vae import Vae

INPAINTING_CHANNELS = 9  # into the UNet of a model made for inpainting: latents, mask, latents of what it may see


@dataclass(frozen=True, slots=True)
class Sent:
    """In `size` (width, height), the size of the request; `mask` has its soft edges."""

    size: tuple[int, int]
    image: Image.Image | None = None
    mask: Image.Image | None = None

    def starts(self, vae: Vae, seeds: Iterable[int]) -> list[torch.Tensor | None]:
        """What the row of each seed starts from: the latents of the picture, or nothing."""
        if self.image is None:
            return [None for _ in seeds]
        pixels = to_pixels(self.image)
        return [vae.encode(pixels, torch.Generator().manual_seed(seed)) for seed in seeds]

    def bind(self, row: Row, start: torch.Tensor | None, vae: Vae, unet: Any, seed: int, prediction_type: str) -> None:
        """The row keeps of `start` what the mask keeps, and a UNet made for inpainting is told so."""
        if self.mask is not None and start is not None:
            cells = cells_of(self.mask, vae.factor).to(start.device)
            row.kept = Kept(start, cells, prediction_type)
        if unet.config.in_channels == INPAINTING_CHANNELS:
            row.told = told(vae, self.size, self.image, self.mask, torch.Generator().manual_seed(seed))

    def restored(self, drawn: Image.Image) -> Image.Image:
        """`drawn` with the pixels of the picture where the mask keeps them."""
        return drawn if self.image is None or self.mask is None else restored(drawn, self.image, self.mask)


def read_sent(request: Request, size: tuple[int, int]) -> Sent:
    """Raises ImageUnreadable."""
    image = read_image(request.image, *size) if request.image is not None else None
    mask = read_mask(request.mask, *size) if request.mask is not None else None
    return Sent(size, image, None if mask is None else blurred(mask, request.mask_blur))
