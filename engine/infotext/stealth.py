"""Text hidden in the lowest bits of a picture: `stealth_pnginfo`, as NovelAI and a WebUI extension write it.

Bits go down the columns, from left to right: one of each pixel's alpha (`stealth_pnginfo`, gzipped `stealth_pngcomp`),
or three of its red, green and blue (`stealth_rgbinfo`, `stealth_rgbcomp`). First the name, then the number of bits that
follow (32 bits, big-endian), then UTF-8.
"""

from __future__ import annotations

import zlib

import numpy
from PIL import Image

from ..errors import ImageUnreadable, MetadataUnreadable
from .facts import MAX_TEXT
from .picture import DAMAGES, opened, quiet

Pixels = numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]

_NAME = 15  # bytes
_FORMS = {
    b"stealth_pnginfo": ("A", False),
    b"stealth_pngcomp": ("A", True),
    b"stealth_rgbinfo": ("RGB", False),
    b"stealth_rgbcomp": ("RGB", True),
}


def read_stealth(data: bytes) -> str | None:
    """The hidden text of the file, if there is one. Decodes the picture. Raises ImageUnreadable, MetadataUnreadable."""
    image = opened(data)
    if image.format == "JPEG":
        return None  # it keeps no lowest bits
    for channels in ("A", "RGB"):
        if not set(channels) <= set(image.getbands()):
            continue
        pixels = _pixels(image, channels)
        head = _bytes(pixels, 0, _NAME + 4)
        form = _FORMS.get(head[:_NAME])
        if form is not None and form[0] == channels:
            return _text(_bytes(pixels, _NAME + 4, int.from_bytes(head[_NAME:]) // 8), zipped=form[1])
    return None


def _pixels(image: Image.Image, channels: str) -> Pixels:
    """(height, width) of alpha, or (height, width, 3)."""
    try:
        with quiet():
            return numpy.asarray(image.getchannel("A") if channels == "A" else image.convert("RGB"))
    except DAMAGES as error:
        raise ImageUnreadable("The picture cannot be read; its data are damaged.") from error


def _bytes(pixels: Pixels, start: int, count: int) -> bytes:
    """`count` bytes from the `start`-th on, or as many as there are; only the columns that hold them are looked at."""
    depth = pixels.shape[2] if pixels.ndim == 3 else 1
    count = min(count, MAX_TEXT)
    bits = (start + count) * 8
    columns = min(pixels.shape[1], -(-bits // (pixels.shape[0] * depth)))
    stream = pixels[:, :columns].swapaxes(0, 1).reshape(-1)[start * 8 : bits] & 1
    return numpy.packbits(stream).tobytes()[:count]


def _text(data: bytes, *, zipped: bool) -> str:
    try:
        if zipped:
            unzip = zlib.decompressobj(wbits=31)
            data = unzip.decompress(data, MAX_TEXT)
            if unzip.unconsumed_tail:
                raise MetadataUnreadable(f"The hidden metadata of this picture are longer than {MAX_TEXT:,} bytes.")
        return data.decode("utf-8")
    except (zlib.error, UnicodeDecodeError) as error:
        raise MetadataUnreadable("The hidden metadata of this picture are damaged.") from error
