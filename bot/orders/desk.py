"""The use-cases: each checks what a member asks for, records it, and hands it on. Knows no Discord."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from engine import (
    AdapterError,
    AdapterMismatch,
    AdapterNotFound,
    AdapterUse,
    BadRequest,
    EngineError,
    Grid,
    ImageUnreadable,
    Reading,
    Request,
    left_out,
    untagged,
)

from .errors import CellUnknown, Closing, JobUnknown, NotInMix, StorageError, StorageFull, TooLate
from .gate import Gate
from .replay import Replay, replay
from .rights import Right, right_of
from .values import Bounds, CatalogEntry, Job, Order, Page, Press, Price, Queue, Ticket, Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

PAGE = 10
PRIVATE = "private"  # entries whose names no sentence gives away: it may stand in a channel
LEAST_ROOM = 512 << 20  # bytes of disk below which nothing is drawn
_SHOWN = 100  # characters of a name that was not found
_SEEN = 0.0005  # forms show weights with three decimals
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
    def estimate(self, request: Request) -> float | None: ...


class Orders:
    """Every method is one thing a member can ask for. `cells` is how many cells a grid may have."""

    def __init__(
        self, store: Store, line: Line, bounds: Bounds | None = None, *, cells: int = 36, gate: Gate | None = None
    ) -> None:
        self._store = store
        self._gate = gate or Gate(store)
        self._line = line
        self._bounds = bounds or Bounds()
        self._cells = cells
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
        request, entries = await self._resolved(order.request, order.who)
        order = replace(order, request=request)
        charge = self._line.price(request)
        entry_ids = {entry.id for entry in entries}
        job = await self._store.jobs.record(order, self._bounds, charge=charge, entry_ids=entry_ids)
        return replace(self._line.ticket(job), notes=job.request.notes, left=await self._left(order.who))

    async def price(self, request: Request, who: Who) -> Price:
        """What a request would cost this member, who may order it: nothing is recorded."""
        request, _ = await self._resolved(request, who)
        mine = await self._store.jobs.unfinished(who.member_id)
        pictures = len(request.grid) if request.grid else request.count
        return Price(pictures, self._line.estimate(request), len(mine), self._bounds.per_member)

    async def cell(self, job_id: str, press: Press, place: int) -> Ticket:
        """One cell of one's own grid is ordered as a picture of its own; `place` counts row by row from 0."""
        job = await self.open_job(job_id, press.who)
        _require_image(job.request)
        grid = job.request.grid
        if grid is None or not 0 <= place < len(grid):
            raise CellUnknown("This sheet has no such cell.")
        return await self.imagine(press.order(grid.cells(job.request)[place], job.id))

    async def again(
        self, job_id: str, press: Press, *, vary: bool = False, weights: Mapping[str, float] | None = None
    ) -> Ticket:
        """One's own job is ordered once more: as it was, with another seed (`vary`), or with other weights by name."""
        job = await self.open_job(job_id, press.who)
        _require_image(job.request)
        request = replace(job.request, seed=None) if vary else job.request
        return await self.imagine(press.order(_reweighted(request, weights or {}), job.id))

    async def replay(self, reading: Reading, who: Who, models: Collection[str], vaes: Collection[str]) -> Replay:
        """What this person can make here of a picture's metadata. `models` and `vaes` are the names there are."""
        return await replay(reading, who, self._store.catalog, self._line.family, models, vaes)

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
        """The visible adapter of that name, upper and lower case being the same; else the one file that gives itself
        that name, or whose hash begins so. Raises AdapterNotFound, also where that fits several files.
        """
        entry = await self._store.catalog.find(who, name)
        if entry is not None:
            return entry
        others = await self._store.catalog.answering(who, name)
        if len(others) > 1:
            names = ", ".join(entry.name for entry in others if entry.visibility != PRIVATE)
            listed = f": {names}" if names else ""
            raise AdapterNotFound(f"{name[:_SHOWN]!r} means {len(others)} adapters here{listed}. Use the name of one.")
        return others[0] if others else await self._missing(who, name)

    def family(self, model: str = "") -> str:
        """The family of a base model ("": the default one), or "" while it is unknown."""
        return self._line.family(model)

    async def _left(self, who: Who) -> float | None:
        """Seconds of drawing that this person may still order today; None without limit."""
        allowance = self._bounds.allowance(who.roles)
        return None if allowance is None else max(0.0, allowance - await self._store.jobs.spent(who.member_id))

    async def _governed(self, job_id: str, who: Who) -> Job:
        """A job that is one's own, or of the server in which one is a moderator; any for those who run the bot."""
        job = await self._store.jobs.get(job_id)
        if job is None:
            raise _unknown()
        owner = job.order.who
        here = who.guild_id is not None and who.guild_id == owner.guild_id
        moderated = here and right_of(who) >= Right.MODERATOR
        if owner.member_id != who.member_id and not moderated and not who.owner:
            raise _unknown()
        return job

    async def _resolved(self, request: Request, who: Who) -> tuple[Request, tuple[CatalogEntry, ...]]:
        """The request with every adapter found in the catalog and fitting the base model, and their entries, all of
        which this person may have drawn here.

        What only a tag of the prompt asks for and cannot be used is left out, with a note.
        """
        listed, request = len(request.adapters), untagged(request)
        family = self._line.family(request.model)
        mix: dict[str, AdapterUse] = {}
        refused: list[tuple[AdapterUse, EngineError]] = []
        entries: list[CatalogEntry] = []
        for place, use in enumerate(request.adapters):
            try:
                entry = await self._entry(use, who)
                _require_fit(entry, family)
                _add(mix, replace(use, name=entry.name, sha256=entry.info.sha256))
                entries.append(entry)
            except (AdapterError, BadRequest) as error:
                if place < listed:
                    raise
                refused.append((use, error))
        if request.grid is not None:
            grid, more = await self._resolved_grid(request, request.grid, who)
            request, entries = replace(request, grid=grid), [*entries, *more]
        request = left_out(replace(request, adapters=tuple(mix.values())), refused)
        await self._gate.admit(request, entries, who)
        return request, tuple(entries)

    async def _resolved_grid(self, request: Request, grid: Grid, who: Who) -> tuple[Grid, list[CatalogEntry]]:
        """The grid with the adapters that its axes name, found like the others, and their entries."""
        if len(grid) > self._cells:
            raise BadRequest(f"This grid has {len(grid)} cells; {self._cells} is the most here.")
        known = {use.name.casefold(): use for use in (*request.adapters, *grid.adapters)}
        entries = [await self._entry(known.get(name.casefold(), AdapterUse(name)), who) for name in grid.names]
        family = self._line.family(request.model)
        for entry in entries:
            _require_fit(entry, family)
        uses = tuple(
            AdapterUse(name, sha256=entry.info.sha256) for name, entry in zip(grid.names, entries, strict=True)
        )
        return replace(grid, adapters=uses), entries

    async def _entry(self, use: AdapterUse, who: Who) -> CatalogEntry:
        """By content where the hash is known, so that an old job draws with the file it drew with."""
        if not use.sha256:
            return await self.adapter(who, use.name)
        entry = await self._store.catalog.find_file(who, use.sha256)
        return entry if entry is not None else await self._missing(who, use.name)

    async def _missing(self, who: Who, name: str) -> CatalogEntry:
        visible = await self.adapters(who, limit=_NAMES)
        names = {entry.name.casefold(): entry.name for entry in visible if entry.visibility != PRIVATE}
        found = await asyncio.to_thread(get_close_matches, name.casefold()[:_SHOWN], names, 3, 0.5)
        close = [names[key] for key in found]
        hint = f" Did you mean {' or '.join(close)}?" if close else " /lora list shows the ones you can use."
        raise AdapterNotFound(f"There is no adapter called {name[:_SHOWN]!r} here.{hint}")


