"""What members do with the entries of the catalog. Whose an entry is, is asked in the transaction that changes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.browsing import Change
from ..orders.errors import NameTaken, StorageError
from ..orders.values import CatalogEntry, Who
from .catalog import GUILD, PRIVATE, Catalog, entry_of, named_row, scope_of, seen_by, visible_to
from .database import Database
from .models import EntryRow, FavouriteRow, OriginRow, SampleRow, TagRow

log = logging.getLogger(__name__)

_COLUMNS = {"triggers": "trigger_policy"}  # where a column is not called as the entry's field
_FORKED = (  # what a fork takes over besides its file
    *("alias", "alias_folded", "weight", "least", "most", "trigger_policy", "chosen", "description"),
    *("nsfw", "real_person"),
)


class Entries:
    """A method that gives None found no entry of that id which this person sees and owns."""

    def __init__(self, database: Database, catalog: Catalog, previews: Path, now: Callable[[], datetime]) -> None:
        self._database = database
        self._catalog = catalog
        self._previews = previews
        self._now = now

    async def edit(self, who: Who, entry_id: int, change: Change) -> CatalogEntry | None:
        """One's own entry is as the change says. Raises NameTaken: another one in its scope is called so."""
        async with self._database.write() as session:
            row = await _own(session, who, entry_id)
            if row is None:
                return None
            for name in ("name", "alias"):
                if change.get(name):
                    await require_free(session, row.scope, str(change.get(name)), row)
            for name, value in change.items():
                _set(row, name, value)
            await session.flush()
            await session.refresh(row)
            return entry_of(row)

    async def move(self, who: Who, entry_id: int, visibility: str) -> CatalogEntry | None:
        """One's own entry is seen by these people: in that server, where it is a server's. Raises NameTaken."""
        async with self._database.write() as session:
            row = await _own(session, who, entry_id)
            if row is None:
                return None
            guild_id = who.guild_id if visibility == GUILD else None
            scope = scope_of(visibility, who.member_id, guild_id)
            for name in filter(None, (row.name, row.alias)):
                await require_free(session, scope, name, row)
            row.visibility, row.guild_id, row.scope = visibility, guild_id, scope
            await session.flush()
            return entry_of(row)

    async def fork(self, who: Who, entry_id: int, name: str) -> CatalogEntry | None:
        """A private entry of one's own for the same file, with everything that was said of it, its maker, its licence
        and where it came from. None: no such entry is visible. Raises NameTaken.
        """
        async with self._database.write() as session:
            row = await session.scalar(seen_by(who).where(EntryRow.id == entry_id))
            if row is None:
                return None
            original, scope = entry_of(row), scope_of(PRIVATE, who.member_id, None)
            await require_free(session, scope, name or row.name)
            fork = EntryRow(owner_id=who.member_id, visibility=PRIVATE, scope=scope, sha256=row.sha256, uses=0)
            for column in _FORKED:
                setattr(fork, column, getattr(row, column))
            if await _called(session, scope, row.alias) is not None:
                fork.alias = fork.alias_folded = ""
            _set(fork, "name", name or row.name)
            fork.credit, fork.license = original.maker, original.terms
            fork.forked_from, fork.created_at = row.id, self._now()
            fork.tags = [TagRow(tag=tag) for tag in original.tags]
            session.add(fork)
            await session.flush()
            await _copy_provenance(session, row.id, fork.id)
            await session.refresh(fork)
            return entry_of(fork)

    async def keep(self, who: Who, entry_id: int) -> CatalogEntry | None:
        """The visible entry is among this person's favourites. `let_go` is the inverse; None: it is not visible."""
        return await self._favour(who, entry_id, wanted=True)

    async def let_go(self, who: Who, entry_id: int) -> CatalogEntry | None:
        return await self._favour(who, entry_id, wanted=False)

    async def remove(self, who: Who, entry_id: int) -> CatalogEntry | None:
        """One's own entry is gone, and its file and pictures too unless something else needs them."""
        async with self._database.write() as session:
            row = await _own(session, who, entry_id)
            if row is None:
                return None
            entry = entry_of(row)
            samples = select(SampleRow.file).where(SampleRow.entry_id == entry_id)
            pictures = set(await session.scalars(samples))
            await session.delete(row)
            await session.flush()
            pictures -= set(await session.scalars(select(SampleRow.file).where(SampleRow.file.in_(pictures))))
        await asyncio.to_thread(_unlink, [self._previews / file for file in pictures])
        try:
            await self._catalog.sweep({entry.info.sha256})
        except StorageError as fault:  # the entry is gone all the same
            log.warning("the file of %s goes at the next start: %s", entry.info.sha256[:12], fault)
        return entry

    async def _favour(self, who: Who, entry_id: int, *, wanted: bool) -> CatalogEntry | None:
        async with self._database.write() as session:
            row = await session.scalar(seen_by(who).where(EntryRow.id == entry_id))
            if row is None:
                return None
            mine = (FavouriteRow.member_id == who.member_id, FavouriteRow.entry_id == entry_id)
            if wanted:
                await session.merge(FavouriteRow(member_id=who.member_id, entry_id=entry_id))
                await session.flush()
            else:
                await session.execute(delete(FavouriteRow).where(*mine))
            number = select(func.count()).where(FavouriteRow.entry_id == entry_id).scalar_subquery()
            await session.execute(update(EntryRow).where(EntryRow.id == entry_id).values(favourites=number))
            await session.refresh(row)
            return entry_of(row)


