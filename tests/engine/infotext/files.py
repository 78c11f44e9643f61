"""Pictures with metadata in them, written as each tool writes them: by its libraries' rules, not by our own code."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Mapping

from PIL import Image, PngImagePlugin

PIXELS = (8, 8)


def png(texts: Mapping[str, str], *, behind: Mapping[str, str] | None = None) -> bytes:
    """As Pillow's PngInfo does for the WebUI and ComfyUI: tEXt where Latin-1 will do, else iTXt."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    for name, text in (behind or {}).items():
        info.add(b"tEXt", name.encode() + b"\0" + text.encode("latin-1"), after_idat=True)
    return _saved(Image.new("RGB", PIXELS, "white"), "PNG", pnginfo=info)


def zipped_png(name: str, text: str, *, international: bool) -> bytes:
    """zTXt or a compressed iTXt, as ImageMagick and ImageSharp write long texts."""
    body = zlib.compress(text.encode("utf-8" if international else "latin-1"))
    chunk = name.encode() + (b"\0\1\0\0\0" if international else b"\0\0") + body
    return with_chunk(png({}), b"iTXt" if international else b"zTXt", chunk)


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with one chunk more, before its pixels."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + chunk + data[33:]


def exif_block(comment: bytes, tags: Mapping[int, bytes] | None = None) -> bytes:
    """A TIFF block by hand, big-endian as piexif writes it: ASCII tags, and a UserComment in the EXIF directory."""
    texts = sorted((tags or {}).items())
    entries = len(texts) + bool(comment)
    first = 8
    at = first + 2 + 12 * entries + 4
    directory, values = struct.pack(">H", entries), b""
    for tag, value in texts:
        directory += struct.pack(">HHII", tag, 2, len(value) + 1, at + len(values))
        values += value + b"\0"
    if comment:
        inner = at + len(values)
        directory += struct.pack(">HHII", 0x8769, 4, 1, inner)
        values += (
            struct.pack(">H", 1) + struct.pack(">HHII", 0x9286, 7, len(comment), inner + 18) + b"\0\0\0\0" + comment
        )
    return b"Exif\0\0MM\0*" + struct.pack(">I", first) + directory + b"\0\0\0\0" + values


def unicode_comment(text: str) -> bytes:
    """As piexif.helper.UserComment.dump(text, "unicode") does for the WebUI."""
    return b"UNICODE\0" + text.encode("utf-16-be")


def jpeg(exif: bytes) -> bytes:
    return _saved(Image.new("RGB", PIXELS), "JPEG", exif=exif)


def webp(exif: bytes) -> bytes:
    return _saved(Image.new("RGB", PIXELS), "WEBP", exif=exif)


def stealth(text: str, *, channels: str, zipped: bool, size: tuple[int, int] = (96, 96)) -> bytes:
    """As NovelAI's and the WebUI extension's loops do, pixel by pixel down the columns."""
    name = {("A", False): "stealth_pnginfo", ("A", True): "stealth_pngcomp"}.get((channels, zipped))
    name = name or ("stealth_rgbcomp" if zipped else "stealth_rgbinfo")
    body = gzip.compress(text.encode()) if zipped else text.encode()
    bits = "".join(f"{byte:08b}" for byte in name.encode() + struct.pack(">I", len(body) * 8) + body)
    image = Image.new(
        "RGBA" if channels == "A" else "RGB", size, (200, 100, 50, 255) if channels == "A" else (200, 100, 50)
    )
    pixels = image.load()
    at = 0
    for x in range(size[0]):
        for y in range(size[1]):
            pixel = list(pixels[x, y])
            for index in (3,) if channels == "A" else (0, 1, 2):
                if at < len(bits):
                    pixel[index] = pixel[index] & ~1 | int(bits[at])
                    at += 1
            pixels[x, y] = tuple(pixel)
    assert at == len(bits), "the picture is too small for the text"
    return _saved(image, "PNG")


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
