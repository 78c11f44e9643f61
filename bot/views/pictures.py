"""A job's pictures as files for Discord: as they were drawn, or smaller where Discord does not take as much."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import discord
from PIL import Image

from engine import infotext_exif

from ..orders import Job, StoredPicture
from .text import shortened

log = logging.getLogger(__name__)

TOO_LARGE = 40005
SMALL = 8 << 20  # bytes for all pictures of a message, within the limit of any place
T = TypeVar("T")


async def sent(job: Job, send: Callable[[list[discord.File]], Awaitable[T]]) -> T:
    """What `send` gives for the job's pictures, which are tried once more, smaller, where Discord finds them too large.

    Reading and encoding happen off the event loop.
    """
    try:
        return await send(await asyncio.to_thread(_files, job))
    except discord.HTTPException as error:
        if error.status != 413 and error.code != TOO_LARGE:
            raise
        log.info("The pictures of job %s are too large for Discord and go out smaller", job.id)
    return await send(await asyncio.to_thread(_smaller_files, job))


def _files(job: Job) -> list[discord.File]:
    """The pictures that are still on disk, ready to be sent once."""
    return [_file(job, picture, picture.path.read_bytes(), "png") for picture in _kept(job)]


def _smaller_files(job: Job) -> list[discord.File]:
    kept = _kept(job)
    return [_file(job, picture, webp(picture.path, picture.infotext, SMALL // len(kept)), "webp") for picture in kept]


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
