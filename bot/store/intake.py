"""What members add becomes files and entries: all of it, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.additions import GUILD, PRIVATE, Added, Addition
from ..orders.errors import ShelfFull, StorageBusy
from ..orders.values import Allotment, CatalogEntry, Who
from .audit import Audit
from .catalog import NEAREST, Catalog, entry_of, file_row, scope_of, seen_by, visible_to
from .database import Database
from .drawings import FROM_SOURCE, sample_rows
from .entries import require_free
from .files import AdapterFolder
from .models import EntryRow, FileRow, OriginRow, TagRow
from .samples import SampleFolder


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Who keeps something, as whose, and how much may be that person's; None: nobody's, and without a limit."""

    who: Who
    owner_id: int | None
    allotment: Allotment | None


class IntakeRows:
    """One addition is kept at a time, so that of two equal files one is there.

    `owner_id` None is nobody's: what comes through the watch folder.
    """

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        adapters: AdapterFolder,
        samples: SampleFolder,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._adapters = adapters
        self._samples = samples
        self._audit = audit
        self._now = now

    async def seen(self, who: Who, sha256: str, tensor_sha256: str = "") -> CatalogEntry | None:
        """The nearest entry that this person sees of a file with this content or, else, with these tensors."""
        hashes = [FileRow.sha256 == sha256] if sha256 else []
        hashes += [FileRow.tensor_sha256 == tensor_sha256] if tensor_sha256 else []
        if not hashes:
            return None
        query = seen_by(who).where(or_(*hashes)).order_by(None)
        query = query.order_by(FileRow.sha256 != sha256, NEAREST, EntryRow.id).limit(1)
        async with self._database.read() as session:
            row = await session.scalar(query)
            return None if row is None else entry_of(row)

    async def require_room(self, member_id: int, allotment: Allotment, size: int = 0) -> None:
        """Returns when the member may add one more file of `size` bytes. Raises ShelfFull."""
        async with self._database.read() as session:
            await _require_room(session, member_id, allotment, size)

    async def require_name(self, who: Who, name: str, visibility: str) -> None:
        """Returns when the member may call an entry so. Raises NameTaken."""
        async with self._database.read() as session:
            await require_free(session, scope_of(visibility, who.member_id, who.guild_id), name)

    async def free_name(self, who: Who, proposed: str, visibility: str) -> str:
        """The proposed name, or the first like it by which the member sees nothing yet."""
        async with self._database.read() as session:
            return await _free_name(session, proposed, scope_of(visibility, who.member_id, who.guild_id), who)

    async def keep(
        self, path: Path, addition: Addition, who: Who, *, owner_id: int | None, allotment: Allotment | None = None
    ) -> Added:
        """The file is kept and an entry names it, with its origin, tags and samples; after a refusal nothing is.

        A file whose tensors are here already, under an entry that this person sees, is not kept a second time: the new
        entry names that one. Raises NameTaken, ShelfFull, StorageError.
        """
        keeper, kept = _Keeper(who, owner_id, allotment), False
        files: list[str] = []
        try:
            async with self._catalog.keeping:
                added = await self._kept(path, addition, keeper, files)
            kept = added.new
            return added
        finally:
            if not kept:
                await asyncio.shield(self._take_back(addition.info.sha256, files))

    async def _kept(self, path: Path, addition: Addition, keeper: _Keeper, files: list[str]) -> Added:
        """As `keep`; `files` are the samples that were written, also where it raises."""
        info = addition.info
        twin = await self.seen(keeper.who, info.sha256, info.tensor_sha256)
        sha256 = info.sha256 if twin is None else twin.info.sha256
        if sha256 == info.sha256:
            await self._adapters.add(path, sha256)
        for picture in addition.previews:
            files.append(await self._samples.add(picture.webp))
        async with self._database.write() as session:
            return await self._recorded(session, addition, keeper, sha256, files, twin)

    async def _take_back(self, sha256: str, files: list[str]) -> None:
        """The files of an addition that came to nothing are gone, unless something else needs them."""
        await self._samples.remove(files)
        await self._catalog.sweep({sha256})

    async def _recorded(
        self,
        session: AsyncSession,
        addition: Addition,
        keeper: _Keeper,
        sha256: str,
        files: list[str],
        twin: CatalogEntry | None,
    ) -> Added:
        who, owner_id = keeper.who, keeper.owner_id
        shared = sha256 != addition.info.sha256
        warnings = addition.provenance.warnings
        scope = scope_of(addition.visibility, owner_id, who.guild_id)
        same = await session.scalar(select(EntryRow).where(EntryRow.scope == scope, EntryRow.sha256 == sha256).limit(1))
        if same is not None:
            return Added(entry_of(same), new=False, same_as=same.name, shared=shared)
        if owner_id is not None and keeper.allotment is not None:
            await _require_room(session, owner_id, keeper.allotment, addition.info.size)
        if await session.get(FileRow, sha256) is None:
            if shared:
                raise StorageBusy("The file that yours is equal to was removed just now; send it once more.")
            session.add(file_row(addition.info))
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
        return Added(entry_of(row), same_as="" if twin is None else twin.name, shared=shared, warnings=warnings)


async def _require_room(session: AsyncSession, member_id: int, allotment: Allotment, size: int) -> None:
    mine = EntryRow.owner_id == member_id
    entries = await session.scalar(select(func.count()).select_from(EntryRow).where(mine)) or 0
    if entries >= allotment.entries:
        raise ShelfFull(f"You have added {entries} adapters, and {allotment.entries} is the most. Remove one first.")
    files = select(EntryRow.sha256).where(mine).distinct()
    nbytes = await session.scalar(select(func.sum(FileRow.size)).where(FileRow.sha256.in_(files))) or 0
    if nbytes + size > allotment.nbytes:
        have, most = f"{nbytes / 1e6:,.0f} MB", f"{allotment.nbytes / 1e6:,.0f} MB"
        raise ShelfFull(f"Your adapters have {have}, and {most} is the most. Remove one first.")


async def _name(session: AsyncSession, addition: Addition, scope: str, who: Who) -> str:
    """What the new entry is called: as it was asked for, or as it can be. Raises NameTaken."""
    if not addition.name:
        return await _free_name(session, addition.proposed, scope, who)
    await require_free(session, scope, addition.name)
    return addition.name


async def _free_name(session: AsyncSession, proposed: str, scope: str, who: Who) -> str:
    met, names = or_(EntryRow.scope == scope, visible_to(who)), set()
    for column in (EntryRow.folded, EntryRow.alias_folded):
        begins = column.startswith(proposed.casefold(), autoescape=True)
        names |= set(await session.scalars(select(column).where(begins, met)))
    tried = (proposed, *(f"{proposed}-{number}" for number in range(2, len(names) + 3)))
    return next(name for name in tried if name.casefold() not in names)
