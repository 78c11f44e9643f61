"""What members do with adapters besides drawing: look for them, share them, take them over, say what they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from engine import AdapterNotFound, BadRequest

from .adapters import Adapters
from .browsing import Change, Details, Gallery, Show, Wish
from .errors import Forbidden, TooLate
from .values import CatalogEntry, Triggers, Who

if TYPE_CHECKING:
    from ..store import Store

BROWSING, REMOVING = "browse", "remove"  # kinds of questions
PAGE = 5  # entries of a gallery's page: what fits a card with a picture each
SAMPLES = 4
MAX_WEIGHT = 10.0
MAX_TAGS, MAX_WORDS = 12, 20
LENGTHS: Mapping[str, int] = MappingProxyType(  # characters
    {"name": 60, "alias": 60, "tag": 40, "trigger word": 100, "description": 1000, "credit": 100, "licence": 300}
)
_UNTAGGABLE = re.compile(r"[:<>]")  # what a tag of a prompt cannot hold in a name
_SPAN = re.compile(r"\s*(-?\d*\.?\d+)?\s*(?:-|–|—|to|\.\.|\s)\s*(-?\d*\.?\d+)?\s*", re.IGNORECASE)


class Sharing(StrEnum):
    """Who sees an entry, as the catalog keeps it."""

    PRIVATE = "private"
    GUILD = "guild"
    EVERYONE = "everyone"


class Shelf:
    """Every method is one thing a member can do. Names are read as `Adapters.named` reads them."""

    def __init__(self, store: Store) -> None:
        self._catalog = store.catalog
        self._entries = store.entries
        self._questions = store.questions
        self._origins = store.origins
        self._adapters = Adapters(store.catalog)

    async def browse(self, who: Who, wish: Wish) -> tuple[str, Gallery]:
        """The first page of what the wish finds, and the number under which `turn` goes on from there. Adapters that
        are not for everybody are there only where they may be seen.
        """
        number = await self._questions.ask(who, BROWSING, {"wish": wish.to_json(), "page": 1})
        return number, await self._gallery(who, wish, 1)

    async def turn(self, who: Who, number: str, *, pages: int = 0, **wish: Any) -> Gallery:
        """The card of that number is so many pages further, or at the first of another wish, by fields of Wish.

        Raises TooLate: it is somebody else's, or too old.
        """
        state = await self._questions.look(who, BROWSING, number)
        if state is None:
            raise TooLate("This card is too old or somebody else's. Send /lora browse again.")
        wished = replace(Wish.from_json(state["wish"]), **wish)
        gallery = await self._gallery(who, wished, 1 if wish else state["page"] + pages)
        await self._questions.amend(who, BROWSING, number, {"wish": wished.to_json(), "page": gallery.number})
        return gallery

    async def _gallery(self, who: Who, wish: Wish, number: int) -> Gallery:
        return await self._catalog.browse(who, replace(wish, mature=who.adult), number, PAGE)

    async def facets(self, who: Who) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The families and the tags of the adapters that this person sees here, the most frequent first."""
        return await self._catalog.facets(who)

    async def mine(self, who: Who, needle: str, limit: int) -> tuple[CatalogEntry, ...]:
        """One's own entries that answer to `needle` and can be changed from here."""
        gallery = await self._catalog.browse(who, Wish(needle, show=Show.MINE), 1, limit)
        return gallery.entries

    async def details(self, who: Who, name: str) -> Details:
        """All that this person may know of an adapter here. Raises AdapterNotFound."""
        entry = await self._adapters.named(who, name)
        return Details(
            entry,
            await self._catalog.samples(who, entry, SAMPLES),
            None if entry.forked_from is None else await self._catalog.find_id(who, entry.forked_from),
            favourite=await self._catalog.is_favourite(who, entry.id),
            mine=entry.owner_id == who.member_id,
            come_from=await self._origins.of(entry.id),
        )

    async def own(self, who: Who, name: str) -> CatalogEntry:
        """One's own entry. Raises AdapterNotFound, or Forbidden where it is somebody else's."""
        entry = await self._adapters.named(who, name)
        if entry.owner_id is None:
            raise Forbidden(f"{entry.name} comes with the bot. /lora fork makes one of your own from it.")
        if entry.owner_id != who.member_id:
            raise Forbidden(f"{entry.name} is somebody else's. /lora fork makes one of your own from it.")
        return entry

    async def share(self, who: Who, name: str, sharing: Sharing) -> CatalogEntry:
        """One's own entry is seen by oneself alone, by this server, or by everyone on this bot. Each undoes the others.

        Raises Forbidden: not one's own, or no server to share it with. NameTaken: another is called so there.
        """
        entry = await self.own(who, name)
        if sharing is Sharing.GUILD and who.guild_id is None:
            raise Forbidden("There is no server here to share it with; do it in the server that is to see it.")
        return _there(await self._entries.move(who, entry.id, sharing.value), name)

    async def fork(self, who: Who, name: str, called: str = "") -> CatalogEntry:
        """A private entry of one's own for the same file, named like the other unless `called` says how; its maker and
        licence stay named. Raises NameTaken. `remove` undoes it.
        """
        entry = await self._adapters.named(who, name)
        own = read_name(called) if called.strip() else entry.name
        return _there(await self._entries.fork(who, entry.id, own), name)

    async def favour(self, who: Who, name: str, *, wanted: bool = True) -> CatalogEntry:
        """The adapter is among one's favourites, or no longer."""
        entry = await self._adapters.named(who, name)
        act = self._entries.keep if wanted else self._entries.let_go
        return _there(await act(who, entry.id), name)

    async def ask_removal(self, who: Who, name: str) -> tuple[str, CatalogEntry]:
        """One's own entry and the number under which `remove` or `spare` answers. Raises Forbidden."""
        entry = await self.own(who, name)
        return await self._questions.ask(who, REMOVING, {"entry": entry.id}), entry

    async def remove(self, who: Who, number: str) -> CatalogEntry:
        """The entry is gone, and its file unless another entry or a job still needs it. Raises TooLate."""
        short_id = await self.spare(who, number)
        entry = await self.own(who, short_id)
        return _there(await self._entries.remove(who, entry.id), short_id)

    async def spare(self, who: Who, number: str) -> str:
        """The question is answered, and nothing else; gives the short id that it was about. Raises TooLate."""
        asked = await self._questions.take(who, REMOVING, number)
        if asked is None:
            raise TooLate("This question is answered or too old. Send /lora remove again.")
        return f"#{asked['entry']}"

    async def edit(self, who: Who, name: str, change: Change) -> CatalogEntry:
        """One's own entry says this. Raises Forbidden, NameTaken, or BadRequest for what cannot be.

        The maker, the licence and the warnings that a fork came with are not its owner's to take away.
        """
        entry = await self.own(who, name)
        change = _checked(entry, change)
        if not change:
            return entry
        return _there(await self._entries.edit(who, entry.id, change), name)


