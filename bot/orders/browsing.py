"""What members look for among the adapters, what they find, and what an owner changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .values import CatalogEntry, Triggers

if TYPE_CHECKING:
    from .additions import Origin


class Show(StrEnum):
    """Which entries, and which of them first."""

    USED = "used"
    NEW = "new"
    RATED = "rated"
    MINE = "mine"
    FAVOURITES = "favourites"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is looked for: `needle` in names, tags, words and descriptions, made for `family`, with `tag`; "" is any.

    `mature` is whether entries that are not for everybody are wanted too, `private` whether those of one person alone.
    """

    needle: str = ""
    family: str = ""
    tag: str = ""
    show: Show = Show.USED
    mature: bool = True
    private: bool = True

    def to_json(self) -> dict[str, Any]:
        return {"needle": self.needle, "family": self.family, "tag": self.tag, "show": self.show.value}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Wish:
        """The inverse of `to_json`."""
        return cls(fields["needle"], fields["family"], fields["tag"], Show(fields["show"]))


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample picture on the disk. `kind` is source, drawn or review; `mature`: not for everybody."""

    path: Path
    width: int
    height: int
    kind: str
    mature: bool


@dataclass(frozen=True, slots=True)
class Gallery:
    """Page `number` of `pages` (from 1) of the `total` entries that a wish finds, each with a picture where there is
    one to show in this place. `families` and `tags` are the ones there are to choose from, the most frequent first.
    """

    wish: Wish
    entries: tuple[CatalogEntry, ...]
    samples: Mapping[int, Sample]
    number: int
    pages: int
    total: int
    families: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """One entry as one person may see it. `origin`: what it was forked from, where that is still there for them;
    `come_from`: where its file came from, None for one that comes with the bot.
    """

    entry: CatalogEntry
    samples: tuple[Sample, ...]
    origin: CatalogEntry | None
    favourite: bool
    mine: bool
    come_from: Origin | None = None


class Change(TypedDict, total=False):
    """What an owner changes of an entry, by CatalogEntry's names; what is not there stays as it is."""

    name: str
    alias: str
    weight: float
    least: float | None
    most: float | None
    triggers: Triggers
    chosen: tuple[str, ...]
    tags: tuple[str, ...]
    description: str
    nsfw: bool
    real_person: bool
    credit: str
    license: str
