"""From what members write to adapters of the catalog: by name, alias, short id, title or hash, and what fits."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine import (
    MAX_SEED,
    AdapterError,
    AdapterMismatch,
    AdapterNotFound,
    AdapterUse,
    BadRequest,
    EngineError,
    Request,
    Wildcards,
    left_out,
    left_to_chance,
    seeded,
    unfolded,
    untagged,
)

from .values import CatalogEntry, Who

if TYPE_CHECKING:
    from ..store.catalog import Catalog

SUGGESTED = 3
_SHOWN = 100  # characters of a name that was not found
_PROMPT = 6000  # characters of a prompt, with the words that are added
_UNWEIGHTED = re.compile(r"<(lora|lyco):([^:>]+)>", re.IGNORECASE)


class Adapters:
    """Finds for a person what that person sees; whatever else there is reads as missing."""

    def __init__(self, catalog: Catalog, wildcards: Sequence[Path] = ()) -> None:
        self._catalog = catalog
        self._wildcards = tuple(wildcards)

    async def offered(self, who: Who, needle: str, family: str | None, limit: int) -> tuple[CatalogEntry, ...]:
        """What fits the family (None: any) and answers to `needle`, the best answers first. Adapters that are not for
        everybody only where they may be used.
        """
        return await self._catalog.search(who, needle, family, limit, mature=who.adult)

    async def named(self, who: Who, name: str) -> CatalogEntry:
        """The visible adapter of that name, alias or short id; else the one file that gives itself that name, or whose
        hash begins so. Raises AdapterNotFound, also where that fits several files.
        """
        entry = await self._catalog.find(who, name)
        if entry is not None:
            return entry
        others = await self._catalog.answering(who, name)
        if len(others) > 1:
            names = ", ".join(entry.name for entry in others if entry.visibility != "private")
            listed = f": {names}" if names else ""
            raise AdapterNotFound(f"{name[:_SHOWN]!r} means {len(others)} adapters here{listed}. Use the name of one.")
        return others[0] if others else await self._missing(who, name)

    async def use(self, who: Who, name: str, weight: float | None) -> AdapterUse:
        """That adapter at this weight, or at the one that its owner has chosen. Raises AdapterNotFound."""
        return AdapterUse(name, (await self.named(who, name)).weight if weight is None else weight)

    async def weighted(self, prompt: str, who: Who) -> str:
        """The prompt with the owner's weight in each tag that names an adapter and no weight."""
        weights: dict[str, float] = {}
        for tag in _UNWEIGHTED.finditer(prompt):
            entry = await self._catalog.find(who, tag[2])
            weights[tag[2]] = 1.0 if entry is None else entry.weight
        return _UNWEIGHTED.sub(
            lambda tag: tag[0] if weights[tag[2]] == 1 else f"<{tag[1]}:{tag[2]}:{weights[tag[2]]:g}>", prompt
        )

    async def resolved(
        self, request: Request, who: Who, family: str, cells: int
    ) -> tuple[Request, tuple[CatalogEntry, ...]]:
        """The request with every adapter found in the catalog and made for `family`, and their entries, all of which
        this person may have drawn here; with the trigger words of those that are named anew.

        What only a tag asks for and cannot be used is left out, with a note. Tags stay in a prompt that leaves them to
        chance, whose seed is drawn here, and in one of which a grid replaces words: what they may come to name in any
        picture is `known`. `cells` is how many cells a grid may have.
        """
        grid, listed = request.grid, len(request.adapters)
        if grid is not None and len(grid) > cells:
            raise BadRequest(f"This grid has {len(grid)} cells; {cells} is the most here.")
        request = replace(request, prompt=await self.weighted(request.prompt, who), known=())
        chance = left_to_chance(request.prompt)
        if chance:
            request = seeded(request, lambda: secrets.randbelow(MAX_SEED + 1))
        kept = chance or (grid is not None and grid.rewords)
        mix: dict[str, AdapterUse] = {}
        refused: list[tuple[AdapterUse, EngineError]] = []
        entries: list[CatalogEntry] = []
        words: list[str] = []
        asked = request if chance else untagged(replace(request, grid=None) if kept else request)
        for place, use in enumerate(asked.adapters):
            stays = kept and place >= listed  # and is met again among those that the pictures name
            try:
                entry = await self._fitting(use, who, family)
                words += () if use.sha256 or use.weight == 0 else entry.words
                if not stays:
                    _add(mix, replace(use, name=entry.public_name, sha256=entry.info.sha256))
                    entries.append(entry)
            except (AdapterError, BadRequest) as error:
                if place < listed:
                    raise
                refused += [] if stays else [(use, error)]
        request = replace(request if kept else asked, adapters=tuple(mix.values()))
        request = replace(request, prompt=with_words(request.prompt, words))
        request, more = await self._knowing(request, asked.adapters, who, family, refused)
        if not kept:  # tags would go on naming them as they were written
            request = _called(request, more)
        return left_out(request, refused), (*entries, *more)

    async def _knowing(
        self,
        request: Request,
        mix: Sequence[AdapterUse],
        who: Who,
        family: str,
        refused: list[tuple[AdapterUse, EngineError]],
    ) -> tuple[Request, list[CatalogEntry]]:
        """The request with the files that the axes of its grid and the tags of its pictures name, and their entries.

        Raises for a name on an axis that cannot be used; a tag like that joins the `refused`.
        """
        grid, given = request.grid, {use.name.casefold(): use for use in mix}
        axes = () if grid is None else grid.names
        named = {name.casefold(): given.get(name.casefold(), AdapterUse(name)) for name in axes}
        strict = frozenset(named)
        for use in await asyncio.to_thread(_tagged, request, Wildcards(self._wildcards)):
            named.setdefault(use.name.casefold(), use)
        known: list[AdapterUse] = []
        entries: list[CatalogEntry] = []
        for name, use in named.items():
            try:
                entry = await self._fitting(use, who, family)
                known.append(AdapterUse(use.name, use.weight, sha256=entry.info.sha256))
                entries.append(entry)
            except (AdapterError, BadRequest) as error:
                if name in strict:
                    raise
                refused.append((use, error))
        return replace(request, known=tuple(known)), entries

    async def _fitting(self, use: AdapterUse, who: Who, family: str) -> CatalogEntry:
        """The entry that the use means, which the base model can take. Raises AdapterNotFound, AdapterMismatch."""
        entry = await self._entry(use, who)
        await self._require_fit(entry, family, who)
        return entry

    async def _entry(self, use: AdapterUse, who: Who) -> CatalogEntry:
        """By content where the hash is known, so that an old job draws with the file it drew with."""
        if not use.sha256:
            return await self.named(who, use.name)
        entry = await self._catalog.find_file(who, use.sha256, use.name)
        return entry if entry is not None else await self._missing(who, use.name)

    async def _require_fit(self, entry: CatalogEntry, family: str, who: Who) -> None:
        """Returns for an adapter that the base model can take. Raises AdapterMismatch, with others that fit."""
        theirs = entry.info.family
        if not theirs or not family or theirs == family:
            return
        others = [other.name for other in await self._catalog.likenesses(who, entry, family)]
        sentence = f"{entry.public_name} was made for {theirs}; this base model is {family}."
        if others:
            sentence += f" Made for it: {', '.join(others)}."
        raise AdapterMismatch(sentence)

    async def _missing(self, who: Who, name: str) -> CatalogEntry:
        """Raises AdapterNotFound with names like it, but for private ones: the sentence may stand in a channel."""
        like = await self._catalog.search(who, name[:_SHOWN], None, SUGGESTED, mature=who.adult, private=False)
        names = [entry.name for entry in like]
        hint = f" Did you mean {' or '.join(names)}?" if names else " /lora list shows the ones you can use."
        raise AdapterNotFound(f"There is no adapter called {name[:_SHOWN]!r} here.{hint}")