async def _own(session: AsyncSession, who: Who, entry_id: int) -> EntryRow | None:
    mine = (EntryRow.id == entry_id, EntryRow.owner_id == who.member_id, visible_to(who))
    found: EntryRow | None = await session.scalar(select(EntryRow).where(*mine))
    return found


async def _called(session: AsyncSession, scope: str, name: str) -> EntryRow | None:
    """What a name or an alias means in a scope."""
    folded = name.casefold()
    if not folded:
        return None
    row = await named_row(session, scope, name)
    if row is None:
        query = select(EntryRow).where(EntryRow.scope == scope, EntryRow.alias_folded == folded)
        row = await session.scalar(query.limit(1))
    return row


async def require_free(session: AsyncSession, scope: str, name: str, row: EntryRow | None = None) -> None:
    """Returns where nothing but `row` is called so in the scope. Raises NameTaken."""
    where, folded = (EntryRow.scope == scope), name.casefold()
    called = select(EntryRow.id).where(where, or_(EntryRow.folded == folded, EntryRow.alias_folded == folded))
    if row is not None:
        called = called.where(EntryRow.id != row.id)
    if await session.scalar(called.limit(1)) is not None:
        raise NameTaken(_taken(name, scope.partition(":")[0]))


def _taken(name: str, visibility: str) -> str:
    if visibility == PRIVATE:
        return f"One of your adapters is called {name!r} already; choose another name for this one."
    if visibility == GUILD:
        return f"An adapter of this server is called {name!r} already; choose another name for yours."
    return f"An adapter for everyone is called {name!r} already; choose another name for yours."


def _set(row: EntryRow, name: str, value: object) -> None:
    """A field of CatalogEntry, as the row keeps it."""
    match name, value:
        case ("tags", tuple()):
            row.tags = [kept for kept in row.tags if kept.tag in value] + [
                TagRow(tag=tag) for tag in value if tag not in {kept.tag for kept in row.tags}
            ]
        case ("chosen", tuple()):
            row.chosen = list(value)
        case ("name", str()):
            row.name, row.folded = value, value.casefold()
        case ("alias", str()):
            row.alias, row.alias_folded = value, value.casefold()
        case _:
            setattr(row, _COLUMNS.get(name, name), value)


async def _copy_provenance(session: AsyncSession, entry_id: int, fork_id: int) -> None:
    """The fork's file came from where the original's did, and its pictures show the same; reviews stay behind."""
    origin = await session.get(OriginRow, entry_id)
    if origin is not None:
        values = {"value": origin.value, "at_source": origin.at_source, "checked_at": origin.checked_at}
        session.add(OriginRow(entry_id=fork_id, **values))
    samples = select(SampleRow).where(SampleRow.entry_id == entry_id, SampleRow.kind != "review")
    for row in list(await session.scalars(samples)):
        kept = {name: getattr(row, name) for name in ("kind", "member_id", "file", "width", "height", "mature")}
        session.add(SampleRow(entry_id=fork_id, **kept))


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