def _unknown() -> JobUnknown:
    return JobUnknown("There is no such job of yours.")


def _require_image(request: Request) -> None:
    if request.image == b"":
        raise ImageUnreadable("The picture that this started from is no longer kept; send it again with /imagine.")


def _require_fit(entry: CatalogEntry, family: str) -> None:
    theirs = entry.info.family
    if theirs and family and theirs != family:
        raise AdapterMismatch(f"{entry.name} was made for {theirs}; this base model is {family}.")


def _add(mix: dict[str, AdapterUse], use: AdapterUse) -> None:
    """The use is in the mix, once a file: the weights of `Ink` and `ink` are summed."""
    other = mix.get(use.sha256)
    mix[use.sha256] = use if other is None else other.plus(use)


def _reweighted(request: Request, weights: Mapping[str, float]) -> Request:
    """The request with the weights of `weights`, by adapter name. A changed weight counts throughout, for the text
    encoders too; one that is as it was, up to what a form shows of it, changes nothing.
    """
    wanted = {name.casefold(): weight for name, weight in weights.items()}
    strangers = wanted.keys() - {use.name.casefold() for use in request.adapters}
    if strangers:
        raise NotInMix(f"This job did not use {', '.join(sorted(strangers))}; only its own adapters have weights here.")
    asked = [(use, wanted.get(use.name.casefold(), use.weight)) for use in request.adapters]
    uses = tuple(use if abs(use.weight - weight) < _SEEN else use.weighing(weight) for use, weight in asked)
    return replace(request, adapters=uses)
