"""Job rows to scheduler to fleet to outbox. The rows are the truth: what is in memory here is rebuilt from them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from engine import (
    BUILTIN,
    Attempt,
    Cancelled,
    Done,
    Dropped,
    Event,
    Failed,
    Fleet,
    Lost,
    Progress,
    Request,
    Result,
    Scheduler,
    Stepped,
    Waiting,
    WorkerId,
    WorkerView,
    cost,
)

from ..orders.errors import StorageError
from ..orders.gate import Gate
from ..orders.values import Job, JobState, Ticket
from .breather import BROKEN, Breather
from .outbox import Outbox
from .pace import Pace
from .poster import Poster
from .suspicion import Quarantine, Suspicion

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

PROGRESS_EVERY = 2.0  # seconds between progress edits of one job
LOOK_EVERY = 1.0  # seconds between looks for workers that came while jobs wait
GRACE = 20.0  # seconds that posts in flight have to end when the bot stops
TIDY_EVERY = 60.0  # seconds between looks for jobs that wait too long, or run in nothing but name
LAST_DRAWN = 20  # jobs from which the pace of this machine is known at the start
SECOND_TRY = 2.0  # seconds until what could not be written down is tried again
PATIENCE = 2.0  # seconds in which an idle worker answers
NOBODY = 0  # the member in whose name the bot draws for itself; Discord gives nobody this ID
MAX_LOSSES = 1  # a job that is lost more often than this kills its workers

CANCELLED = "Cancelled."
INTERRUPTED = "This job was interrupted twice while it was drawn, so it was given up. You can order it again."
EXPIRED = "This waited too long to be drawn, so it was given up, and costs you nothing. You can order it again."
DEFECT = "Something went wrong here, and the people who run this bot will find it in the log. You can order it again."


@dataclass(slots=True, eq=False)
class _Run:
    """One attempt that is with a worker, or about to be: `job` is None until its row says running."""

    waiting: Waiting
    worker: WorkerId
    job: Job | None = None
    cancelled: bool = False
    preview: bytes | None = None
    shown_at: float = float("-inf")
    showing: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Unordered:
    """A request that nobody ordered, and how its attempt ended."""

    request: Request
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: Event | None = None


class Runner:
    """Sees every job row through to one visible end, over restarts of the bot and losses of workers."""

    def __init__(
        self,
        store: Store,
        fleet: Fleet,
        scheduler: Scheduler,
        poster: Poster,
        *,
        gate: Gate | None = None,
        quarantine: Quarantine | None = None,
        model: str = BUILTIN,
        longest_wait: timedelta | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._jobs = store.jobs
        self._gate = gate or Gate(store)
        self._fleet = fleet
        self._scheduler = scheduler
        self._outbox = Outbox(store, poster, sleep, gate=self._gate)
        self._model = model  # what is drawn with where the request names none
        self._longest_wait = longest_wait
        self._families: dict[str, str] = {}  # of the models that workers held so far
        self.on_change: Callable[[], None] = lambda: None  # what workers hold may be other than before
        self._clock = clock
        self._breather = Breather(clock)
        self._suspicion = Suspicion(store, quarantine)
        self._runs: dict[str, _Run] = {}
        self._unordered: dict[str, _Unordered] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}  # and the job that each one works on, or ""
        self._serving: asyncio.Task[None] | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._grace = GRACE
        self._held = False
        self._numbers = itertools.count(1)
        self._pace = Pace()

    async def start(self) -> None:
        """The fleet runs, and every job that an earlier process left unfinished goes on from where it was."""
        await self._fleet.start(self._on_event)
        for drawn in await self._jobs.paces(LAST_DRAWN):
            self._pace.learn(*drawn)
        for job in await self._jobs.untold():
            await self._take_up(job)
        await self.tidy()
        self._serving = asyncio.create_task(self._serve(), name="jobs")
        self._tidying = asyncio.create_task(self._keep_tidy(), name="tidying")
        self._tidying.add_done_callback(self._forget)
        self.on_change()

    async def broken(self) -> str:
        """Waits until nothing can be drawn in this process any more, and gives the reason."""
        return await self._fleet.broken()

    def hold(self) -> None:
        """No further job is given to a worker; what runs goes on. `release` is the inverse."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._wake.set()

    async def drain(self, patience: float) -> None:
        """What runs has ended and is shown, if it could within `patience` seconds and GRACE more; nothing was begun."""
        self.hold()
        end = self._clock() + patience
        while self._runs and self._fleet.workers() and self._clock() < end:  # noqa: ASYNC110  once in a life
            await asyncio.sleep(0.05)
        await self._flush()

    async def aclose(self) -> None:
        """Nothing runs any more. Attempts cut short are queued again without blame; `start` takes up the rest."""
        self._closing = True
        self._wake.set()
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait({self._tidying})
        if self._serving is not None:
            await asyncio.wait({self._serving})
        await self._fleet.aclose()
        await self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _flush(self) -> None:
        """What is under way has ended, if it could within what is left of the grace: there is one for a whole life."""
        begun = time.monotonic()
        if self._tasks and self._grace:
            await asyncio.wait(self._tasks, timeout=self._grace)
        self._grace = max(0.0, self._grace - (time.monotonic() - begun))

    async def submit(self, job_id: str) -> None:
        """A recorded job is in line, or will be as soon as that can be written down; one that was is left there."""
        try:
            await self._queue(job_id)
        except StorageError as fault:
            log.warning("job %s is not in line yet: %s", job_id, fault)
            self._spawn(job_id, self._take_up_later(job_id))

    async def cancel(self, job_id: str) -> bool:
        """The job is cancelled, whether it waited or ran; False when its pictures are already drawn or it is over."""
        if not await self._jobs.cancelled(job_id, CANCELLED):
            return False
        self._scheduler.drop(job_id)
        run = self._runs.get(job_id)
        if run is not None:
            run.cancelled = True
            await self._recall(run)
        self._spawn(job_id, self._close(job_id, run))
        return True

    async def draw(self, request: Request) -> Result:
        """What `request` gives, for the bot itself: in line like the job of one more member, without row and post.

        Raises EngineError, and Cancelled when its worker went away.
        """
        key, drawing = f"unordered-{next(self._numbers)}", _Unordered(request)
        self._unordered[key] = drawing
        adapters = frozenset(use.sha256 or use.name for use in request.adapters)
        self._scheduler.add(Waiting(key, NOBODY, cost(request), request.model or self._model, adapters))
        self._wake.set()
        try:
            await drawing.ended.wait()
        finally:
            self._scheduler.drop(key)
            del self._unordered[key]
        match drawing.end:
            case Done(result=result):
                await self._suspicion.drawn(result.conduct)
                return result
            case Failed() as failure:
                await self._suspicion.drawn(failure.conduct)  # also what is at fault, before anybody drew with it
                raise failure.exception()
        raise Cancelled("The worker went away.")

    @property
    def waiting(self) -> int:
        return len(self._scheduler)

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def busy(self) -> int:
        """Pieces of work on jobs that are under way, posts that wait for Discord among them."""
        return len(self._tasks)

    @property
    def ended(self) -> Mapping[JobState, int]:
        """How many jobs came to which end, since the start."""
        return self._outbox.ended

    @property
    def workers(self) -> tuple[WorkerView, ...]:
        return tuple(self._fleet.workers().values())

    @property
    def drawing(self) -> bool:
        """Whether there is a worker that takes jobs, none of them is given up, and there is no pause after failures."""
        return bool(self.workers) and not self._held and not self._closing and not self.pause

    async def answers(self) -> bool:
        """Whether there is a worker that shows that it lives."""
        return any([await self._fleet.answers(worker, PATIENCE) for worker in self._fleet.workers()])

    @property
    def pause(self) -> float:
        """Seconds for which nothing is drawn, because the engine broke at several jobs in a row; 0 else."""
        return self._breather.left

    def ticket(self, job: Job) -> Ticket:
        """Where the job is in line, or would be if it joined now, and when it is likely done."""
        joins = job.state in (JobState.RECEIVED, JobState.ACKED) and job.id not in self._scheduler
        if joins:
            self._scheduler.add(self._as_waiting(job))
        place = self._scheduler.place(job.id)
        ahead = self._scheduler.order()[:place]
        if joins:
            self._scheduler.drop(job.id)
        return Ticket(job.id, max(1, place), self._seconds(ahead), cost=self.estimate(job.request))

    def price(self, request: Request) -> float:
        """Seconds of drawing that the request is charged with until it is drawn: likely ones, or usual ones."""
        return self.estimate(request) or cost(request)

    def estimate(self, request: Request) -> float | None:
        """Seconds that the drawing is likely to take, the wait aside. None before the first job of all is done."""
        return self._pace.seconds([cost(request)])

    def family(self, model: str = "") -> str:
        """The family of a base model ("": the default one), or "" while no worker has held it."""
        self._note_families()
        return self._families.get(model or self._model, "")

    async def _queue(self, job_id: str) -> None:
        job = await self._jobs.queue(job_id)
        if job is not None:
            self._enqueue(job)

    # taking up

    async def _take_up_later(self, job_id: str) -> None:
        """The job goes on from what its row says, once that can be read and written again."""
        while not self._closing:
            await asyncio.sleep(SECOND_TRY)
            try:
                job = await self._jobs.get(job_id)
                if job is not None and not await self._jobs.is_told(job_id):
                    await self._take_up(job, lost=False)
            except StorageError as fault:
                log.warning("job %s waits: %s", job_id, fault)
            else:
                return

    async def _take_up(self, job: Job, *, lost: bool = True) -> None:
        """The one next step of a job that was left. `lost`: by an earlier process, which it may have brought down."""
        match job.state:
            case JobState.RECEIVED if lost:
                self._spawn(job.id, self._take_up_received(job))
            case JobState.RECEIVED | JobState.ACKED:
                await self._queue(job.id)
            case JobState.QUEUED:
                self._enqueue(job)
            case JobState.RUNNING if lost:
                await self._retry(job)
            case JobState.RUNNING:
                await self._requeue(job)
            case JobState.RENDERED | JobState.POSTING:
                self._spawn(job.id, self._outbox.post(job.id))
            case _:
                self._spawn(job.id, self._outbox.close(job.id))

    async def _take_up_received(self, job: Job) -> None:
        """The job is in line if its member ever read that it would be; who read nothing has ordered again."""
        if await self._outbox.answered(job):
            await self._queue(job.id)
        else:
            await self._jobs.unanswered(job.id)

    def _enqueue(self, job: Job) -> None:
        if job.id not in self._scheduler:
            self._scheduler.add(self._as_waiting(job))
        self._wake.set()

    # tidying

    async def tidy(self) -> None:
        """Who waited too long has that as an end, and what runs in nothing but its row is in line again."""
        try:
            await self._expire()
            for job in await self._jobs.running():
                if job.id not in self._runs and job.id not in self._tasks.values():
                    log.warning("no worker has job %s, which should be running; it is queued again", job.id)
                    self._spawn(job.id, self._requeue(job))
        except StorageError as fault:
            log.warning("jobs are not looked after now: %s", fault)

    async def _expire(self) -> None:
        if self._longest_wait is None:
            return
        for job in await self._jobs.overdue(self._longest_wait):
            if await self._jobs.expired(job.id, EXPIRED):
                self._scheduler.drop(job.id)
                self._spawn(job.id, self._close(job.id, None))

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY)
            await self.tidy()

    # running

    async def _serve(self) -> None:
        """Gives jobs to workers whenever there may be both."""
        while not self._closing:
            picked = None if self._held or self.pause else self._scheduler.pick(self._open_workers())
            if picked is not None:
                await asyncio.wait({self._spawn(picked[0].job, self._assign(*picked))})
                continue
            self._wake.clear()
            limit = LOOK_EVERY if len(self._scheduler) else None  # also to see the end of a pause
            try:
                await asyncio.wait_for(self._wake.wait(), limit)
            except TimeoutError:
                log.debug("%d jobs wait for a worker", len(self._scheduler))

    def _open_workers(self) -> dict[WorkerId, WorkerView]:
        """Those that may get a further job: none comes beside one that is to be alone."""
        taken = {run.worker for run in self._runs.values() if run.waiting.alone}
        return {worker: view for worker, view in self._fleet.workers().items() if worker not in taken}

    async def _assign(self, waiting: Waiting, worker: WorkerId) -> None:
        """The job runs on the worker, unless it was cancelled meanwhile, or may not be drawn any more."""
        if waiting.job in self._unordered:
            await self._fleet.dispatch(worker, Attempt(waiting.job, 1, self._unordered[waiting.job].request))
            return
        run = self._runs[waiting.job] = _Run(waiting, worker)
        job = await self._jobs.start(waiting.job)
        objection = "" if job is None else await self._gate.objection(job, await self._outbox.now(job))
        if job is not None and objection:
            del self._runs[waiting.job]
            await self._fail(job, objection, None)
            return
        if job is None or run.cancelled:
            del self._runs[waiting.job]
            return
        run.job = job
        await self._fleet.dispatch(worker, Attempt(job.id, job.attempt, job.request))
        if run.cancelled:  # `cancel` may have come before the worker knew the attempt
            await self._recall(run)

    async def _recall(self, run: _Run) -> None:
        if run.job is not None:
            await self._fleet.cancel(run.worker, run.job.id, run.job.attempt)

    async def _on_event(self, event: Event) -> None:
        """Takes note and returns at once; an event of an attempt that is not the running one counts for nothing."""
        drawing = self._unordered.get(event.job)
        if drawing is not None:
            if not isinstance(event, Stepped):
                drawing.end = event
                drawing.ended.set()
                self._wake.set()
            return
        run = self._runs.get(event.job)
        if run is None or run.job is None or run.job.attempt != event.attempt:
            log.debug("an event of an attempt that is over: %s", event)
        elif isinstance(event, Stepped):
            self._show(run, run.job, event.progress)
        else:
            del self._runs[event.job]
            self._wake.set()
            self._note_families()
            self.on_change()
            self._spawn(event.job, self._conclude(run, run.job, event))

    def _show(self, run: _Run, job: Job, progress: Progress) -> None:
        run.preview = progress.preview or run.preview
        now = self._clock()
        busy = run.showing is not None and not run.showing.done()
        if busy or run.cancelled or now - run.shown_at < PROGRESS_EVERY:
            return
        run.shown_at = now
        run.showing = self._keep(self._outbox.progress(job, replace(progress, preview=run.preview)))

    async def _conclude(self, run: _Run, job: Job, event: Event) -> None:
        """What the end of an attempt means for its job."""
        match event:
            case Done(result=result):
                self._breather.well()
                self._pace.learn(run.waiting.cost, result.seconds)
                if await self._rendered(job, result):
                    self._keep(self._suspicion.drawn(result.conduct))
                    await _shown(run)
                    await self._outbox.post(job.id)
            case Failed():
                self._judge(job, event)
                await self._fail(job, event.sentence, run)
                await self._suspicion.failed(job, event.conduct)
            case Dropped() | Lost() if self._closing:
                await self._requeue(job)
            case Lost(begun=False):
                await self._requeue(job)
            case Dropped():
                if await self._jobs.cancelled(job.id, CANCELLED):
                    await self._close(job.id, run)
            case Lost():
                await self._retry(job, run)

    async def _rendered(self, job: Job, result: Result) -> bool:
        """What was drawn is kept, as soon as that can be: drawing it again would make no room for it."""
        while True:
            try:
                return await self._jobs.rendered(job, result)
            except StorageError as fault:
                if self._closing:
                    raise
                log.warning("the pictures of job %s wait to be kept: %s", job.id, fault)
            await asyncio.sleep(SECOND_TRY)

    def _judge(self, job: Job, event: Failed) -> None:
        """An adapter that is proven to be at fault clears the engine: it drew without it."""
        if any(one.fault for one in event.conduct):
            self._breather.well()
        elif event.error in BROKEN:
            self._breather.broke(job.id)

    async def _retry(self, job: Job, run: _Run | None = None) -> None:
        """The job whose attempt was lost is queued again, or failed when that happened before.

        Who was lost before is drawn alone (`_as_waiting`), so what was lost with others by chance is not failed for it.
        """
        if job.losses >= MAX_LOSSES:
            await self._fail(job, INTERRUPTED, run)
            await self._suspicion.lost(job)
        elif await self._jobs.requeue(job.id, job.attempt, lost=True):
            self._enqueue(replace(job, losses=job.losses + 1))

    async def _requeue(self, job: Job) -> None:
        """The job whose attempt is over without its doing is queued again."""
        if await self._jobs.requeue(job.id, job.attempt, lost=False):
            self._enqueue(job)

    async def _fail(self, job: Job, sentence: str, run: _Run | None) -> None:
        if await self._jobs.failed(job.id, job.attempt, sentence):
            self._spawn(job.id, self._close(job.id, run))

    async def _close(self, job_id: str, run: _Run | None) -> None:
        await _shown(run)
        await self._outbox.close(job_id)

    def _note_families(self) -> None:
        for worker in self._fleet.workers().values():
            self._families[worker.holds.model] = worker.holds.family

    def _seconds(self, ahead: Iterable[Waiting]) -> float | None:
        """Until these and what runs are likely done. None before the first job of all is."""
        seconds = self._pace.seconds(one.cost for one in (*ahead, *(run.waiting for run in self._runs.values())))
        slots = sum(worker.slots for worker in self._fleet.workers().values())
        return None if seconds is None else self.pause + seconds / max(1, slots)

    def _as_waiting(self, job: Job) -> Waiting:
        request = job.request
        adapters = frozenset(use.sha256 or use.name for use in request.adapters)
        model, alone = request.model or self._model, job.losses > 0
        return Waiting(job.id, job.order.who.member_id, cost(request), model, adapters, alone)

    # tasks

    def _spawn(self, job_id: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._keep(self._guarded(job_id, work), job_id)

    def _keep(self, work: Coroutine[Any, Any, None], job_id: str = "") -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks[task] = job_id
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("work on a job ended in an error", exc_info=task.exception())

    async def _guarded(self, job_id: str, work: Coroutine[Any, Any, None]) -> None:
        """The border: a defect in the work on one job ends that job, and no other."""
        try:
            await work
        except StorageError as fault:
            log.warning("job %s is taken up again: %s", job_id, fault)
            self._runs.pop(job_id, None)
            await self._take_up_later(job_id)
        except Exception:
            log.exception("job %s is given up", job_id)
            self._runs.pop(job_id, None)
            await self._give_up(job_id)

    async def _give_up(self, job_id: str) -> None:
        """The job has ended in a defect, as soon as that can be written down, and its member has seen it."""
        while not self._closing:
            try:
                ended = await self._jobs.failed(job_id, None, DEFECT) or await self._jobs.dead(job_id, DEFECT)
            except StorageError as fault:
                log.warning("that job %s is given up waits to be written down: %s", job_id, fault)
                await asyncio.sleep(SECOND_TRY)
            else:
                if ended:
                    self._spawn(job_id, self._outbox.close(job_id))
                return


async def _shown(run: _Run | None) -> None:
    """No progress edit is under way that could land on top of the end."""
    if run is not None and run.showing is not None:
        await asyncio.wait({run.showing})
