"""What the bot holds of the one who asks: all of it handed out, or all of it gone. Knows no Discord."""

from __future__ import annotations

import asyncio
import json
import tempfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .errors import TooLate
from .values import Holdings, Shared, Who

if TYPE_CHECKING:
    from ..store import Store

KIND = "forget"  # of the question
SETTLING = 10.0  # seconds that results under way have to be shown before they are forgotten
LOOK_EVERY = 0.1  # seconds
ROWS = 2000  # in one JSON file
MOST_PARTS = 10
OVERHEAD = 512  # bytes of a zip for one file, names and all


class Forgets(Protocol):
    """Where files are on their way in: `Intake`."""

    async def forget(self, member_id: int) -> None: ...


class Cancels(Protocol):
    """Where jobs wait and run: `bot.jobs.Runner`."""

    async def cancel(self, job_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Export:
    """Zip files, each whole by itself, that are there until the block ends; `left_out` names what fits into none."""

    parts: tuple[Path, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Item:
    """One file of an export: `size` in bytes as it will be in the zip."""

    name: str
    source: Path
    size: int
    deflated: bool = False


class Privacy:
    """`export` changes nothing; `delete` is asked about once by `ask`, and has no inverse."""

    def __init__(self, store: Store, line: Cancels, intake: Forgets | None = None) -> None:
        self._store = store
        self._line = line
        self._intake = intake

    async def ask(self, who: Who) -> tuple[str, Holdings]:
        """The number of the question whether everything is to be deleted, and how much that is."""
        return await self._store.questions.ask(who, KIND, {}), await self._store.people.holdings(who.member_id)

    async def keep(self, who: Who, number: str) -> None:
        """The question is answered with no. Raises TooLate."""
        await self._answered(who, number)

    async def delete(self, who: Who, number: str, shared: Shared) -> None:
        """The question is answered with yes: the bot holds nothing of this person, who may come back as somebody new.

        What they were drawing or adding is cancelled first. Raises TooLate where the question is not open.
        """
        await self._answered(who, number)
        for job in await self._store.jobs.unfinished(who.member_id):
            await self._line.cancel(job.id)
        if self._intake is not None:
            await self._intake.forget(who.member_id)
        await self._settle(who.member_id)
        await self._store.people.forget(who.member_id, shared)

    @asynccontextmanager
    async def export(self, who: Who, most: int, about: str = "") -> AsyncIterator[Export]:
        """Everything the bot holds of this person, in zip files of at most `most` bytes. `about` says what is what."""
        with tempfile.TemporaryDirectory(prefix="loraloom-export-") as name:
            folder = Path(name)
            records = await self._store.people.records(who.member_id)
            items = await asyncio.to_thread(_documents, records, folder, about)
            items += await self._sent(who.member_id, folder)
            paths = await self._store.people.files(who.member_id)
            items += [_Item(f"{path.parent.name}/{path.name}", path, path.stat().st_size) for path in paths]
            yield await asyncio.to_thread(_zipped, items, folder, most)

    async def _answered(self, who: Who, number: str) -> None:
        if await self._store.questions.take(who, KIND, number) is None:
            raise TooLate("This question is answered or too old. Send /privacy delete again.")

    async def _settle(self, member_id: int) -> None:
        """What is on its way to Discord has arrived, or is not waited for any longer."""
        for _ in range(round(SETTLING / LOOK_EVERY)):
            if not await self._store.jobs.untold(member_id):
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _sent(self, member_id: int, folder: Path) -> list[_Item]:
        """The pictures sent along, out of the database, one job at a time."""
        items = []
        for job_id in await self._store.people.sent(member_id):
            for what, data in zip(("image", "mask"), await self._store.people.sent_with(job_id), strict=False):
                path = folder / f"{job_id}-{what}"
                await asyncio.to_thread(path.write_bytes, data)
                items.append(_Item(f"sent/{job_id}-{what}", path, len(data)))
        return items


def _documents(records: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path, about: str) -> list[_Item]:
    """The tables as JSON files in the folder, and what they are."""
    texts = {"about.txt": about} if about else {}
    for table, rows in records.items():
        for start in range(0, max(1, len(rows)), ROWS):
            name = f"{table}.json" if len(rows) <= ROWS else f"{table}-{start // ROWS + 1}.json"
            texts[name] = json.dumps(rows[start : start + ROWS], ensure_ascii=False, indent=1, default=str)
    items = []
    for name, text in texts.items():
        data, path = text.encode(), folder / name
        path.write_bytes(data)
        items.append(_Item(name, path, len(zlib.compress(data)), deflated=True))
    return items


def _zipped(items: Iterable[_Item], folder: Path, most: int) -> Export:
    """The items in their order, each in the first part that has room for it."""
    room: list[int] = []
    packed: list[list[_Item]] = []
    left_out: list[str] = []
    for item in items:
        needed = item.size + OVERHEAD
        place = next((place for place, free in enumerate(room) if free >= needed), len(room))
        if needed > most or place == MOST_PARTS:
            left_out.append(item.name)
            continue
        if place == len(room):
            room.append(most)
            packed.append([])
        room[place] -= needed
        packed[place].append(item)
    parts = tuple(_written(part, folder / f"loraloom-{place + 1}.zip") for place, part in enumerate(packed))
    return Export(parts, tuple(left_out))


def _written(items: Iterable[_Item], target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for item in items:
            try:
                kind = zipfile.ZIP_DEFLATED if item.deflated else zipfile.ZIP_STORED
                archive.write(item.source, item.name, kind)
            except FileNotFoundError:
                continue  # its owner deleted it a moment ago
    return target
