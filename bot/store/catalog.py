"""The catalog: which adapter files there are, under which names, and who sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Select, and_, case, delete, exists, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from engine import AdapterInfo, hash_digits, inspect_adapter

from ..orders.browsing import Gallery, Sample, Wish
from ..orders.errors import NameTaken
from ..orders.values import UNFINISHED, CatalogEntry, Who, read_short_id
from .bans import banned_files
from .database import Database
from .files import AdapterFolder
from .models import EntryRow, FavouriteRow, FileRow, JobRow, QuarantineRow, SampleRow, TagRow
from .search import Search

TAGS = 24  # that are offered to choose from
LIKENESSES = 3  # names that are suggested for one
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
        self._previews = adapters.folder.parent / "previews"
        self._now = now
        self._search = Search(database)
        self.keeping = asyncio.Lock()  # a file is kept before its entry is, and nothing sweeps it in between

    # one entry

    async def find(self, who: Who, name: str) -> CatalogEntry | None:
        """The visible entry of that name, else of that alias, upper and lower case being the same; or of that short id,
        as `CatalogEntry.short_id` writes it.
        """
        number = read_short_id(name)
        if number is not None:
            return await self.find_id(who, number)
        folded = name.strip().casefold()
        called = case((EntryRow.folded == folded, 0), else_=1)
        query = seen_by(who).where(or_(EntryRow.folded == folded, EntryRow.alias_folded == folded))
        return await self._first(query.order_by(None).order_by(called, NEAREST, EntryRow.id)) if folded else None

    async def find_id(self, who: Who, entry_id: int) -> CatalogEntry | None:
        """The visible entry of that id."""
        return await self._first(seen_by(who).where(EntryRow.id == entry_id))

    async def find_file(self, who: Who, sha256: str, name: str = "") -> CatalogEntry | None:
        """A visible entry of the file with that content; the one of that name, or short id, where there is one."""
        number = read_short_id(name)
        meant = EntryRow.id == number if number is not None else EntryRow.folded == name.strip().casefold()
        query = seen_by(who).where(EntryRow.sha256 == sha256).order_by(None)
        return await self._first(query.order_by(case((meant, 0), else_=1), NEAREST, EntryRow.id))

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
        return await self._first(seen_by(who).where(begins))

    # many

    async def search(
        self, who: Who, needle: str, family: str | None, limit: int, *, mature: bool = True, private: bool = True
    ) -> tuple[CatalogEntry, ...]:
        """Visible entries that answer to `needle` and fit `family`: the best answers first, then the most used."""
        wish = Wish(needle, family or "", mature=mature, private=private)
        found = await self._search.ids(visible_to(who), who, wish)
        return await self._in_order(found[:limit])

    async def warm(self) -> None:
        """Searches are quick from the first on."""
        await self._search.warm()

    async def browse(self, who: Who, wish: Wish, number: int, size: int) -> Gallery:
        """One page of the visible entries that the wish finds; a page past the end is the last one."""
        found = await self._search.ids(visible_to(who), who, wish)
        pages = max(1, -(-len(found) // size))
        number = min(max(1, number), pages)
        entries = await self._in_order(found[(number - 1) * size : number * size])
        samples = {entry.id: samples[0] for entry in entries if (samples := await self.samples(who, entry, 1))}
        families, tags = await self.facets(who)
        return Gallery(wish, entries, samples, number, pages, len(found), families, tags)

    async def likenesses(self, who: Who, entry: CatalogEntry, family: str) -> tuple[CatalogEntry, ...]:
        """What could stand in for an entry on another family's base model: visible, everybody's to read, sharing the
        most tags with it, then the most used.
        """
        shared = select(func.count()).select_from(TagRow)
        shared = shared.where(TagRow.entry_id == EntryRow.id, TagRow.tag.in_(entry.tags))
        query = seen_by(who, shadowed=False).where(FileRow.family == family, EntryRow.visibility != PRIVATE)
        if not who.adult:
            query = query.where(EntryRow.nsfw.is_(False))
        query = query.order_by(None).order_by(shared.scalar_subquery().desc(), EntryRow.uses.desc(), EntryRow.folded)
        async with self._database.read() as session:
            return tuple(entry_of(row) for row in await session.scalars(query.limit(LIKENESSES)))

    async def samples(self, who: Who, entry: CatalogEntry, most: int) -> tuple[Sample, ...]:
        """Sample pictures of an entry: drawn here first, then its source's, then members'. Where not only adults are,
        or a real person is shown, none that is not for everybody.
        """
        if entry.nsfw and not who.adult:
            return ()
        kind = case((SampleRow.kind == "drawn", 0), (SampleRow.kind == "source", 1), else_=2)
        query = select(SampleRow).where(SampleRow.entry_id == entry.id).order_by(kind, SampleRow.id)
        if not who.adult or entry.real_person:
            query = query.where(SampleRow.mature.is_(False))
        async with self._database.read() as session:
            rows = await session.scalars(query.limit(most))
            return tuple(Sample(self._previews / row.file, row.width, row.height, row.kind, row.mature) for row in rows)

    async def is_favourite(self, who: Who, entry_id: int) -> bool:
        """Whether this person has the entry among their favourites."""
        mine = (FavouriteRow.member_id == who.member_id, FavouriteRow.entry_id == entry_id)
        async with self._database.read() as session:
            return bool(await session.scalar(select(exists().where(*mine))))

    # files

    async def add(
        self,
        path: Path,
        name: str,
        *,
        visibility: str,
        owner_id: int | None = None,
        guild_id: int | None = None,
        description: str = "",
        tags: Collection[str] = (),
    ) -> CatalogEntry:
        """The file is kept, and is what the name stands for in its scope, whatever that name stood for before.

        `description` and `tags` are for an entry that is new. Raises NameTaken where the name is somebody else's there.
        """
        info = await asyncio.to_thread(inspect_adapter, path)
        scope, replaced = scope_of(visibility, owner_id, guild_id), info.sha256
        async with self.keeping:
            await self._adapters.add(path, info.sha256)
            async with self._database.write() as session:
                await session.merge(file_row(info))
                row = await named_row(session, scope, name)
                if row is None:
                    row = EntryRow(owner_id=owner_id, guild_id=guild_id, visibility=visibility, scope=scope, uses=0)
                    row.created_at, row.description = self._now(), description
                    row.tags = [TagRow(tag=tag) for tag in sorted(tags)]
                    session.add(row)
                elif row.owner_id != owner_id:
                    raise NameTaken(f"There is an adapter called {name!r} already, of somebody else; choose another.")
                else:
                    replaced = row.sha256
                row.name, row.folded, row.sha256 = name, name.casefold(), info.sha256
                await session.flush()
                await session.refresh(row)
                entry = entry_of(row)
        if replaced != info.sha256:
            await self.sweep({replaced})
        return entry

    async def sweep(self, among: Collection[str] | None = None) -> int:
        """No file is kept that no entry shows and no unfinished job draws with; gives how many went.

        `among` are the only ones to look at, by hash. What is known of a file in quarantine is kept without it.
        """
        async with self.keeping:
            kept = await self._adapters.kept()
            idle = kept if among is None else kept.intersection(among)
            async with self._database.write() as session:
                idle -= frozenset(await session.scalars(select(EntryRow.sha256).distinct()))
                if idle:
                    idle -= await _drawn_with(session)
                held = select(QuarantineRow.sha256)
                await session.execute(delete(FileRow).where(FileRow.sha256.in_(idle), FileRow.sha256.not_in(held)))
            await self._adapters.remove(idle)
        return len(idle)

    async def facets(self, who: Who) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The families and the tags of visible entries, the most frequent first."""
        number = func.count()
        families = select(FileRow.family).join(EntryRow, EntryRow.sha256 == FileRow.sha256)
        families = families.where(visible_to(who), FileRow.family != "").group_by(FileRow.family)
        tags = select(TagRow.tag).join(EntryRow, EntryRow.id == TagRow.entry_id)
        tags = tags.where(visible_to(who), true() if who.adult else EntryRow.nsfw.is_(False)).group_by(TagRow.tag)
        async with self._database.read() as session:
            bases = await session.scalars(families.order_by(number.desc(), FileRow.family).limit(TAGS))
            marks = await session.scalars(tags.order_by(number.desc(), TagRow.tag).limit(TAGS))
            return tuple(bases), tuple(marks)

    async def _in_order(self, ids: Sequence[int]) -> tuple[CatalogEntry, ...]:
        """Those of the entries that are still there."""
        async with self._database.read() as session:
            rows = {row.id: row for row in await session.scalars(select(EntryRow).where(EntryRow.id.in_(ids)))}
            return tuple(entry_of(rows[entry_id]) for entry_id in ids if entry_id in rows)

    async def _files(self, who: Who, where: ColumnElement[bool]) -> tuple[CatalogEntry, ...]:
        """The nearest entry of each file."""
        async with self._database.read() as session:
            rows = list(await session.scalars(seen_by(who).where(where)))
            return tuple(entry_of(row) for row in {row.sha256: row for row in reversed(rows)}.values())

    async def _first(self, query: Select[EntryRow]) -> CatalogEntry | None:
        async with self._database.read() as session:
            row = await session.scalar(query.limit(1))
            return None if row is None else entry_of(row)


