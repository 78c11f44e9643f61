"""The frozen values that orders, jobs, store and the Discord side hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from engine import AdapterInfo, Request

from .errors import PlaceFull

MANY_FAILURES, MANY_PEOPLE = 3, 2  # in 24 hours


class JobState(StrEnum):
    """received -> acked -> queued -> running -> rendered -> posting -> posted, or one of the three other ends."""

    RECEIVED = "received"
    ACKED = "acked"
    QUEUED = "queued"
    RUNNING = "running"
    RENDERED = "rendered"
    POSTING = "posting"
    POSTED = "posted"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def final(self) -> bool:
        return self in (JobState.POSTED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD)


UNFINISHED = frozenset(state for state in JobState if not state.final)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and where. `guild_id` is None in a direct message.

    `moderator` manages messages in that server, `admin` the server itself, `owner` runs this bot. `adult` is whether
    the place is age-restricted, `locale` the language their Discord speaks ("en-US", "zh-CN"; "": not told).
    `parent_id` is the channel of a thread, None elsewhere.
    """

    member_id: int
    name: str
    guild_id: int | None
    channel_id: int
    moderator: bool = False
    roles: frozenset[int] = frozenset()
    admin: bool = False
    owner: bool = False
    adult: bool = False
    locale: str = ""
    parent_id: int | None = None

    @property
    def governed_by(self) -> int:
        """The channel whose settings count here: a thread has none of its own."""
        return self.parent_id or self.channel_id


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many jobs may be unfinished at once, and how many seconds of drawing a member may order in a day.

    A member with a role of `role_seconds` has the most that any of them gives. None is without limit.
    """

    per_member: int = 10
    per_guild: int | None = None
    in_all: int | None = None
    seconds: float | None = None
    role_seconds: Mapping[int, float | None] = field(default_factory=dict)

    @property
    def most(self) -> float | None:
        """Seconds of drawing in a day for whoever may order most."""
        given = (self.seconds, *self.role_seconds.values())
        return None if None in given else max(seconds for seconds in given if seconds is not None)

    def require_room(self, here: int, everywhere: int) -> None:
        """Returns where one more job fits beside the unfinished ones of its server and of all. Raises PlaceFull."""
        for most, place, number in ((self.per_guild, "this server", here), (self.in_all, "this bot", everywhere)):
            if most is not None and number >= most:
                raise PlaceFull(f"{most} jobs of {place} are unfinished, the most there may be. Try again later.")

    def allowance(self, roles: frozenset[int]) -> float | None:
        """Seconds of drawing in a day for someone with these roles."""
        given = [self.role_seconds[role] for role in roles if role in self.role_seconds]
        limits = [seconds for seconds in given if seconds is not None]
        if len(limits) < len(given):
            return None
        return max(limits) if limits else self.seconds


@dataclass(frozen=True, slots=True)
class Allotment:
    """How much one member may have added: so many entries, and so many bytes of files."""

    entries: int = 200
    nbytes: int = 20_000_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """What a member asked for in one interaction. `token` answers it for 15 minutes after `created_at`."""

    interaction_id: int
    application_id: int
    token: str = field(repr=False)
    created_at: datetime
    who: Who
    request: Request
    parent_job: str | None = None  # the job whose button was pressed


@dataclass(frozen=True, slots=True)
class Press:
    """A button pressed or a modal sent: everything of an order but its request, which comes from an earlier job."""

    interaction_id: int
    application_id: int
    token: str = field(repr=False)
    created_at: datetime
    who: Who

    def order(self, request: Request, parent_job: str) -> Order:
        return Order(
            self.interaction_id, self.application_id, self.token, self.created_at, self.who, request, parent_job
        )


@dataclass(frozen=True, slots=True)
class Ticket:
    """A recorded job. `place` counts from 1; 1 means next or running. `wait` and `cost` are seconds until it is done
    and of its own drawing, None while unknown; `left` is what its member may still order today, None without limit.
    `notes` say what of the prompt will be left out.
    """

    job_id: str
    place: int
    wait: float | None = None
    notes: tuple[str, ...] = ()
    cost: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What an order would cost: so many pictures drawn in about `seconds` (None: not known yet), as one more job beside
    the `unfinished` of at most `limit`.
    """

    pictures: int
    seconds: float | None
    unfinished: int
    limit: int


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One picture on disk; `path` is absolute, and gone once `deleted` or past the keeping time."""

    index: int
    path: Path
    sha256: str
    seed: int
    width: int
    height: int
    infotext: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job row as a value. `request` is complete once rendered (seed, size, cfg). Times are UTC, aware."""

    id: str
    state: JobState
    attempt: int
    order: Order
    created_at: datetime
    finished_at: datetime | None = None
    seconds: float | None = None
    pictures: tuple[StoredPicture, ...] = ()
    report: tuple[str, ...] = ()  # one line an adapter, "ink: 204 of 204 layers", and remarks on the drawing
    sentence: str = ""  # why it failed, fit for a member
    message_id: int | None = None
    channel_id: int | None = None  # where message_id is
    mature: bool = False  # not fit for everybody, by its words, its adapters, or the safety checker
    credits: tuple[Credit, ...] = ()  # of the adapters that it draws with
    losses: int = 0  # how often a worker, or the whole bot, went away with it

    @property
    def request(self) -> Request:
        return self.order.request

    @property
    def nonce(self) -> str:
        """At most 25 characters, the same for the same job: Discord shows one message a nonce."""
        return f"loom-{self.id}"


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` of `pages` (from 1) of someone's jobs, newest first. An empty history has one empty page."""

    jobs: tuple[Job, ...]
    number: int
    pages: int


@dataclass(frozen=True, slots=True)
class Queue:
    """How long the line is, and the asker's own unfinished jobs in it."""

    waiting: int
    running: int
    mine: tuple[tuple[Job, Ticket], ...]
    left: float | None = None  # seconds of drawing that the asker may still order today


@dataclass(frozen=True, slots=True)
class Credit:
    """Whose work an adapter of a job is. `name` is what the job calls it; `advice` a sentence where its weight is not
    one that its owner recommends, else "".
    """

    name: str
    by: str
    license: str
    advice: str = ""


class Triggers(StrEnum):
    """Which of an adapter's trigger words are added to a prompt that does not hold them."""

    NONE = "none"
    CHOSEN = "chosen"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """An adapter as members see it. `owner_id` None: built in. `info` is what its file says.

    `weight` is the one used where none is given, `least` and `most` what its owner recommends (None: not said).
    `credit` names the maker and outlives forks. `stars` is the mean of `ratings` ratings, 0 without any.
    """

    id: int
    name: str
    owner_id: int | None
    guild_id: int | None
    visibility: str  # private | guild | everyone
    info: AdapterInfo
    created_at: datetime
    uses: int = 0
    alias: str = ""
    weight: float = 1.0
    least: float | None = None
    most: float | None = None
    triggers: Triggers = Triggers.NONE
    chosen: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    nsfw: bool = False
    real_person: bool = False
    credit: str = ""
    license: str = ""
    forked_from: int | None = None
    stars: float = 0.0
    ratings: int = 0
    favourites: int = 0

    @property
    def short_id(self) -> str:
        """What commands carry in place of the name: "#12"; `read_short_id` is the inverse."""
        return f"#{self.id}"

    @property
    def public_name(self) -> str:
        """What may stand where others read it: its name, or its short id as long as it is one person's alone."""
        return self.short_id if self.visibility == "private" else self.name

    @property
    def maker(self) -> str:
        """Whose work it is: as its owner or its source has said, else as the file says; "" where nobody has."""
        return self.credit or self.info.author

    @property
    def terms(self) -> str:
        """Its licence, from where `maker` is."""
        return self.license or self.info.license

    @property
    def words(self) -> tuple[str, ...]:
        """The trigger words that are added to a prompt that does not hold them."""
        return {Triggers.NONE: (), Triggers.CHOSEN: self.chosen, Triggers.ALL: self.info.triggers}[self.triggers]

    def advice(self, weight: float) -> str:
        """A sentence where its owner recommends other weights than this one; "" for 0, which is without it."""
        least, most, name = self.least, self.most, self.public_name
        if weight == 0 or ((least is None or weight >= least) and (most is None or weight <= most)):
            return ""
        if least is None:
            return f"{name} is at {weight:g}; at most {most:g} is recommended."
        if most is None:
            return f"{name} is at {weight:g}; at least {least:g} is recommended."
        return f"{name} is at {weight:g}; {least:g} to {most:g} is recommended."


class Shared(StrEnum):
    """What becomes of the adapters that somebody has shared, once the person is forgotten."""

    REMOVED = "removed"
    CREDITED = "credited"  # they stay where they are, nobody's, and their credit line with them
    NAMELESS = "nameless"  # they stay, nobody's, without a credit line


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much the bot holds of one person. `credited` of the `shared` adapters have a credit line."""

    jobs: int = 0
    pictures: int = 0
    private: int = 0
    shared: int = 0
    credited: int = 0
    ratings: int = 0
    favourites: int = 0
    reports: int = 0


def read_short_id(text: str) -> int | None:
    """The id of an entry that is written as `CatalogEntry.short_id`; None for everything else."""
    digits = text.strip()[1:]
    return int(digits) if text.strip().startswith("#") and digits.isascii() and digits.isdecimal() else None


@dataclass(frozen=True, slots=True)
class AdapterRunning:
    """How drawing with one file goes. Seconds a step are of its mixes and of the same drawings without it, 0 where not
    known; `failed_lately` of its drawings failed in the last 24 hours, for `people_lately` different people.
    """

    sha256: str
    draws: int
    failures: int
    seconds_per_step: float = 0.0
    base_seconds_per_step: float = 0.0
    failed_lately: int = 0
    people_lately: int = 0

    @property
    def failing(self) -> bool:
        """Whether so many failed, and not for one person alone, that it should not be drawn with."""
        return self.failed_lately >= MANY_FAILURES and self.people_lately >= MANY_PEOPLE


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done. `actor_id` None: by the bot itself, or by somebody who has asked to be forgotten."""

    id: int
    at: datetime
    actor_id: int | None
    guild_id: int | None
    action: str
    subject: str
    details: Mapping[str, object]
