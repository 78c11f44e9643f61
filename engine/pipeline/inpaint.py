"""Inpainting: what a mask keeps stays, in the latents at every step and in the pixels at the end.

As AUTOMATIC1111's WebUI does with models that were not made for it: the mask is blurred, rounded to latent cells, and
what the model predicts is replaced in the kept cells by what would lead to the picture as it was sent. An inpainting
model (nine channels) is told the mask and the kept picture besides. The WebUI does the first for its DDIM, PLMS and
UniPC in another way, with latents that have not been noised; here every sampler goes the way of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image

from .image import to_pixels
from .vae import Vae


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a row: `latents` (1, 4, h, w) of the picture as sent, where `mask` (1, 1, h, w) is 0."""

    latents: torch.Tensor
    mask: torch.Tensor
    prediction_type: str  # what the model predicts: epsilon, v_prediction or sample

    def blended(self, predicted: torch.Tensor, scaled: torch.Tensor, level: float) -> torch.Tensor:
        """`predicted` where something is drawn; elsewhere the prediction that makes the denoised picture `latents`.

        `scaled` is the UNet's input, which is signal * x0 + share * noise for every scheduler; `level` is its sigma.
        """
        signal, share = 1 / math.hypot(1, level), level / math.hypot(1, level)
        kept = self.latents.float()
        noise = (scaled.float() - signal * kept) / share
        wanted = {"epsilon": noise, "v_prediction": signal * noise - share * kept, "sample": kept}[self.prediction_type]
        return torch.where(self.mask.bool(), predicted, wanted.to(predicted))

    def put_back(self, latents: torch.Tensor) -> torch.Tensor:
        """The finished `latents` with the kept ones in their place: UniPC's last correction goes a little past them."""
        return torch.where(self.mask.bool(), latents, self.latents.to(latents))


def blurred(mask: Image.Image, radius: int) -> Image.Image:
    """`mask` ("L", white is drawn) with soft edges: a Gaussian of this standard deviation, cut off at 2.5 of them."""
    if radius == 0:
        return mask
    reach = int(2.5 * radius + 0.5)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / radius) ** 2)
    weights = (weights / weights.sum())[None, None]
    plane = _plane(mask)[0]
    for _ in range(2):  # along the rows, then along the columns
        padded = F.pad(plane, (reach, reach), mode="replicate")
        plane = F.conv1d(padded.reshape(-1, 1, padded.shape[-1]), weights).reshape(plane.shape).transpose(-1, -2)
    return Image.fromarray((plane[0] * 255).round().to(torch.uint8).numpy())


def cells_of(mask: Image.Image, factor: int) -> torch.Tensor:
    """(1, 1, h, w): 1 for the latent cells that are drawn, 0 for those kept; a cell is `factor` pixels wide."""
    small = mask.resize((mask.width // factor, mask.height // factor), Image.Resampling.BOX)
    return _plane(small).round()


def restored(drawn: Image.Image, sent: Image.Image, mask: Image.Image) -> Image.Image:
    """`drawn` with the pixels of `sent` where the blurred `mask` keeps them: exactly so where it is black."""
    return Image.composite(drawn, sent, mask.point([min(255, 2 * grey) for grey in range(256)]))


def told(
    vae: Vae, size: tuple[int, int], image: Image.Image | None, mask: Image.Image | None, generator: torch.Generator
) -> torch.Tensor:
    """What an inpainting UNet sees beside the noisy latents (1, 5, h, w): the mask, and the picture that it may see.

    All is drawn without a mask; the picture is grey where it is drawn, light grey (0.5 of 1) without one.
    """
    width, height = size
    factor = vae.factor
    cells = torch.ones(1, 1, height // factor, width // factor) if mask is None else cells_of(mask, factor)
    if image is None:
        seen = torch.full((1, 3, height, width), 0.5)
    else:
        seen = to_pixels(image) * (1 - (_plane(mask).round() if mask is not None else 1.0))
    latents = vae.encode(seen, generator)
    return torch.cat([cells.to(latents), latents], dim=1)


def _plane(mask: Image.Image) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(mask.tobytes()), dtype=torch.uint8)
    return flat.view(1, 1, mask.height, mask.width).float() / 255
