"""The use-cases: each checks what a member asks for, records it, and hands it on. Knows no Discord."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from engine import AdapterUse, ImageUnreadable, Reading, Request

from .adapters import Adapters
from .door import Door
from .errors import CellUnknown, Closing, JobUnknown, NotInMix, StorageError, StorageFull, TooLate
from .gate import Gate
from .governing import SettingsDesk
from .models import Models
from .replay import Replay, replay
from .rights import Right, right_of
from .shown import shown_to
from .values import Bounds, CatalogEntry, Job, Order, Page, Press, Price, Queue, Ticket, Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

PAGE = 10
LEAST_ROOM = 512 << 20  # bytes of disk below which nothing is drawn
_SEEN = 0.0005  # forms show weights with three decimals


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
    """Every method is one thing a member can ask for. `cells` is how many cells a grid may have; `wildcards` are the
    folders of which a prompt may take lines.
    """

    def __init__(
        self,
        store: Store,
        line: Line,
        bounds: Bounds | None = None,
        *,
        cells: int = 36,
        wildcards: Sequence[Path] = (),
        gate: Gate | None = None,
        settings: SettingsDesk | None = None,
        models: Models | None = None,
    ) -> None:
        self._store = store
        self._gate = gate or Gate(store)
        self._adapters = Adapters(store.catalog, wildcards)
        self._line = line
        self._bounds = bounds or Bounds()
        self._settings = settings
        self._models = models
        self._door = Door(self._bounds)
        self._cells = cells
        self._closed = ""  # why nothing new is taken

    def close(self, sentence: str) -> None:
        """Orders are refused with this sentence. `open` is the inverse."""
        self._closed = sentence

    @property
    def closed(self) -> str:
        """The sentence with which orders are refused; "" while they are taken."""
        return self._closed

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
        with self._door.taking(order.who.guild_id):
            request, entries = await self._resolved(order.request, order.who)
            order, bounds = replace(order, request=request), await self._bounds_of(order.who)
            charge = self._line.price(request)
            entry_ids = {entry.id for entry in entries}
            mature = await self._gate.content.mature(request, entries)
            job = await self._store.jobs.record(order, bounds, charge=charge, entry_ids=entry_ids, mature=mature)
        advice = filter(None, (_advice(request, entry) for entry in entries))
        notes = (*job.request.notes, *advice)
        return replace(self._line.ticket(job), notes=notes, left=await self._left(order.who))

    async def price(self, request: Request, who: Who) -> Price:
        """What a request would cost this member, who may order it: nothing is recorded."""
        request, _ = await self._resolved(request, who)
        mine = await self._store.jobs.unfinished(who.member_id)
        pictures = len(request.grid) if request.grid else request.count
        bounds = await self._bounds_of(who)
        return Price(pictures, self._line.estimate(request), len(mine), bounds.per_member)

    async def cell(self, job_id: str, press: Press, place: int) -> Ticket:
        """One cell of one's own grid is ordered as a picture of its own; `place` counts row by row from 0."""
        job = await self.open_job(job_id, press.who)
        _require_image(job.request)
        grid = job.request.grid
        if grid is None or not 0 <= place < len(grid):
            raise CellUnknown("This sheet has no such cell.")
        request = grid.cells(job.request)[place]
        found = tuple(use for use in request.adapters if use.sha256)  # the sheet was drawn without the others
        return await self.imagine(press.order(replace(request, adapters=found), job.id))

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
        return await replay(reading, who, self._store.catalog, partial(self.family, who), models, vaes)

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
        found = await self._store.jobs.history(who.member_id, page, size=PAGE)
        return replace(found, jobs=_shown(found.jobs, who))

    async def open_job(self, job_id: str, who: Who) -> Job:
        """One's own job. Someone else's and one that never was raise the same JobUnknown."""
        job = await self._store.jobs.get(job_id)
        if job is None or job.order.who.member_id != who.member_id:
            raise _unknown()
        return job

    async def withheld(self, job: Job, who: Who) -> str:
        """Why the pictures of one's own job are not shown in the place one is in now; "" where they are."""
        return await self._gate.withheld(job, who)

    async def queue(self, who: Who) -> Queue:
        """The line as it is now, with one's own unfinished jobs."""
        mine = _shown(await self._store.jobs.unfinished(who.member_id), who)
        tickets = tuple((job, self._line.ticket(job)) for job in mine)
        return Queue(self._line.waiting, self._line.running, tickets, await self._left(who))

    async def adapters(
        self, who: Who, needle: str = "", family: str | None = None, limit: int = 25
    ) -> tuple[CatalogEntry, ...]:
        """Adapters that this person may use here, that answer to `needle` and fit `family` (None: any); the best
        answers first.
        """
        return await self._adapters.offered(who, needle, family, limit)

    async def adapter(self, who: Who, name: str) -> CatalogEntry:
        """The visible adapter of that name, alias, short id, title or hash. Raises AdapterNotFound."""
        return await self._adapters.named(who, name)

    async def use(self, who: Who, name: str, weight: float | None) -> AdapterUse:
        """That adapter at this weight, or at the one that its owner has chosen. Raises AdapterNotFound."""
        return await self._adapters.use(who, name, weight)

    async def family(self, who: Who, model: str = "") -> str:
        """The family of a base model ("": what this person draws with here), or "" while it is unknown."""
        model = model or await self._model_of(who)
        known = "" if self._models is None else await self._models.family(model)
        return known or self._line.family(model)

    async def _model_of(self, who: Who) -> str:
        """The base model that is drawn with where an order names none; "": the configuration's."""
        return "" if self._settings is None else (await self._settings.of(who)).model or ""

    async def _left(self, who: Who) -> float | None:
        """Seconds of drawing that this person may still order today; None without limit."""
        allowance = (await self._bounds_of(who)).allowance(who.roles)
        return None if allowance is None else max(0.0, allowance - await self._store.jobs.spent(who.member_id))

    async def _bounds_of(self, who: Who) -> Bounds:
        """The configuration's bounds, or the stricter ones of this place."""
        return self._bounds if self._settings is None else (await self._settings.of(who)).within(self._bounds)

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
        """The request as it would be drawn, and the entries of its adapters, admitted by every rule."""
        if not request.model:
            request = replace(request, model=await self._model_of(who))
        family = await self.family(who, request.model)
        request, entries = await self._adapters.resolved(request, who, family, self._cells)
        await self._gate.admit(request, entries, who)
        return request, entries


def _shown(jobs: Iterable[Job], who: Who) -> tuple[Job, ...]:
    """Those of the jobs that this person may know of, as they may see them."""
    return tuple(job for job in (shown_to(job, who) for job in jobs) if job is not None)


def _unknown() -> JobUnknown:
    return JobUnknown("There is no such job of yours.")


def _require_image(request: Request) -> None:
    if request.image == b"":
        raise ImageUnreadable("The picture that this started from is no longer kept; send it again with /imagine.")


def _advice(request: Request, entry: CatalogEntry) -> str:
    """Where the owner of an adapter recommends other weights than the one that it is drawn at."""
    weights = [use.weight for use in request.named if use.sha256 == entry.info.sha256]
    return entry.advice(weights[0]) if weights else ""


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
