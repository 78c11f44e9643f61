"""Sample pictures of adapters as files for Discord."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from contextlib import suppress

import discord

from ..orders import CatalogEntry, Sample
from .text import shortened


async def sample_files(samples: Iterable[tuple[CatalogEntry, Sample]]) -> list[tuple[int, discord.File]]:
    """Those of the pictures that are on the disk, each with the id of its entry. Read off the event loop."""
    return await asyncio.to_thread(_read, tuple(samples))


def _read(samples: tuple[tuple[CatalogEntry, Sample], ...]) -> list[tuple[int, discord.File]]:
    files = []
    for number, (entry, sample) in enumerate(samples):
        with suppress(OSError):  # a card without a picture is one all the same
            data = io.BytesIO(sample.path.read_bytes())
            name = f"sample-{number}{sample.path.suffix}"
            files.append((entry.id, discord.File(data, name, description=shortened(entry.name, 100))))
    return files