def read_name(text: str) -> str:
    """`text` as the name of an adapter, one that tags of prompts can hold. Raises BadRequest."""
    name = _line(text, "name")
    if not name or _UNTAGGABLE.search(name) or name.startswith("#"):
        raise BadRequest(f"{name[:60]!r} cannot be a name: it needs a letter or more, no : < or >, and no # in front.")
    return name


def read_tags(text: str) -> tuple[str, ...]:
    """The tags of a text, between commas or line breaks, each once. Raises BadRequest."""
    tags = _parts(text, "tag")
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"{len(tags)} tags are too many; {MAX_TAGS} is the most.")
    return tags


def read_words(text: str) -> tuple[str, ...]:
    """The trigger words of a text, between commas or line breaks, each once. Raises BadRequest."""
    words = _parts(text, "trigger word")
    if len(words) > MAX_WORDS:
        raise BadRequest(f"{len(words)} trigger words are too many; {MAX_WORDS} is the most.")
    return words


def read_span(text: str) -> tuple[float | None, float | None]:
    """ "0.4-0.9" as the least and the most weight that are recommended; one may be missing, and "" is neither."""
    if not text.strip():
        return None, None
    match = _SPAN.fullmatch(text.replace(",", "."))
    if match is None or match.groups() == (None, None):
        raise BadRequest(f"I cannot read {text[:40]!r} as a range of weights; write it as 0.4-0.9.")
    low, high = (None if number is None else float(number) for number in match.groups())
    return low, high


def _checked(entry: CatalogEntry, change: Change) -> Change:
    """What of the change is one. Raises BadRequest."""
    checked: dict[str, Any] = dict(change)
    for name, what in (("alias", "alias"), ("credit", "credit"), ("license", "licence")):
        if name in checked:
            checked[name] = _line(checked[name], what)
    if "description" in checked:
        checked["description"] = _text(checked["description"], "description")
    if "name" in checked:
        checked["name"] = read_name(checked["name"])
    if checked.get("alias"):
        checked["alias"] = read_name(checked["alias"])
    if "tags" in checked:
        checked["tags"] = tuple(sorted({tag.casefold() for tag in checked["tags"]}))
    changed = {name: value for name, value in checked.items() if value != getattr(entry, name)}
    after: CatalogEntry = replace(entry, **changed)
    _require_weights(after)
    if after.triggers is Triggers.CHOSEN and not after.chosen:
        raise BadRequest("No words are chosen; name the trigger words that are to be added.")
    if entry.forked_from is not None:
        _require_attribution(entry, after)
    return cast(Change, changed)  # its names are those of the change that came in


def _require_weights(entry: CatalogEntry) -> None:
    for weight in (entry.weight, entry.least, entry.most):
        if weight is not None and not abs(weight) <= MAX_WEIGHT:
            raise BadRequest(f"A weight of {weight:g}: -{MAX_WEIGHT:g} to {MAX_WEIGHT:g} is possible.")
    if entry.least is not None and entry.most is not None and entry.least > entry.most:
        raise BadRequest(f"The range {entry.least:g} to {entry.most:g} holds nothing; the lower weight comes first.")


def _require_attribution(entry: CatalogEntry, after: CatalogEntry) -> None:
    if (entry.credit and after.credit != entry.credit) or (entry.license and after.license != entry.license):
        raise Forbidden(f"{entry.name} is a fork: its maker and its licence stay as they are named.")
    if (entry.nsfw and not after.nsfw) or (entry.real_person and not after.real_person):
        raise Forbidden(f"{entry.name} is a fork: a warning that it came with stays.")


def _there(entry: CatalogEntry | None, name: str) -> CatalogEntry:
    """The entry, which may have gone since it was found."""
    if entry is None:
        raise AdapterNotFound(f"There is no adapter called {name[:100]!r} here.")
    return entry


def _parts(text: str, what: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for raw in re.split(r"[,;，；、\n]", text) if (part := _line(raw, what))))


def _line(text: str, what: str) -> str:
    return " ".join(_text(text, what).split())


def _text(text: str, what: str) -> str:
    """Without control characters. Raises BadRequest where it is too long."""
    kept = "".join(sign for sign in text if sign == "\n" or unicodedata.category(sign) not in ("Cc", "Cf")).strip()
    if len(kept) > LENGTHS[what]:
        raise BadRequest(f"The {what} has {len(kept)} characters; {LENGTHS[what]} is the most.")
    return kept
