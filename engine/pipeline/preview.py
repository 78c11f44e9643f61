"""Previews: latents to small pictures by one matrix, without the VAE.

A latent cell is nearly a colour: three weighted sums of its four channels. The factors of SD 1.x and SDXL are those
that the field has published and uses; the built-in model's are a least-squares fit (tests/bench/preview.py makes it).
"""

from __future__ import annotations

import io

import torch
from PIL import Image

SIDE = 256  # pixels on the longer side, where the latents have enough cells
GROWTH = 8  # pixels a latent cell at most: what the VAE would give

# a row a channel, and what is added; in colours from -1 to 1
_SD = ((0.3512, 0.2297, 0.3227), (0.3250, 0.4974, 0.2350), (-0.2829, 0.1762, 0.2721), (-0.2120, -0.2616, -0.7177))
_SDXL = ((0.3651, 0.4232, 0.4341), (-0.2533, -0.0042, 0.1068), (0.1076, 0.1111, -0.0362), (-0.3165, -0.2492, -0.2188))
_BUILTIN = ((0.0543, -0.0149, 0.0481), (0.0476, -0.1739, 0.022), (0.3243, 0.0064, -0.3039), (-0.4985, -0.524, -0.4996))
_FACTORS = {
    "built-in": (*_BUILTIN, (0.2613, 0.2416, 0.1879)),
    "SD 1.5": (*_SD, (0.0, 0.0, 0.0)),
    "SD 2": (*_SD, (0.0, 0.0, 0.0)),
    "SDXL": (*_SDXL, (0.1084, -0.0175, -0.0011)),
}


def preview(latents: torch.Tensor, family: str) -> bytes:
    """A small JPEG of the first of `latents` (rows, 4, h, w); a family that is not known is shown like SD 1.5."""
    *factors, added = _FACTORS.get(family, _FACTORS["SD 1.5"])
    cells = latents[0].detach().float().cpu().permute(1, 2, 0)
    colours = (cells @ torch.tensor(factors) + torch.tensor(added)).nan_to_num()
    unit = ((colours + 1) * 127.5).clamp(0, 255).round().to(torch.uint8).contiguous()
    image = Image.frombuffer("RGB", (unit.shape[1], unit.shape[0]), unit.numpy().tobytes())
    growth = max(1, min(GROWTH, SIDE // max(image.size)))
    larger = image.resize((image.width * growth, image.height * growth), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    larger.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
