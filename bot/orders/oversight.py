"""What admins see of a server's work, and how the people who run the bot pause and go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .desk import Orders
from .rights import Right, require, require_command
from .shown import shown_to
from .values import AuditEntry, Job, Ticket, Who

if TYPE_CHECKING:
    from ..store import Store

PAGE = 15
PAUSED = "The people who run this bot have paused it. What is in line stays there; order again later."
_REASON = 200


class Valve(Protocol):
    """Where jobs go to workers: `bot.jobs.Runner`."""

    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def ticket(self, job: Job) -> Ticket: ...


@dataclass(frozen=True, slots=True)
class Overview:
    """A server's unfinished jobs as somebody may see them, oldest first, and the whole line's numbers.

    `paused` is the sentence with which orders are refused now, "" while they are taken.
    """

    jobs: tuple[tuple[Job, Ticket], ...]
    waiting: int
    running: int
    paused: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; `older` is where the next page begins, None on the last one."""

    entries: tuple[AuditEntry, ...]
    older: int | None


class Oversight:
    """drain and resume are inverses. Neither outlives a restart: then the bot is open."""

    def __init__(self, store: Store, orders: Orders, valve: Valve) -> None:
        self._jobs = store.jobs
        self._audit = store.audit
        self._orders = orders
        self._valve = valve

    async def queue(self, who: Who) -> Overview:
        """What is unfinished in this server; in a direct message, of the whole bot. Raises Forbidden."""
        require_command(who, "admin queue")
        unfinished = await self._jobs.unfinished_in(who.guild_id)
        shown = ((shown_to(job, who), self._valve.ticket(job)) for job in unfinished)
        jobs = tuple((job, ticket) for job, ticket in shown if job is not None)
        return Overview(jobs, self._valve.waiting, self._valve.running, self._orders.closed)

    async def drain(self, who: Who, reason: str = "") -> int:
        """Nothing new is taken or begun; what runs is drawn to its end, what waits stays. Gives how many still run."""
        require_command(who, "admin drain")
        why = " ".join(reason.split())[:_REASON]
        self._orders.close(f"{PAUSED} {why}".strip())
        self._valve.hold()
        await self._audit.record("admin drain", "bot", actor=who.member_id, details={"reason": why})
        return self._valve.running

    async def resume(self, who: Who) -> int:
        """Orders are taken, and what waits is drawn. Gives how many wait."""
        require_command(who, "admin resume")
        self._orders.open()
        self._valve.release()
        await self._audit.record("admin resume", "bot", actor=who.member_id)
        return self._valve.waiting

    async def audit(self, who: Who, before: int | None = None, *, everywhere: bool = False) -> AuditPage:
        """What was done in this server, older than the entry `before`; `everywhere` for the people who run the bot."""
        require_command(who, "admin audit")
        if everywhere or who.guild_id is None:
            require(who, Right.OWNER)
        place = None if everywhere else who.guild_id
        entries = await self._audit.entries(place, before=before, limit=PAGE + 1)
        shown = entries[:PAGE]
        return AuditPage(shown, shown[-1].id if len(entries) > PAGE else None)
