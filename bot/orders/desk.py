"""The use-cases: each checks what a member asks for, records it, and hands it on. Knows no Discord."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from engine import AdapterMismatch, AdapterNotFound, AdapterUse, ImageUnreadable, Request, untagged

from .errors import Closing, JobUnknown, NotInMix, StorageError, StorageFull, TooLate
from .values import Bounds, CatalogEntry, Job, Order, Page, Press, Queue, Ticket, Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

PAGE = 10
LEAST_ROOM = 512 << 20  # bytes of disk below which nothing is drawn
_SHOWN = 100  # characters of a name that was not found
_NAMES = 1000  # how many names are looked through for one like the name that was not found


class Line(Protocol):
    """Where recorded jobs wait and run: `bot.jobs.Runner`."""

    @property
    def waiting(self) -> int: ...
    @property
    def running(self) -> int: ...
    async def submit(self, job_id: str) -> None: ...
    async def cancel(self, job_id: str) -> bool: ...
    def ticket(self, job: Job) -> Ticket: ...
    def price(self, request: Request) -> float: ...
    def family(self, model: str = "") -> str: ...


class Orders:
    """Every method is one thing a member can ask for."""

    def __init__(self, store: Store, line: Line, bounds: Bounds | None = None) -> None:
        self._store = store
        self._line = line
        self._bounds = bounds or Bounds()
        self._closed = ""  # why nothing new is taken

    def close(self, sentence: str) -> None:
        """Orders are refused with this sentence. `open` is the inverse."""
        self._closed = sentence

    def open(self) -> None:
        self._closed = ""

    def room(self) -> int:
        """Bytes that are free on the disk of the data folder."""
        return self._store.room()

    async def touch(self) -> None:
        """Something was written to the database, and nothing changed. Raises StorageError where that cannot be."""
        await self._store.touch()

    async def imagine(self, order: Order) -> Ticket:
        """The order is recorded, and goes in line once `acked`. The same interaction twice is one job."""
        if self._closed:
            raise Closing(self._closed)
        if self.room() < LEAST_ROOM:
            raise StorageFull("The disk of the bot is almost full, so nothing new is drawn until its owner makes room.")
        request, entries = await self._resolved(untagged(order.request), order.who)
        order = replace(order, request=request)
        charge, entry_ids = self._line.price(request), {entry.id for entry in entries}
        job = await self._store.jobs.record(order, self._bounds, charge=charge, entry_ids=entry_ids)
        return replace(self._line.ticket(job), left=await self._left(order.who))

    async def again(
        self, job_id: str, press: Press, *, vary: bool = False, weights: Mapping[str, float] | None = None
    ) -> Ticket:
        """One's own job is ordered once more: as it was, with another seed (`vary`), or with other weights by name."""
        job = await self.open_job(job_id, press.who)
        if job.request.image == b"":
            raise ImageUnreadable("The picture that this started from is no longer kept; send it again with /imagine.")
        request = replace(job.request, seed=None) if vary else job.request
        return await self.imagine(press.order(_reweighted(request, weights or {}), job.id))

    async def acked(self, job_id: str, channel_id: int, message_id: int | None) -> None:
        """The member was answered with this message, which the result will replace, and the job is in line."""
        try:
            await self._store.jobs.acked(job_id, channel_id, message_id)
        except StorageError as fault:  # the member has read that it is in line, so it must be
            log.warning("where job %s was answered could not be written down: %s", job_id, fault)
        await self._line.submit(job_id)

    async def unanswered(self, job_id: str) -> None:
        """The answer came too late for Discord: the job never runs, for its member will order again."""
        await self._store.jobs.unanswered(job_id)

    async def cancel(self, job_id: str, who: Who) -> Job:
        """The job is cancelled and its member will see so. Raises TooLate once its pictures are drawn."""
        job = await self._governed(job_id, who)
        if not await self._line.cancel(job.id):
            raise TooLate("This job is already finished; there is nothing left to cancel.")
        return await self._governed(job_id, who)

    async def delete(self, job_id: str, who: Who) -> Job:
        """The job's pictures are gone from the disk, and it no longer runs. Its message is the caller's to delete."""
        job = await self._governed(job_id, who)
        await self._line.cancel(job.id)
        await self._store.jobs.erase(job.id)
        return job

    async def history(self, who: Who, page: int = 1) -> Page:
        """One page of one's own jobs, newest first; a page past the end is the last one."""
        return await self._store.jobs.history(who.member_id, page, size=PAGE)

    async def open_job(self, job_id: str, who: Who) -> Job:
        """One's own job. Someone else's and one that never was raise the same JobUnknown."""
        job = await self._store.jobs.get(job_id)
        if job is None or job.order.who.member_id != who.member_id:
            raise _unknown()
        return job

    async def queue(self, who: Who) -> Queue:
        """The line as it is now, with one's own unfinished jobs."""
        mine = await self._store.jobs.unfinished(who.member_id)
        tickets = tuple((job, self._line.ticket(job)) for job in mine)
        return Queue(self._line.waiting, self._line.running, tickets, await self._left(who))

    async def adapters(
        self, who: Who, needle: str = "", family: str | None = None, limit: int = 25
    ) -> tuple[CatalogEntry, ...]:
        """Visible adapters whose name contains `needle`, made for `family` (None: any); most fitting first."""
        return await self._store.catalog.search(who, needle, family, limit)

    async def adapter(self, who: Who, name: str) -> CatalogEntry:
        """The visible adapter of that name, upper and lower case being the same. Raises AdapterNotFound."""
        entry = await self._store.catalog.find(who, name)
        return entry if entry is not None else await self._missing(who, name)

    def family(self, model: str = "") -> str:
        """The family of a base model ("": the default one), or "" while it is unknown."""
        return self._line.family(model)

    async def _left(self, who: Who) -> float | None:
        """Seconds of drawing that this person may still order today; None without limit."""
        allowance = self._bounds.allowance(who.roles)
        return None if allowance is None else max(0.0, allowance - await self._store.jobs.spent(who.member_id))

    async def _governed(self, job_id: str, who: Who) -> Job:
        """A job that is one's own, or of the server in which one is a moderator."""
        job = await self._store.jobs.get(job_id)
        if job is None:
            raise _unknown()
        owner = job.order.who
        moderated = who.moderator and who.guild_id is not None and who.guild_id == owner.guild_id
        if owner.member_id != who.member_id and not moderated:
            raise _unknown()
        return job

    async def _resolved(self, request: Request, who: Who) -> tuple[Request, list[CatalogEntry]]:
        """The request with every adapter found in the catalog and fitting the base model."""
        entries = [await self._entry(use, who) for use in request.adapters]
        family = self._line.family(request.model)
        for entry in entries:
            _require_fit(entry, family)
        uses = tuple(
            replace(use, name=entry.name, sha256=entry.info.sha256)
            for use, entry in zip(request.adapters, entries, strict=True)
        )
        return replace(request, adapters=_merged(uses)), entries

    async def _entry(self, use: AdapterUse, who: Who) -> CatalogEntry:
        """By content where the hash is known, so that an old job draws with the file it drew with."""
        if not use.sha256:
            return await self.adapter(who, use.name)
        entry = await self._store.catalog.find_file(who, use.sha256)
        return entry if entry is not None else await self._missing(who, use.name)

    async def _missing(self, who: Who, name: str) -> CatalogEntry:
        names = {entry.name.casefold(): entry.name for entry in await self.adapters(who, limit=_NAMES)}
        found = await asyncio.to_thread(get_close_matches, name.casefold()[:_SHOWN], names, 3, 0.5)
        close = [names[key] for key in found]
        hint = f" Did you mean {' or '.join(close)}?" if close else " /lora list shows the ones you can use."
        raise AdapterNotFound(f"There is no adapter called {name[:_SHOWN]!r} here.{hint}")


