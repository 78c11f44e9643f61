"""Pictures as files: PNG with infotext out; pictures and masks that members send along, in."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence

import torch
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ..errors import ImageUnreadable

MAX_IMAGE_PIXELS = 4096 * 4096


def to_png(image: Image.Image, infotext: str, cells: Sequence[str] = ()) -> bytes:
    """PNG bytes with the infotext in the chunk `parameters`, as the WebUI writes it.

    `cells` are the infotexts of a sheet's cells, row by row: a JSON list in the chunk `cells`.
    """
    info = PngImagePlugin.PngInfo()
    if cells:
        info.add_itxt("cells", json.dumps(list(cells), ensure_ascii=False), zip=True)
    info.add_itxt("parameters", infotext) if not infotext.isascii() else info.add_text("parameters", infotext)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read_image(data: bytes, width: int, height: int) -> Image.Image:
    """The picture, upright, RGB on white paper, scaled and cropped to fill (width, height). Raises ImageUnreadable."""
    image = _opened(data, "picture")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return _fitted(image.convert("RGB"), width, height)


def read_mask(data: bytes, width: int, height: int) -> Image.Image:
    """The mask, "L" and fitted as its picture is: white is drawn. One with transparency counts by what is painted on
    it, whatever the colour, as in the WebUI. Raises ImageUnreadable.
    """
    image = _opened(data, "mask")
    mask = image.convert("L")
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            mask = alpha.point([255 if value > 128 else 0 for value in range(256)])
    return _fitted(mask, width, height)


def to_pixels(image: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) from -1 to 1."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, 3).permute(2, 0, 1)[None].float() / 127.5 - 1


def _opened(data: bytes, what: str) -> Image.Image:
    """The picture, decoded and upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise ImageUnreadable(f"The {what} has {image.width} x {image.height} pixels; 4096 x 4096 is the most.")
            return ImageOps.exif_transpose(image)
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,  # Pillow's for a broken chunk of a PNG
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise ImageUnreadable(f"The {what} cannot be read; PNG, JPEG and WebP are taken.") from error


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