def _called(request: Request, known: Sequence[CatalogEntry]) -> Request:
    """The request with the adapters on its axes called as its mix calls them, and so that others may read it."""
    if request.grid is None:
        return request
    pairs = tuple(zip(request.known, known, strict=True))
    grid = request.grid.naming({use.name.casefold(): entry.public_name for use, entry in pairs})
    uses = {entry.public_name: replace(use, name=entry.public_name) for use, entry in pairs}
    return replace(request, grid=grid, known=tuple(uses.values()))


def _tagged(request: Request, wildcards: Wildcards) -> list[AdapterUse]:
    """What tags that are still in the prompt ask for, in any of its pictures."""
    if "<" not in request.prompt and not left_to_chance(request.prompt):
        return []
    pictures = unfolded(seeded(request, lambda: 0), wildcards)
    return [use for one in pictures for use in one.adapters if not use.sha256]


def with_words(prompt: str, words: Sequence[str]) -> str:
    """The prompt with those of the words that it does not hold at its end, as many as there is room for."""
    for word in words:
        plain = word.strip()
        written = re.sub(r"(?<!\\)([()\[\]])", r"\\\1", plain)
        if not plain or _holds(prompt, plain) or _holds(prompt, written):
            continue
        longer = f"{prompt.rstrip().rstrip(',')}, {written}" if prompt.strip() else written
        if len(longer) > _PROMPT:
            break
        prompt = longer
    return prompt


def _holds(prompt: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE) is not None


def _add(mix: dict[str, AdapterUse], use: AdapterUse) -> None:
    """The use is in the mix, once a file: the weights of `Ink` and `ink` are summed."""
    other = mix.get(use.sha256)
    mix[use.sha256] = use if other is None else other.plus(use)
