"""What moderators, admins and the people who run the bot decide: reports, bans, quarantine.

Each method sees for itself that the person may, whatever command or button led to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine import AdapterNotFound, hash_digits

from .bars import NotBarred
from .desk import Line, Orders
from .errors import Forbidden, ReportUnknown, TooLate
from .rights import Right, require
from .values import CatalogEntry, Job, Who
from .verdicts import Ban, Outcome, Reason, Report, Turn

if TYPE_CHECKING:
    from ..store import Store

ANYWHERE = 0  # in place of a server's id, as in the table of bans
REASON = 300  # characters of why something was taken down
_SHOWN = 100
_WHOLE_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Decision:
    """A decided report; `job` is the one whose pictures are gone, for its message to go too."""

    report: Report
    outcome: Outcome
    job: Job | None = None


class Moderation:
    """Each act has its inverse: takedown and restore, ban and unban, quarantine and release."""

    def __init__(self, store: Store, orders: Orders, line: Line) -> None:
        self._store = store.judging
        self._bar = NotBarred(store)
        self._running = store.running
        self._jobs = store.jobs
        self._orders = orders
        self._line = line

    # the queue of reports

    async def reports(self, who: Who, after: int = 0, *, back: bool = False) -> Turn | None:
        """The next open report of this server (for those who run the bot: of all) behind, or before, that number."""
        require(who, Right.MODERATOR)
        return await self._store.open_report(who, after, back=back)

    async def decide(self, who: Who, report_id: int, outcome: Outcome) -> Decision:
        """The report is decided and what follows from it is done; of several at once one person does it.

        Raises ReportUnknown, also for what the report offers no choice of; Forbidden; TooLate for a decided one.
        """
        require(who, Right.OWNER if outcome is Outcome.TAKEN_DOWN else Right.MODERATOR)
        report = await self._store.reported(who, report_id)
        if report is None or outcome not in report.choices(owner=who.owner):
            raise ReportUnknown("There is no such report for you.")
        job = None if report.job_id is None or outcome is not Outcome.DELETED else await self._jobs.get(report.job_id)
        if not await self._store.decide(who, report, outcome):
            raise TooLate("Somebody else has decided this report meanwhile.")
        if job is not None:
            await self._line.cancel(job.id)
            await self._jobs.erase(job.id)
        return Decision(report, outcome, job)

    # by name

    async def takedown(self, who: Who, name: str, reason: str, *, everywhere: bool = False) -> CatalogEntry:
        """Nobody here (`everywhere`: nobody at all) sees the adapter or draws with it, under any name, nor with a fork
        of it; its owner reads why. `restore` is the inverse. Raises AdapterNotFound, Forbidden.
        """
        place = _place(who, Right.MODERATOR, everywhere=everywhere)
        entry = await self._orders.adapter(who, name)
        await self._ban(who, entry, place, reason)
        return entry

    async def restore(self, who: Who, name: str, *, everywhere: bool = False) -> Ban:
        """What was taken down under that name, or a hash that begins so, may be used again. Raises ReportUnknown."""
        return await self._unban(who, name, _place(who, Right.MODERATOR, everywhere=everywhere))

    async def ban(self, who: Who, name_or_hash: str, reason: str, everywhere: bool = False) -> str:
        """As `takedown`, by an admin, and also for a whole SHA-256 of a file or its tensors that is not here yet; gives
        what the ban is called. `unban` is the inverse.
        """
        place = _place(who, Right.ADMIN, everywhere=everywhere)
        digits = hash_digits(name_or_hash)
        try:
            entry = await self._orders.adapter(who, name_or_hash)
        except AdapterNotFound:
            if not _WHOLE_HASH.fullmatch(digits):
                raise
            await self._store.ban([digits], place, digits[:12], _because(reason), actor=who.member_id)
            return digits[:12]
        await self._ban(who, entry, place, reason)
        return entry.name

    async def unban(self, who: Who, name_or_hash: str, everywhere: bool = False) -> Ban:
        """It may be used again. Raises ReportUnknown where nothing of that name or hash is banned."""
        return await self._unban(who, name_or_hash, _place(who, Right.ADMIN, everywhere=everywhere))

    async def bans(self, who: Who, *, everywhere: bool = False) -> tuple[Ban, ...]:
        """What is banned in this server, or everywhere; newest first."""
        require(who, Right.MODERATOR)
        if everywhere:
            return await self._store.bans(ANYWHERE)
        return () if who.guild_id is None else await self._store.bans(who.guild_id)

    async def quarantine(self, who: Who, name: str, reason: str) -> CatalogEntry:
        """Nobody draws with the adapter until it is released. Raises AdapterNotFound, Forbidden."""
        require(who, Right.OWNER)
        entry = await self._orders.adapter(who, name)
        await self._store.quarantine(entry.info.sha256, _because(reason), by_hand=True, actor=who.member_id)
        return entry

    async def release(self, who: Who, name: str) -> CatalogEntry:
        """The adapter may be drawn with again, and its failures until now count no more.

        Raises AdapterNotFound, Forbidden, and ReportUnknown where it was not in quarantine.
        """
        require(who, Right.OWNER)
        entry = await self._orders.adapter(who, name)
        if not await self._store.release(entry.info.sha256, actor=who.member_id):
            raise ReportUnknown(f"{entry.name} is not in quarantine.")
        await self._running.forgive(entry.info.sha256)
        return entry

    async def notice(self, who: Who, entry: CatalogEntry) -> str:
        """Why nobody draws with the adapter here, as a sentence, which its owner is shown; "" where one may."""
        return await self._bar.objection(who, entry)

    async def _ban(self, who: Who, entry: CatalogEntry, place: int, reason: str) -> None:
        hashes = (entry.info.sha256, entry.info.tensor_sha256)
        await self._store.ban(hashes, place, entry.name, _because(reason), actor=who.member_id)

    async def _unban(self, who: Who, wanted: str, place: int) -> Ban:
        ban = await self._store.unban(wanted, place, actor=who.member_id)
        if ban is None:
            where = "everywhere" if place == ANYWHERE else "in this server"
            raise ReportUnknown(f"Nothing called {wanted[:_SHOWN]!r} is taken down {where}.")
        return ban


def _place(who: Who, right: Right, *, everywhere: bool) -> int:
    """The server that a ban is for, or ANYWHERE, for someone who may. Raises Forbidden."""
    require(who, Right.OWNER if everywhere else right)
    if everywhere:
        return ANYWHERE
    if who.guild_id is None:
        raise Forbidden("This works only in a server.")
    return who.guild_id


def _because(reason: str) -> str:
    """The end of a sentence, in one line."""
    return " ".join(reason.split())[:REASON].rstrip(" .!") or Reason.OTHER.because
