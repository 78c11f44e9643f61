"""The texts in a picture's file, by name: PNG chunks, and the EXIF of PNG, JPEG and WebP. No pixel is decoded."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, UnidentifiedImageError

from ..errors import ImageUnreadable, MetadataUnreadable
from .facts import MAX_TEXT

MAX_PIXELS = 4096 * 4096
_TOO_LARGE = "The picture has too many pixels; 4096 x 4096 is the most."
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_MAX_CHUNKS = 1000  # of text
_USER_COMMENT = 0x9286
_UNICODE = b"UNICODE\0"
_TITLED = re.compile(r"\s*+(prompt|workflow|parameters)\s*+:\s*+(?=\{)", re.IGNORECASE)


DAMAGES = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,  # what Pillow calls a broken chunk
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises about damaged files, beside its own."""


def opened(data: bytes) -> Image.Image:
    """The picture, its header read. Raises ImageUnreadable, also for one with too many pixels."""
    try:
        with quiet():
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
    except Image.DecompressionBombError as error:
        raise ImageUnreadable(_TOO_LARGE) from error
    except DAMAGES as error:
        raise ImageUnreadable("The picture cannot be read; PNG, JPEG and WebP are taken.") from error
    if image.width * image.height > MAX_PIXELS:
        raise ImageUnreadable(_TOO_LARGE)
    return image


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow warns of every odd tag and every large picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def texts_of(data: bytes) -> dict[str, str]:
    """Every text of the file by its name. Raises ImageUnreadable, or MetadataUnreadable for a damaged or long one."""
    if not data.startswith(_PNG):
        return _exif_texts(_exif_of(opened(data)))
    found: dict[str, str] = {}
    exif = b""
    for kind, body in _chunks(data):
        if kind == b"eXIf":
            exif = body
        elif len(found) < _MAX_CHUNKS:
            name, text = _text(kind, body)
            found.setdefault(name, text)
    return _exif_texts(_parsed(exif)) | found if exif else found


def infotext_exif(infotext: str) -> bytes:
    """EXIF with the text as UserComment, where the WebUI keeps it in a JPEG or WebP. `texts_of` finds it there."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[_USER_COMMENT] = _UNICODE + infotext.encode("utf-16-be", "surrogatepass")
    return exif.tobytes()


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of text and EXIF, also those behind the pixels; a file that is cut off simply ends."""
    at = len(_PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if kind in _TEXT_CHUNKS or kind == b"eXIf":
            yield kind, data[body : body + length]
        at = body + length + 4


def _text(kind: bytes, body: bytes) -> tuple[str, str]:
    """(name, text) of a chunk (PNG 1.2, §4.2.3)."""
    name, _, rest = body.partition(b"\0")
    zipped = kind == b"zTXt"
    if zipped:
        rest = rest[1:]
    elif kind == b"iTXt":
        zipped = rest[:1] == b"\1"
        rest = b"".join(rest[2:].split(b"\0", 2)[2:])
    if zipped:
        rest = _unzipped(rest)
    if len(rest) > MAX_TEXT:
        raise MetadataUnreadable(f"A text in this picture has {len(rest):,} bytes; {MAX_TEXT:,} is the most.")
    return name.decode("latin-1"), _decoded(rest)


def _unzipped(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT + 1)
    except zlib.error as error:
        raise MetadataUnreadable("A text in this picture is damaged: it cannot be unpacked.") from error


def _decoded(data: bytes) -> str:
    """UTF-8, which many tools write where PNG wants Latin-1; else Latin-1, which is never invalid."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parsed(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    try:
        with quiet():
            exif.load(data)
    except DAMAGES as error:
        raise MetadataUnreadable("The EXIF data of this picture are damaged.") from error
    return exif


def _exif_of(image: Image.Image) -> Image.Exif:
    try:
        with quiet():
            return image.getexif()
    except DAMAGES as error:
        raise MetadataUnreadable("The EXIF data of this picture are damaged.") from error


def _exif_texts(exif: Image.Exif) -> dict[str, str]:
    """UserComment as `parameters`; and what ComfyUI writes, `prompt: {…}`, into tags meant for other things."""
    try:
        with quiet():
            base, inner = dict(exif), dict(exif.get_ifd(ExifTags.IFD.Exif))
    except DAMAGES as error:
        raise MetadataUnreadable("The EXIF data of this picture are damaged.") from error
    found: dict[str, str] = {}
    for value in base.values():
        text = value if isinstance(value, str) else ""
        if match := _TITLED.match(text):
            found.setdefault(match[1].lower(), text[match.end() :])
        elif text.lstrip().startswith("{"):
            found.setdefault("parameters", text)
    comment = inner.get(_USER_COMMENT, base.get(_USER_COMMENT))
    if isinstance(comment, bytes | str):
        text = comment if isinstance(comment, str) else _comment(comment)
        match = _TITLED.match(text)
        found[match[1].lower() if match else "parameters"] = text[match.end() :] if match else text
    if any(len(text) > MAX_TEXT for text in found.values()):
        raise MetadataUnreadable(f"A text in this picture is longer than {MAX_TEXT:,} characters.")
    return found


def _comment(data: bytes) -> str:
    """A UserComment (EXIF 2.3, §4.6.5): eight bytes name the code. UNICODE is UTF-16, big-endian from piexif."""
    code, body = data[:8], data[8:]
    if code == _UNICODE:
        if body.startswith((b"\xfe\xff", b"\xff\xfe")):
            return body.decode("utf-16", "replace")
        zeros_first = body[0::2].count(0) >= body[1::2].count(0)  # of ASCII, which names of values are
        return body.decode("utf-16-be" if zeros_first else "utf-16-le", "surrogatepass" if zeros_first else "replace")
    if code in (b"ASCII\0\0\0", b"\0" * 8):
        return _decoded(body.rstrip(b"\0"))
    return _decoded(data.rstrip(b"\0"))