def seen_by(who: Who, *, shadowed: bool = True) -> Select[EntryRow]:
    """The entries that `who` sees, nearest first; without the `shadowed` ones each name comes once."""
    if shadowed:
        return select(EntryRow).join(EntryRow.file).where(visible_to(who)).order_by(NEAREST, EntryRow.id)
    place = func.row_number().over(partition_by=EntryRow.folded, order_by=(NEAREST, EntryRow.id))
    ranked = select(EntryRow.id, place.label("place")).where(visible_to(who)).subquery()
    nearest = select(ranked.c.id).where(ranked.c.place == 1)
    return select(EntryRow).join(EntryRow.file).where(EntryRow.id.in_(nearest)).order_by(EntryRow.folded)


async def _drawn_with(session: AsyncSession) -> frozenset[str]:
    """The files of jobs that have not come to an end."""
    hashes: set[str] = set()
    for request in await session.scalars(select(JobRow.request).where(JobRow.state.in_(UNFINISHED))):
        grid = request.get("grid") or {}
        named = (*request["adapters"], *request.get("known", ()), *grid.get("adapters", ()))  # a grid's: of old rows
        hashes.update(use.get("sha256", "") for use in named)
    return frozenset(hashes)


def scope_of(visibility: str, owner_id: int | None, guild_id: int | None) -> str:
    """In whose namespace a name is: a person's, a server's, or everyone's."""
    owner = {PRIVATE: owner_id, GUILD: guild_id, EVERYONE: 0}[visibility]
    if owner is None:
        raise ValueError(f"an entry for {visibility} must say whose it is")
    return visibility if visibility == EVERYONE else f"{visibility}:{owner}"


async def named_row(session: AsyncSession, scope: str, name: str) -> EntryRow | None:
    """The entry of that name in that scope."""
    same = (EntryRow.scope == scope, EntryRow.folded == name.casefold())
    found: EntryRow | None = await session.scalar(select(EntryRow).where(*same))
    return found


def file_row(info: AdapterInfo) -> FileRow:
    """The value as a row."""
    kept = asdict(info) | {"ranks": list(info.ranks), "triggers": list(info.triggers)}
    return FileRow(more={name: kept.pop(name) for name in IN_MORE}, **kept)


def entry_of(row: EntryRow) -> CatalogEntry:
    """The row as a value."""
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
