"""The catalog: which adapter files there are, under which names, and who sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from engine import AdapterInfo, hash_digits, inspect_adapter

from ..orders.values import CatalogEntry, Who
from .bans import banned_files
from .database import Database
from .files import AdapterFolder
from .models import EntryRow, FileRow

IN_MORE = ("alphas", "autov1", "fits", "trained", "notes")  # facts nobody searches by; older rows have none
PRIVATE, GUILD, EVERYONE = "private", "guild", "everyone"
NEAREST = case((EntryRow.visibility == PRIVATE, 0), (EntryRow.visibility == GUILD, 1), else_=2)
"""Of two visible entries with the same name one's own comes first, then the server's, then everyone's."""


def visible_to(who: Who) -> ColumnElement[bool]:
    """The one rule of who sees what: one's own private entries, this server's, and everyone's.

    What is banned there only its owner sees, who may not use it either but reads why.
    """
    own = and_(EntryRow.visibility == PRIVATE, EntryRow.owner_id == who.member_id)
    here = and_(EntryRow.visibility == GUILD, EntryRow.guild_id == who.guild_id)
    everyone = EntryRow.visibility == EVERYONE
    shared = everyone if who.guild_id is None else or_(here, everyone)
    allowed = or_(EntryRow.owner_id == who.member_id, EntryRow.sha256.not_in(banned_files(who.guild_id)))
    return and_(or_(own, shared), allowed)


class Catalog:
    """Entries by name. A name is unique within what one person owns, within a server, and within everyone's."""

    def __init__(self, database: Database, adapters: AdapterFolder, now: Callable[[], datetime]) -> None:
        self._database = database
        self._adapters = adapters
        self._now = now

    async def find(self, who: Who, name: str) -> CatalogEntry | None:
        """The visible entry of that name, upper and lower case being the same."""
        return await self._first(_seen_by(who).where(EntryRow.folded == name.strip().casefold()))

    async def find_file(self, who: Who, sha256: str) -> CatalogEntry | None:
        """A visible entry of the file with that content."""
        return await self._first(_seen_by(who).where(EntryRow.sha256 == sha256))

    async def answering(self, who: Who, text: str) -> tuple[CatalogEntry, ...]:
        """Visible entries whose file gives itself that name or, without one, whose hash begins so; one a file."""
        title, digits = text.strip(), hash_digits(text)
        found = await self._files(who, or_(FileRow.title == title, func.lower(FileRow.title) == title.lower()))
        if found or not digits:
            return found
        return await self._files(who, or_(FileRow.sha256.startswith(digits), FileRow.tensor_sha256.startswith(digits)))

    async def find_hashed(self, who: Who, beginning: str) -> CatalogEntry | None:
        """A visible entry whose file, or the tensors in it, have a SHA-256 that begins like this."""
        hashes = (FileRow.sha256, FileRow.tensor_sha256)
        begins = or_(*(column.startswith(beginning.lower(), autoescape=True) for column in hashes))
        return await self._first(_seen_by(who).where(begins))

    async def search(self, who: Who, needle: str, family: str | None, limit: int) -> tuple[CatalogEntry, ...]:
        """Visible entries with `needle` in their name: those that begin with it first, then the most used."""
        folded = needle.strip().casefold()
        query = _seen_by(who, shadowed=False).where(EntryRow.folded.contains(folded, autoescape=True))
        if family:
            query = query.where(FileRow.family.in_((family, "")))
        begins = case((EntryRow.folded.startswith(folded, autoescape=True), 0), else_=1)
        query = query.order_by(None).order_by(begins, EntryRow.uses.desc(), EntryRow.folded)
        async with self._database.read() as session:
            return tuple(_entry(row) for row in await session.scalars(query.limit(limit)))

    async def add(
        self, path: Path, name: str, *, visibility: str, owner_id: int | None = None, guild_id: int | None = None
    ) -> CatalogEntry:
        """The file is kept, and is what the name stands for in its scope, whatever that name stood for before."""
        info = await asyncio.to_thread(inspect_adapter, path)
        await self._adapters.add(path, info.sha256)
        async with self._database.write() as session:
            await session.merge(_file_row(info))
            scope = _scope(visibility, owner_id, guild_id)
            row = await _entry_row(session, scope, name)
            if row is None:
                row = EntryRow(owner_id=owner_id, guild_id=guild_id, visibility=visibility, scope=scope, uses=0)
                row.created_at = self._now()
                session.add(row)
            row.name, row.folded, row.sha256 = name, name.casefold(), info.sha256
            await session.flush()
            await session.refresh(row)
            return _entry(row)

    async def _files(self, who: Who, where: ColumnElement[bool]) -> tuple[CatalogEntry, ...]:
        """The nearest entry of each file."""
        async with self._database.read() as session:
            rows = list(await session.scalars(_seen_by(who).where(where)))
            return tuple(_entry(row) for row in {row.sha256: row for row in reversed(rows)}.values())

    async def _first(self, query: Select[EntryRow]) -> CatalogEntry | None:
        async with self._database.read() as session:
            row = await session.scalar(query.limit(1))
            return None if row is None else _entry(row)


