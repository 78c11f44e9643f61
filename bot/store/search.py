"""Which entries a wish finds, and in which order.

Who sees what is the database's to say. What it has said, and the words that are searched, are kept in memory until the
next transaction is committed; the words of entries that it did not touch for longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.browsing import Show, Wish
from ..orders.values import Who
from .database import Database
from .fuzzy import Words, answers
from .models import EntryRow, FavouriteRow, FileRow, TagRow

_NEAR = {"private": 0, "guild": 1, "everyone": 2}
_USUAL = (3.0, 2.0)  # stars, and how many ratings they count for: one five does not beat ten fours
_READ = 500  # entries whose words are read in one statement
_LISTS = 50  # that are kept: whoever types asks for the same one again and again


class Seen(NamedTuple):
    """What a search asks the database about an entry."""

    id: int
    visibility: str
    owner_id: int | None
    uses: int
    stars: float
    ratings: int


Listed = tuple[list[int], list[Words]]
"""Entries in the order of a wish, and the words of each."""


class Search:
    """One for a catalog. `ids` never gives an entry that `visible` does not let through."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._words: dict[int, Words] = {}
        self._lists: dict[tuple[object, ...], Listed] = {}
        self._commits = 0
        database.when_written(self._forget)

    async def ids(self, visible: ColumnElement[bool], who: Who, wish: Wish) -> list[int]:
        """The entries that the wish finds, each name once, the most fitting first. `visible` is what `who` sees."""
        key = (who.member_id, who.guild_id, replace(wish, needle=""))
        listed = self._lists.get(key)
        if listed is None:
            before = self._commits
            listed = await self._listed(visible, who, wish, before)
            if before == self._commits and len(self._lists) < _LISTS:
                self._lists[key] = listed
        ids, words = listed
        if not wish.needle.strip():
            return list(ids)
        found = await asyncio.to_thread(answers, wish.needle, words)
        return [ids[place] for place in found]

    async def warm(self) -> None:
        """The words of every entry are known, so that the first search does not have to read them."""
        before = self._commits
        async with self._database.read() as session:
            await self._known(session, list(await session.scalars(select(EntryRow.id))), before)

    async def _listed(self, visible: ColumnElement[bool], who: Who, wish: Wish, before: int) -> Listed:
        query = select(*(getattr(EntryRow, column) for column in Seen._fields)).where(visible)
        if wish.family:
            query = query.join(EntryRow.file).where(FileRow.family.in_((wish.family, "")))
        if wish.show is Show.FAVOURITES:
            mine = select(FavouriteRow.entry_id).where(FavouriteRow.member_id == who.member_id)
            query = query.where(EntryRow.id.in_(mine))
        if wish.show is Show.MINE:
            query = query.where(EntryRow.owner_id == who.member_id)
        if wish.tag:
            query = query.where(EntryRow.id.in_(select(TagRow.entry_id).where(TagRow.tag == wish.tag)))
        if not wish.mature:
            query = query.where(EntryRow.nsfw.is_(False))
        if not wish.private:
            query = query.where(EntryRow.visibility != "private")
        async with self._database.read() as session:
            seen = [Seen._make(row) for row in await session.execute(query)]
            words = await self._known(session, [one.id for one in seen], before)
        return await asyncio.to_thread(_ordered, seen, words, _RANKS[wish.show])

    async def _known(self, session: AsyncSession, ids: Sequence[int], before: int) -> Mapping[int, Words]:
        """The words of these entries. They are kept unless something was committed since `before`, which this session
        may not see.
        """
        missing = [entry_id for entry_id in ids if entry_id not in self._words]
        read: dict[int, Words] = {}
        for at in range(0, len(missing), _READ):
            read.update(await _read(session, missing[at : at + _READ]))
        if before == self._commits:
            self._words.update(read)
        return {entry_id: found for entry_id in ids if (found := read.get(entry_id) or self._words.get(entry_id))}

    def _forget(self, rows: Collection[object]) -> None:
        self._commits += 1
        self._lists.clear()
        for row in rows:
            if isinstance(row, EntryRow | TagRow):
                self._words.pop(row.id if isinstance(row, EntryRow) else row.entry_id, None)


async def _read(session: AsyncSession, ids: Sequence[int]) -> dict[int, Words]:
    tags: dict[int, list[str]] = {}
    for entry_id, tag in await session.execute(select(TagRow.entry_id, TagRow.tag).where(TagRow.entry_id.in_(ids))):
        tags.setdefault(entry_id, []).append(tag)
    columns = (EntryRow.id, EntryRow.name, EntryRow.alias, EntryRow.chosen, EntryRow.description)
    query = select(*columns, FileRow.title, FileRow.triggers).join(EntryRow.file).where(EntryRow.id.in_(ids))
    rows = (await session.execute(query)).all()
    return await asyncio.to_thread(
        lambda: {
            row.id: Words.of(
                (row.name, row.alias, row.title), (*tags.get(row.id, ()), *row.chosen, *row.triggers), row.description
            )
            for row in rows
        }
    )


def _ordered(seen: Iterable[Seen], words: Mapping[int, Words], rank: Callable[[Seen], float]) -> Listed:
    """In a thread: over thousands of entries it takes longer than an event loop may wait."""
    nearest: dict[str, Seen] = {}  # of each name the one that is meant by it
    for one in sorted(seen, key=lambda one: (_NEAR[one.visibility], one.id)):
        if one.id in words:
            nearest.setdefault(words[one.id].names[0], one)
    found = sorted(nearest.items(), key=lambda item: (rank(item[1]), item[0]))
    ids = [one.id for _, one in found]
    return ids, [words[entry_id] for entry_id in ids]


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
