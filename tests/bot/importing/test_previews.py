"""Sample pictures: only pixels are left of them."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from bot.importing import Preview, SourceUnusable
from bot.importing.previews import SIDE, redraw

PREVIEW = Preview("https://example.com/x.png", True)


def png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("parameters", "canary")
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG", pnginfo=note)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "I;16"])
def test_a_picture_is_drawn_anew_and_no_larger_than_needed(mode: str) -> None:
    picture = redraw(png((3000, 300), mode), PREVIEW)
    assert (picture.width, picture.height, picture.mature) == (SIDE, 102, True)
    assert b"canary" not in picture.webp
    assert Image.open(io.BytesIO(picture.webp)).size == (SIDE, 102)


def _bomb() -> bytes:
    """A PNG of 50,000 x 50,000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"GIF89a", png((8, 8))[:60], _bomb(), png((7000, 6000), "1")])
def test_what_is_no_picture_or_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(SourceUnusable, match="sample picture"):
        redraw(data, PREVIEW)
