"""The store as a whole, opened and closed."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

from engine import BUILTIN_ADAPTERS, builtin_adapter, builtin_samples

from ..importing import PreviewPicture
from ..orders.errors import NameTaken, StorageError
from .audit import Audit
from .backup import copy_database
from .catalog import EVERYONE, Catalog
from .database import Database, database_url
from .drawings import Drawings
from .entries import Entries
from .files import AdapterFolder, PictureFolder, sweep_half_written
from .holdings import People
from .intake import IntakeRows
from .integrity import check, newest
from .jobs import JobRows, utc_now
from .judging import Judging
from .lock import locked
from .migrate import upgrade
from .origins import Origins
from .questions import Questions
from .running import Running
from .samples import SampleFolder
from .settings import SettingsRows
from .stock import StockRows

BUILTIN_WORDS = {  # what the built-in adapters do, and under which tags they are found
    "ink": ("Black brush on paper, with a red seal. Mixes with light.", ("ink", "monochrome", "style")),
    "neon": ("Glowing outlines on a dark ground.", ("glow", "style")),
    "light": ("Warm light from the left and long shadows. Mixes with ink.", ("lighting", "style")),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Store:
    """`adapters_folder` is one for `EngineConfig.adapter_folders`: files lie in it as ab/<sha256>.safetensors."""

    jobs: JobRows
    catalog: Catalog
    entries: Entries
    audit: Audit
    questions: Questions
    judging: Judging
    intake: IntakeRows
    origins: Origins
    drawings: Drawings
    people: People
    running: Running
    settings: SettingsRows
    stock: StockRows
    adapters_folder: Path
    connections: Database

    async def touch(self) -> None:
        """A write transaction came through. Raises StorageError."""
        await self.connections.touch()

    def room(self) -> int:
        """Bytes that are free on the disk of the data folder."""
        return shutil.disk_usage(self.adapters_folder).free

    async def sweep(self) -> int:
        """Nothing is on the disk of what a killed run had begun; gives how many files were. For the start alone."""
        await asyncio.to_thread(sweep_half_written, self.adapters_folder)
        return await self.jobs.sweep() + await self.catalog.sweep() + await self.drawings.sweep()

    async def adopt_builtins(self) -> None:
        """The engine's built-in adapters are in everyone's catalog, once each, with the pictures that come along."""
        for name in BUILTIN_ADAPTERS:
            words, tags = BUILTIN_WORDS.get(name, ("", ()))
            try:
                file = builtin_adapter(name)
                entry = await self.catalog.add(file, name, visibility=EVERYONE, description=words, tags=tags)
            except NameTaken:  # by a member, before a version came with it
                log.warning("The built-in adapter %s is not in the catalog: its name is somebody's", name)
            else:
                await self._show_builtin(name, entry.id)

    async def _show_builtin(self, name: str, entry_id: int) -> None:
        """Where there is no room for its pictures, it can be drawn with all the same."""
        try:
            await self.drawings.renew(entry_id, await asyncio.to_thread(_pictures_of, name))
        except (StorageError, OSError) as fault:
            log.warning("The built-in adapter %s is shown without pictures: %s", name, fault)


def _pictures_of(name: str) -> list[PreviewPicture]:
    """What comes with a built-in adapter."""
    pictures = []
    for path in builtin_samples(name):
        with Image.open(path) as image:
            width, height = image.size
        pictures.append(PreviewPicture(path.read_bytes(), width, height, mature=False, url=""))
    return pictures


@asynccontextmanager
async def open_store(
    database: str | Path | None, data: Path, *, now: Callable[[], datetime] = utc_now
) -> AsyncIterator[Store]:
    """The store in the folder `data`, its database at the newest revision. None: `loraloom.db` in that folder.

    Nobody else has the folder meanwhile, nobody is in it who has asked to be forgotten, and no file that no row knows
    of. Raises DataFolderError: in use, damaged, or made by a newer Loraloom.
    """
    with locked(data):
        file = data / "loraloom.db"
        if database is None:
            await _keep_before_upgrade(file)
        pictures, adapters = PictureFolder(data / "pictures"), AdapterFolder(data / "adapters")
        previews = SampleFolder(data / "previews")
        url = database_url(database or file)
        await upgrade(url)
        connections = Database(url)
        try:
            jobs, catalog = JobRows(connections, pictures, now), Catalog(connections, adapters, now)
            audit, questions = Audit(connections, now), Questions(connections, now)
            entries = Entries(connections, catalog, previews.folder, now)
            intake = IntakeRows(connections, catalog, adapters, previews, audit, now)
            origins, drawings = Origins(connections, now), Drawings(connections, previews)
            settings, stock = SettingsRows(connections, audit, now), StockRows(connections, audit, now)
            people = People(connections, data, pictures, adapters, catalog, settings, audit, now)
            await people.catch_up()
            store = Store(
                jobs=jobs,
                catalog=catalog,
                entries=entries,
                audit=audit,
                questions=questions,
                judging=Judging(connections, audit, previews, pictures, now),
                intake=intake,
                origins=origins,
                drawings=drawings,
                people=people,
                running=Running(connections, now),
                settings=settings,
                stock=stock,
                adapters_folder=adapters.folder,
                connections=connections,
            )
            if strays := await store.sweep():
                log.info("Removed %d files that no row knows of; a crash had left them", strays)
            yield store
        finally:
            await connections.aclose()


async def _keep_before_upgrade(file: Path) -> None:
    """The database is whole, and before it is brought to another revision a copy of it lies beside it."""
    revision = await asyncio.to_thread(check, file)
    copy = file.with_name(f"{file.stem}.before-{newest()}{file.suffix}")
    if revision is not None and revision != newest() and not copy.exists():
        await asyncio.to_thread(copy_database, file, copy)
