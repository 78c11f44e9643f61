"""What members say of adapters and pictures, and what moderators decide, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Reason(StrEnum):
    """Why something is reported; the gravest first."""

    MINORS = "minors"
    PERSON = "person"
    STOLEN = "stolen"
    MATURE = "mature"
    HATE = "hate"
    BROKEN = "broken"
    OTHER = "other"

    @property
    def because(self) -> str:
        """Why something was taken down for it, as the end of a sentence."""
        return _BECAUSE[self]


_BECAUSE = {
    Reason.MINORS: "it sexualises minors",
    Reason.PERSON: "it shows a real person",
    Reason.STOLEN: "whoever made it did not allow this",
    Reason.MATURE: "it is not for everybody and does not say so",
    Reason.HATE: "it insults or threatens people",
    Reason.BROKEN: "it does not work",
    Reason.OTHER: "it breaks the rules",
}


class Outcome(StrEnum):
    """What became of a report."""

    OPEN = ""
    DISMISSED = "dismissed"
    HIDDEN = "hidden"  # banned in the server where it was reported
    TAKEN_DOWN = "taken down"  # banned everywhere
    DELETED = "deleted"  # the picture is gone


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody asked the moderators to look at an entry (`entry_id`), or at a result (`job_id`) instead.

    `member_id` None: whoever reported has been forgotten. `guild_id` None: it was in a direct message. An id of what
    was reported is None once that is gone; `subject` is what it was called.
    """

    id: int
    guild_id: int | None
    member_id: int | None
    entry_id: int | None
    job_id: str | None
    subject: str
    sha256: str
    reason: Reason
    words: str
    created_at: datetime
    outcome: Outcome = Outcome.OPEN
    decided_at: datetime | None = None

    @property
    def is_of_adapter(self) -> bool:
        return bool(self.sha256)

    def choices(self, *, owner: bool) -> tuple[Outcome, ...]:
        """What may be decided of it, by the people who run this bot (`owner`) or by moderators."""
        if not self.is_of_adapter:
            return (Outcome.DISMISSED, Outcome.DELETED) if self.job_id else (Outcome.DISMISSED,)
        here = (Outcome.HIDDEN,) if self.guild_id is not None else ()
        return (Outcome.DISMISSED, *here, *((Outcome.TAKEN_DOWN,) if owner else ()))


@dataclass(frozen=True, slots=True)
class Turn:
    """One open report, the `number`-th of `total` (from 1), with a picture of what it is about where there is one."""

    report: Report
    number: int
    total: int
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """What one member says of an entry. `member_id` None: somebody in another server, or forgotten."""

    member_id: int | None
    stars: int
    words: str
    created_at: datetime
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """Page `number` of `pages` (from 1), newest first. Nobody has said anything: one empty page."""

    reviews: tuple[Review, ...]
    number: int
    pages: int


@dataclass(frozen=True, slots=True)
class Ban:
    """A file, or tensors under any name, that may not be used: in one server, or anywhere (`guild_id` 0)."""

    hash: str
    guild_id: int
    name: str
    reason: str
    created_at: datetime
