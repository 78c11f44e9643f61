"""A job's pictures as files for Discord: as they were drawn, or smaller, or fewer, where it does not take as much."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import discord
from PIL import Image

from engine import infotext_exif

from ..orders import Job, StoredPicture
from .text import shortened

log = logging.getLogger(__name__)

TOO_LARGE = 40005
SMALL = 8 << 20  # bytes for all pictures of a message, within the limit of any place as far as one knows
MOST_REFUSALS = 4  # then one picture alone, of a megabyte, has been too large
T = TypeVar("T")
Send = Callable[[list[discord.File], Sequence[StoredPicture]], Awaitable[T]]
"""Sends one message with the files, which says how many pictures are not in it."""


async def sent(job: Job, send: Send[T]) -> T:
    """What `send` gives for the job's pictures; where Discord finds them too large, for smaller ones, and at last for
    fewer. Then it is told which are left.

    Reading and encoding happen off the event loop. Raises discord.HTTPException also where nothing helps.
    """
    return await _sent(job, await asyncio.to_thread(_kept, job), send, 0)


async def _sent(job: Job, kept: Sequence[StoredPicture], send: Send[T], refusals: int) -> T:
    """Sends what may fit after so many refusals: as drawn, smaller, and from then on each time half of the bytes."""
    many = max(1, len(kept) >> max(0, refusals - 1))
    most = SMALL >> (refusals - 1) if refusals else None
    files = await asyncio.to_thread(_files, job, kept[:many], most)
    try:
        return await send(files, kept[many:])
    except discord.HTTPException as error:
        if refusals == MOST_REFUSALS or (error.status != 413 and error.code != TOO_LARGE):
            raise
    log.info("Discord finds %d pictures of job %s too large, and gets them smaller", len(files), job.id)
    return await _sent(job, kept, send, refusals + 1)


def _files(job: Job, shown: Sequence[StoredPicture], most: int | None) -> list[discord.File]:
    """The pictures, ready to be sent once: as they were drawn, or as WebP in at most so many bytes together."""
    if most is None:
        return [_file(job, picture, picture.path.read_bytes(), "png") for picture in shown]
    each = most // max(1, len(shown))
    return [_file(job, picture, webp(picture.path, picture.infotext, each), "webp") for picture in shown]


def webp(path: Path, infotext: str, most: int) -> bytes:
    """The picture as WebP with its infotext, in at most so many bytes, at half the size or less where it must be."""
    exif = infotext_exif(infotext)
    with Image.open(path) as opened:
        image: Image.Image = opened
        while True:
            file = io.BytesIO()
            image.save(file, "WEBP", quality=90, exif=exif)
            if file.tell() <= most or min(image.size) < 2:
                return file.getvalue()
            image = image.reduce(2)


def _kept(job: Job) -> list[StoredPicture]:
    return [picture for picture in job.pictures if picture.path.is_file()]


def _file(job: Job, picture: StoredPicture, data: bytes, suffix: str) -> discord.File:
    about = shortened(job.request.prompt, 1000) or None
    name = f"loraloom-{job.id}-{picture.index + 1}.{suffix}"
    return discord.File(io.BytesIO(data), name, description=about, spoiler=job.mature)