def _seen_by(who: Who, *, shadowed: bool = True) -> Select[EntryRow]:
    """The entries that `who` sees, nearest first; without the `shadowed` ones each name comes once."""
    if shadowed:
        return select(EntryRow).join(EntryRow.file).where(visible_to(who)).order_by(NEAREST, EntryRow.id)
    place = func.row_number().over(partition_by=EntryRow.folded, order_by=(NEAREST, EntryRow.id))
    ranked = select(EntryRow.id, place.label("place")).where(visible_to(who)).subquery()
    nearest = select(ranked.c.id).where(ranked.c.place == 1)
    return select(EntryRow).join(EntryRow.file).where(EntryRow.id.in_(nearest)).order_by(EntryRow.folded)


def _scope(visibility: str, owner_id: int | None, guild_id: int | None) -> str:
    owner = {PRIVATE: owner_id, GUILD: guild_id, EVERYONE: 0}[visibility]
    if owner is None:
        raise ValueError(f"an entry for {visibility} must say whose it is")
    return visibility if visibility == EVERYONE else f"{visibility}:{owner}"


async def _entry_row(session: AsyncSession, scope: str, name: str) -> EntryRow | None:
    same = (EntryRow.scope == scope, EntryRow.folded == name.casefold())
    found: EntryRow | None = await session.scalar(select(EntryRow).where(*same))
    return found


def _file_row(info: AdapterInfo) -> FileRow:
    kept = asdict(info) | {"ranks": list(info.ranks), "triggers": list(info.triggers)}
    return FileRow(more={name: kept.pop(name) for name in IN_MORE}, **kept)


def _entry(row: EntryRow) -> CatalogEntry:
    file = row.file
    more = file.more
    info = AdapterInfo(
        name=file.name,
        sha256=file.sha256,
        tensor_sha256=file.tensor_sha256,
        size=file.size,
        format=file.format,
        family=file.family,
        ranks=tuple(file.ranks),
        modules=file.modules,
        triggers=tuple(file.triggers),
        title=file.title,
        author=file.author,
        license=file.license,
        alphas=tuple(more.get("alphas", ())),
        autov1=more.get("autov1", ""),
        fits=tuple(more.get("fits", ())),
        trained=more.get("trained", {}),
        notes=tuple(more.get("notes", ())),
    )
    return CatalogEntry(
        id=row.id,
        name=row.name,
        owner_id=row.owner_id,
        guild_id=row.guild_id,
        visibility=row.visibility,
        info=info,
        created_at=row.created_at,
        uses=row.uses,
        alias=row.alias,
        weight=row.weight,
        least=row.least,
        most=row.most,
        triggers=row.trigger_policy,
        chosen=tuple(row.chosen),
        tags=tuple(tag.tag for tag in row.tags),
        description=row.description,
        nsfw=row.nsfw,
        real_person=row.real_person,
        credit=row.credit,
        license=row.license,
        forked_from=row.forked_from,
        stars=row.stars,
        ratings=row.ratings,
        favourites=row.favourites,
    )
