"""What members add becomes files and entries: all of it, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.additions import GUILD, PRIVATE, Added, Addition
from ..orders.errors import NameTaken, ShelfFull, StorageBusy
from ..orders.values import CatalogEntry, Shelf, Who
from .audit import Audit
from .catalog import NEAREST, _entry, _file_row, _scope, visible_to
from .database import Database
from .drawings import FROM_SOURCE, sample_rows
from .files import AdapterFolder, sweep_half_written
from .models import EntryRow, FileRow, OriginRow, TagRow
from .samples import SampleFolder


class IntakeRows:
    """One addition is kept at a time, so that of two equal files one is there.

    `owner_id` None is nobody's: what comes through the watch folder.
    """

    def __init__(
        self,
        database: Database,
        adapters: AdapterFolder,
        samples: SampleFolder,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._samples = samples
        self._audit = audit
        self._now = now
        self._one = asyncio.Lock()

    async def seen(self, who: Who, sha256: str, tensor_sha256: str = "") -> CatalogEntry | None:
        """The nearest entry that this person sees of a file with this content or, else, with these tensors."""
        hashes = [FileRow.sha256 == sha256] if sha256 else []
        hashes += [FileRow.tensor_sha256 == tensor_sha256] if tensor_sha256 else []
        if not hashes:
            return None
        query = select(EntryRow).join(EntryRow.file).where(visible_to(who), or_(*hashes))
        query = query.order_by(FileRow.sha256 != sha256, NEAREST, EntryRow.id).limit(1)
        async with self._database.read() as session:
            row = await session.scalar(query)
            return None if row is None else _entry(row)

    async def require_room(self, member_id: int, shelf: Shelf, size: int = 0) -> None:
        """Returns when the member may add one more file of `size` bytes. Raises ShelfFull."""
        async with self._database.read() as session:
            await _require_room(session, member_id, shelf, size)

    async def require_name(self, who: Who, name: str, visibility: str) -> None:
        """Returns when the member may call an entry so. Raises NameTaken."""
        scope = _scope(visibility, who.member_id, who.guild_id)
        same = select(EntryRow.id).where(EntryRow.scope == scope, EntryRow.folded == name.casefold())
        async with self._database.read() as session:
            if await session.scalar(same) is not None:
                raise _taken(name)

    async def free_name(self, who: Who, proposed: str, visibility: str) -> str:
        """The proposed name, or the first like it by which the member sees nothing yet."""
        async with self._database.read() as session:
            return await _free_name(session, proposed, _scope(visibility, who.member_id, who.guild_id), who)

    async def keep(
        self, path: Path, addition: Addition, who: Who, *, owner_id: int | None, shelf: Shelf | None = None
    ) -> Added:
        """The file is kept and an entry names it, with its origin, tags and samples; after a refusal nothing is.

        A file whose tensors are here already, under an entry that this person sees, is not kept a second time: the new
        entry names that one. Raises NameTaken, ShelfFull, StorageError.
        """
        async with self._one:
            info = addition.info
            twin = await self.seen(who, info.sha256, info.tensor_sha256)
            sha256 = info.sha256 if twin is None else twin.info.sha256
            files: list[str] = []
            kept = False
            try:
                if sha256 == info.sha256:
                    await self._adapters.add(path, sha256)
                for picture in addition.previews:
                    files.append(await self._samples.add(picture.webp))
                async with self._database.write() as session:
                    added = await self._recorded(session, addition, who, owner_id, shelf, sha256, files, twin)
                kept = True
            finally:
                if not kept:
                    await asyncio.shield(self._take_back(info.sha256, files))
            if not added.new:
                await self._samples.remove(files)
            return added

    async def sweep(self) -> int:
        """No adapter file is on the disk without a row; gives how many were. For the start, when nobody adds."""
        await asyncio.to_thread(sweep_half_written, self._adapters.folder)
        async with self._database.read() as session:
            strays = await self._adapters.kept() - set(await session.scalars(select(FileRow.sha256)))
        await self._adapters.remove(strays)
        return len(strays)

    async def _take_back(self, sha256: str, files: list[str]) -> None:
        """The files of an addition that came to nothing are gone, unless another entry needs them."""
        await self._samples.remove(files)
        async with self._database.read() as session:
            known = await session.get(FileRow, sha256)
        if known is None:
            await self._adapters.remove((sha256,))

    async def _recorded(
        self,
        session: AsyncSession,
        addition: Addition,
        who: Who,
        owner_id: int | None,
        shelf: Shelf | None,
        sha256: str,
        files: list[str],
        twin: CatalogEntry | None,
    ) -> Added:
        shared = sha256 != addition.info.sha256
        warnings = addition.provenance.warnings
        scope = _scope(addition.visibility, owner_id, who.guild_id)
        same = await session.scalar(select(EntryRow).where(EntryRow.scope == scope, EntryRow.sha256 == sha256).limit(1))
        if same is not None:
            return Added(_entry(same), new=False, same_as=same.name, shared=shared)
        if owner_id is not None and shelf is not None:
            await _require_room(session, owner_id, shelf, addition.info.size)
        if await session.get(FileRow, sha256) is None:
            if shared:
                raise StorageBusy("The file that yours is equal to was removed just now; send it once more.")
            session.add(_file_row(addition.info))
        name = await _name(session, addition, scope, who)
        row = EntryRow(
            name=name,
            folded=name.casefold(),
            scope=scope,
            owner_id=owner_id,
            guild_id=who.guild_id if addition.visibility == GUILD else None,
            visibility=addition.visibility,
            sha256=sha256,
            created_at=self._now(),
            uses=0,
            chosen=list(addition.triggers),
            description=addition.description,
            nsfw=addition.mature,
            real_person=addition.real_person,
            credit=addition.credit,
            license=addition.licence,
            tags=[TagRow(tag=tag) for tag in addition.tags],
        )
        session.add(row)
        await session.flush()
        session.add(
            OriginRow(entry_id=row.id, value=addition.provenance.to_json(), at_source="", checked_at=self._now())
        )
        session.add_all(sample_rows(row.id, FROM_SOURCE, addition.previews, files))
        where = who.guild_id if addition.visibility != PRIVATE else None
        said = {"sha256": sha256, "origin": addition.provenance.origin, "visibility": addition.visibility}
        await self._audit.note(session, "add", f"entry {row.id}", actor=owner_id, guild_id=where, details=said)
        await session.refresh(row)
        return Added(_entry(row), same_as="" if twin is None else twin.name, shared=shared, warnings=warnings)


async def _require_room(session: AsyncSession, member_id: int, shelf: Shelf, size: int) -> None:
    mine = EntryRow.owner_id == member_id
    entries = await session.scalar(select(func.count()).select_from(EntryRow).where(mine)) or 0
    if entries >= shelf.entries:
        raise ShelfFull(f"You have added {entries} adapters, and {shelf.entries} is the most. Remove one first.")
    files = select(EntryRow.sha256).where(mine).distinct()
    nbytes = await session.scalar(select(func.sum(FileRow.size)).where(FileRow.sha256.in_(files))) or 0
    if nbytes + size > shelf.nbytes:
        have, most = f"{nbytes / 1e6:,.0f} MB", f"{shelf.nbytes / 1e6:,.0f} MB"
        raise ShelfFull(f"Your adapters have {have}, and {most} is the most. Remove one first.")


async def _name(session: AsyncSession, addition: Addition, scope: str, who: Who) -> str:
    """What the new entry is called: as it was asked for, or as it can be. Raises NameTaken."""
    if not addition.name:
        return await _free_name(session, addition.proposed, scope, who)
    same = select(EntryRow.id).where(EntryRow.scope == scope, EntryRow.folded == addition.name.casefold())
    if await session.scalar(same) is not None:
        raise _taken(addition.name)
    return addition.name


async def _free_name(session: AsyncSession, proposed: str, scope: str, who: Who) -> str:
    begins = EntryRow.folded.startswith(proposed.casefold(), autoescape=True)
    met = select(EntryRow.folded).where(begins, or_(EntryRow.scope == scope, visible_to(who)))
    names = set(await session.scalars(met))
    tried = (proposed, *(f"{proposed}-{number}" for number in range(2, len(names) + 3)))
    return next(name for name in tried if name.casefold() not in names)


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is an adapter called {name!r} already; choose another name.")
