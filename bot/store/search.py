"""Which entries a wish finds, and in which order: who sees what is the database's to say, every time anew; the words
that are searched are kept in memory, and forgotten one by one as their rows change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.browsing import Show, Wish
from .database import Database
from .fuzzy import Needle, Words
from .models import EntryRow, FavouriteRow, FileRow, TagRow

_NEAR = {"private": 0, "guild": 1, "everyone": 2}
_USUAL = (3.0, 2.0)  # stars, and how many ratings they count for: one five does not beat ten fours
_AT_ONCE = 500  # entries that are read in one statement


class Seen(NamedTuple):
    """What a search asks the database about an entry, every time."""

    id: int
    visibility: str
    owner_id: int | None
    uses: int
    stars: float
    ratings: int


class Search:
    """One for a catalog. `ids` never gives an entry that its first argument does not let through."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._words: dict[int, Words] = {}
        self._changes = 0
        database.when_written(self._forget)

    async def ids(self, visible: ColumnElement[bool], member_id: int, wish: Wish) -> list[int]:
        """The entries that the wish finds, each name once, the most fitting first."""
        query = select(*(getattr(EntryRow, column) for column in Seen._fields)).where(visible)
        if wish.family:
            query = query.join(EntryRow.file).where(FileRow.family.in_((wish.family, "")))
        if wish.show is Show.FAVOURITES:
            mine = select(FavouriteRow.entry_id).where(FavouriteRow.member_id == member_id)
            query = query.where(EntryRow.id.in_(mine))
        if wish.tag:
            query = query.where(EntryRow.id.in_(select(TagRow.entry_id).where(TagRow.tag == wish.tag)))
        if not wish.mature:
            query = query.where(EntryRow.nsfw.is_(False))
        before = self._changes
        async with self._database.read() as session:
            seen = [Seen._make(row) for row in await session.execute(query)]
            words = await self._known(session, [one.id for one in seen], before)
        return await asyncio.to_thread(_ordered, seen, words, member_id, wish)

    async def _known(self, session: AsyncSession, ids: Sequence[int], before: int) -> Mapping[int, Words]:
        """The words of these entries. They are kept unless something changed since `before`, which this session may
        not see.
        """
        missing = [entry_id for entry_id in ids if entry_id not in self._words]
        read: dict[int, Words] = {}
        for at in range(0, len(missing), _AT_ONCE):
            read.update(await _read(session, missing[at : at + _AT_ONCE]))
        if before == self._changes:
            self._words.update(read)
        return {entry_id: found for entry_id in ids if (found := self._words.get(entry_id) or read.get(entry_id))}

    def _forget(self, rows: Collection[object]) -> None:
        changed = {row.id for row in rows if isinstance(row, EntryRow)}
        changed |= {row.entry_id for row in rows if isinstance(row, TagRow)}
        for entry_id in changed:
            self._words.pop(entry_id, None)
        self._changes += bool(changed)


async def _read(session: AsyncSession, ids: Sequence[int]) -> dict[int, Words]:
    tags: dict[int, list[str]] = {}
    for entry_id, tag in await session.execute(select(TagRow.entry_id, TagRow.tag).where(TagRow.entry_id.in_(ids))):
        tags.setdefault(entry_id, []).append(tag)
    columns = (EntryRow.id, EntryRow.name, EntryRow.alias, EntryRow.chosen, EntryRow.description)
    query = select(*columns, FileRow.title, FileRow.triggers).join(EntryRow.file).where(EntryRow.id.in_(ids))
    return {
        row.id: Words.of(
            (row.name, row.alias, row.title), (*tags.get(row.id, ()), *row.chosen, *row.triggers), row.description
        )
        for row in await session.execute(query)
    }


def _ordered(seen: Iterable[Seen], words: Mapping[int, Words], member_id: int, wish: Wish) -> list[int]:
    """In a thread: over thousands of entries it takes longer than an event loop may wait."""
    found = _nearest(seen, words)
    if wish.show is Show.MINE:
        found = [one for one in found if one.owner_id == member_id]
    if not wish.private:
        found = [one for one in found if one.visibility != "private"]
    found.sort(key=lambda one: (_RANKS[wish.show](one), words[one.id].names[0]))
    needle = Needle.of(wish.needle)
    if not needle.text:
        return [one.id for one in found]
    answers = {one.id: words[one.id].answers(needle) for one in found}
    return sorted((entry_id for entry_id, answer in answers.items() if answer), key=lambda found: -answers[found])


def _nearest(seen: Iterable[Seen], words: Mapping[int, Words]) -> list[Seen]:
    """Of each name the one that is meant by it."""
    nearest: dict[str, Seen] = {}
    for one in sorted(seen, key=lambda one: (_NEAR[one.visibility], one.id)):
        if one.id in words:
            nearest.setdefault(words[one.id].names[0], one)
    return list(nearest.values())


def _mean(one: Seen) -> float:
    stars, weight = _USUAL
    return (one.stars * one.ratings + stars * weight) / (one.ratings + weight)


_RANKS: Mapping[Show, Callable[[Seen], float]] = {
    Show.USED: lambda one: -one.uses,
    Show.FAVOURITES: lambda one: -one.uses,
    Show.NEW: lambda one: -one.id,
    Show.MINE: lambda one: -one.id,
    Show.RATED: lambda one: -_mean(one),
}
