"""Latents to pictures and back: decoding, previews, PNG with infotext, and pictures that members send along."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..errors import ImageUnreadable

PREVIEW_CELLS = 16  # latent cells on the longer side of a preview: 128 pixels, cheap with any autoencoder
MAX_IMAGE_PIXELS = 4096 * 4096


@torch.inference_mode()
def decode(vae: Any, latents: torch.Tensor) -> Image.Image:
    """`latents` (1, 4, h, w) as the UNet leaves them, to an RGB picture of (8w, 8h) pixels."""
    pixels = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
    # the same arithmetic as diffusers' VaeImageProcessor, so that equal latents give equal bytes
    unit = (pixels * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
    return Image.fromarray((unit[0] * 255).round().astype("uint8"))


def preview(vae: Any, latents: torch.Tensor) -> bytes:
    """A small JPEG of the first row, decoded at reduced size: no constants of one model, good for every one."""
    row = latents[:1]
    longest = max(row.shape[-2:])
    if longest > PREVIEW_CELLS:
        height, width = (max(1, side * PREVIEW_CELLS // longest) for side in row.shape[-2:])
        row = F.adaptive_avg_pool2d(row.float(), (height, width)).to(latents.dtype)
    buffer = io.BytesIO()
    decode(vae, row).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def to_png(image: Image.Image, infotext: str) -> bytes:
    """PNG bytes with the infotext in the chunk `parameters`, as the WebUI writes it."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", infotext) if not infotext.isascii() else info.add_text("parameters", infotext)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_image(data: bytes, width: int, height: int) -> Image.Image:
    """The picture, upright, RGB, scaled and cropped to fill (width, height). Raises ImageUnreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ImageUnreadable(
                    f"The picture has {image.width} x {image.height} pixels; 4096 x 4096 is the most."
                )
            return ImageOps.fit(
                ImageOps.exif_transpose(image).convert("RGB"), (width, height), Image.Resampling.LANCZOS
            )
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ImageUnreadable("The picture cannot be read; PNG, JPEG and WebP are taken.") from error


@torch.inference_mode()
def encode(vae: Any, image: Image.Image, generator: torch.Generator) -> torch.Tensor:
    """Latents (1, 4, h, w) of a picture, scaled as the UNet sees them."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    pixels = flat.view(image.height, image.width, 3).permute(2, 0, 1)[None].float() / 127.5 - 1
    posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    latents: torch.Tensor = posterior.sample(generator) * vae.config.scaling_factor
    return latents
