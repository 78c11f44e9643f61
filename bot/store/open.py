"""The store as a whole, opened and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine import BUILTIN_ADAPTERS, builtin_adapter

from .catalog import EVERYONE, Catalog
from .database import Database, database_url
from .files import AdapterFolder, PictureFolder
from .jobs import JobRows, utc_now
from .migrate import upgrade


@dataclass(frozen=True, slots=True)
class Store:
    """`adapters_folder` is one for `EngineConfig.adapter_folders`: files lie in it as ab/<sha256>.safetensors."""

    jobs: JobRows
    catalog: Catalog
    adapters_folder: Path

    async def adopt_builtins(self) -> None:
        """The engine's built-in adapters are in everyone's catalog, once each."""
        for name in BUILTIN_ADAPTERS:
            await self.catalog.add(builtin_adapter(name), name, visibility=EVERYONE)


@asynccontextmanager
async def open_store(
    database: str | Path | None, data: Path, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Store]:
    """The store in the folder `data`, its database at the newest revision. None: `loraloom.db` in that folder."""
    pictures, adapters = PictureFolder(data / "pictures"), AdapterFolder(data / "adapters")
    url = database_url(database or data / "loraloom.db")
    await upgrade(url)
    connections = Database(url)
    try:
        yield Store(JobRows(connections, pictures, now), Catalog(connections, adapters, now), adapters.folder)
    finally:
        await connections.aclose()
