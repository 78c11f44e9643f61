"""Sample pictures from outside: capped, decoded, and drawn anew, so that only pixels are left of them."""

from __future__ import annotations

import asyncio
import io

from PIL import Image, ImageOps

from .errors import ImportRefused, SourceUnusable
from .network import MIB, Network
from .values import Preview, PreviewPicture

MAX_BYTES = 8 * MIB
MAX_PIXELS = 40_000_000
SIDE = 1024  # the longer side that is kept


async def fetch_previews(network: Network, wanted: tuple[Preview, ...]) -> tuple[tuple[PreviewPicture, ...], int]:
    """The pictures that can be had, and how many could not: a missing sample stands in nobody's way."""
    found: list[PreviewPicture] = []
    for preview in wanted:
        try:
            answer = await network.small(preview.url, cap=MAX_BYTES)
            if answer.status == 200:
                found.append(await asyncio.to_thread(redraw, answer.body, preview))
        except ImportRefused:
            continue
    return tuple(found), len(wanted) - len(found)


def redraw(data: bytes, preview: Preview) -> PreviewPicture:
    """The picture as WebP, at most SIDE pixels wide and high. Raises SourceUnusable."""
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP"))
        if image.width * image.height > MAX_PIXELS:
            raise SourceUnusable("The sample picture is too large.")
        image.draft("RGB", (SIDE, SIDE))
        picture = ImageOps.exif_transpose(image).convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        out = io.BytesIO()
        Image.frombytes("RGB", picture.size, picture.tobytes()).save(out, "WEBP", quality=85)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceUnusable("The sample picture cannot be read.") from error
    return PreviewPicture(out.getvalue(), picture.width, picture.height, preview.mature, preview.url)