def _unknown() -> JobUnknown:
    return JobUnknown("There is no such job of yours.")


def _require_fit(entry: CatalogEntry, family: str) -> None:
    theirs = entry.info.family
    if theirs and family and theirs != family:
        raise AdapterMismatch(f"{entry.name} was made for {theirs}; this base model is {family}.")


def _merged(uses: Iterable[AdapterUse]) -> tuple[AdapterUse, ...]:
    """One use a file, the weights of `Ink` and `ink` summed."""
    merged: dict[str, AdapterUse] = {}
    for use in uses:
        other = merged.get(use.sha256)
        if other is None:
            merged[use.sha256] = use
        else:
            text_weight = other.text_weight + use.text_weight
            merged[use.sha256] = replace(other, weight=other.weight + use.weight, te_weight=text_weight)
    return tuple(merged.values())


def _reweighted(request: Request, weights: Mapping[str, float]) -> Request:
    """The request with the weights of `weights`, by adapter name; a changed weight counts for the text encoders too."""
    wanted = {name.casefold(): weight for name, weight in weights.items()}
    strangers = wanted.keys() - {use.name.casefold() for use in request.adapters}
    if strangers:
        raise NotInMix(f"This job did not use {', '.join(sorted(strangers))}; only its own adapters have weights here.")
    uses = tuple(
        replace(use, weight=wanted[use.name.casefold()], te_weight=None) if use.name.casefold() in wanted else use
        for use in request.adapters
    )
    return replace(request, adapters=uses)
