"""The GPU thread, the only threading in the project: attempts go in, events come out on the event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .config import EngineConfig
from .errors import DEFECT, Cancelled, DeviceLost, EngineError, EngineFault
from .fleet import OnEvent
from .types import (
    AdapterUse,
    Attempt,
    Done,
    Dropped,
    Event,
    Failed,
    Holds,
    Lost,
    Progress,
    Stepped,
    WorkerId,
    WorkerView,
)

if TYPE_CHECKING:
    from .renderer import Renderer

log = logging.getLogger(__name__)
T = TypeVar("T")
WATCH_EVERY = 1.0  # seconds
STALLED_GPU, STALLED_CPU = 30.0, 300.0  # seconds in which a step is done, unless the configuration says otherwise
CLOSING = 5.0  # seconds that it has to come to its end; the process goes without it then
FIRST_STEP = 10  # times as long may pass before the first step, and for an errand: models and adapters are loaded then
DEVICE = "the graphics card or its driver failed"
GONE = "The machine that was asked is gone; try again."


@dataclass(frozen=True, slots=True)
class _Errand:
    """Something that the renderer does between two attempts."""

    act: Callable[[Renderer], object]
    done: asyncio.Future[Any]


class LocalFleet:
    """A Fleet of one worker in this process: one Renderer on one thread."""

    def __init__(self, config: EngineConfig, *, make: Callable[[EngineConfig], Renderer] | None = None) -> None:
        self._config = config
        self._make = make or _make_renderer
        self._id = WorkerId(f"local-{secrets.token_hex(4)}")
        self._work: queue.SimpleQueue[Attempt | _Errand | None] = queue.SimpleQueue()
        self._out: dict[tuple[str, int], threading.Event] = {}  # what is with the worker, and whether to stop it
        self._errands: set[asyncio.Future[Any]] = set()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._holds = Holds(model="", family="")
        self._closing = False
        self._running: tuple[str, int] | _Errand | None = None  # the attempt, or what else, that the thread is at
        self._seen = 0.0  # when it gave its last sign of life, by the monotonic clock
        self._patience = math.inf  # seconds in which the next one must come
        self._broken: asyncio.Future[str] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._pump: asyncio.Task[None] | None = None

    async def start(self, on_event: OnEvent) -> None:
        """The base model is loaded and the worker takes attempts. Raises ModelNotFound or ModelUnreadable."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Holds] = loop.create_future()
        self._thread = threading.Thread(target=self._main, args=(loop, ready), name="gpu", daemon=True)
        self._thread.start()
        self._holds = await ready
        self._broken = loop.create_future()
        self._pump = asyncio.create_task(self._deliver(on_event), name="fleet events")
        self._pump.add_done_callback(self._delivered)
        self._watch = asyncio.create_task(self._watch_over(), name="engine watch")

    def workers(self) -> Mapping[WorkerId, WorkerView]:
        if not self._alive:
            return {}
        return {self._id: WorkerView(self._id, slots=1, outstanding=len(self._out), holds=self._holds)}

    async def dispatch(self, worker: WorkerId, attempt: Attempt) -> None:
        key = (attempt.job, attempt.attempt)
        if worker != self._id or not self._alive:
            self._events.put_nowait(Lost(*key, begun=False))
            return
        if key in self._out:
            raise ValueError(f"attempt {attempt.attempt} of job {attempt.job} is with {worker} already")
        self._out[key] = threading.Event()
        self._work.put(attempt)

    async def cancel(self, worker: WorkerId, job: str, attempt: int) -> None:
        stop = self._out.get((job, attempt))
        if stop is not None:
            stop.set()

    async def pin(self, worker: WorkerId, adapter: AdapterUse) -> str:
        return await self._send(worker, lambda renderer: renderer.pin(adapter))

    async def unpin(self, worker: WorkerId, sha256: str) -> None:
        await self._send(worker, lambda renderer: renderer.unpin(sha256))

    async def load(self, worker: WorkerId, adapter: AdapterUse) -> str:
        return await self._send(worker, lambda renderer: renderer.load(adapter))

    async def unload(self, worker: WorkerId, sha256: str) -> None:
        await self._send(worker, lambda renderer: renderer.unload(sha256))

    async def add_model(self, worker: WorkerId, name: str, source: str) -> None:
        await self._send(worker, lambda renderer: renderer.add_model(name, source))

    async def remove_model(self, worker: WorkerId, name: str) -> None:
        await self._send(worker, lambda renderer: renderer.remove_model(name))

    async def answers(self, worker: WorkerId, patience: float) -> bool:
        if worker not in self.workers() or self._closing:
            return False
        if self._running is None:
            with suppress(TimeoutError, EngineError):
                async with asyncio.timeout(patience):
                    await self._send(worker, lambda renderer: None)
                    return True
        return self._running is not None and time.monotonic() - self._seen <= self._stall

    async def broken(self) -> str:
        assert self._broken is not None, "the fleet has been started"
        return await asyncio.shield(self._broken)

    async def aclose(self) -> None:
        self._closing = True
        for stop in self._out.values():
            stop.set()
        self._work.put(None)
        if self._watch is not None:
            self._watch.cancel()
        if self._thread is not None and not self._is_broken:  # a thread that hangs is left to the end of the process
            await asyncio.to_thread(self._thread.join, CLOSING)
            if self._thread.is_alive():
                log.warning("the engine is not done after %g s; it is left to the end of the process", CLOSING)
        self._thread = None
        await asyncio.sleep(0)  # what the thread's last act put on the loop comes first
        self._lose_all()
        self._events.put_nowait(None)
        if self._pump is not None:
            await asyncio.wait({self._pump})

    async def _send(self, worker: WorkerId, act: Callable[[Renderer], T]) -> T:
        if self._closing or worker not in self.workers():
            raise EngineFault(GONE)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._errands.add(done)
        done.add_done_callback(self._errands.discard)
        self._work.put(_Errand(act, done))
        return await done

    @property
    def _is_broken(self) -> bool:
        return self._broken is not None and self._broken.done()

    @property
    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._is_broken

    def _break(self, why: str) -> None:
        """On the event loop: the worker is given up for good, with all that was with it."""
        if self._broken is None or self._broken.done():
            return
        log.critical("the engine is given up: %s", why)
        self._broken.set_result(why)
        self._lose_all()

    def _lose_all(self) -> None:
        """Whoever waits for something that was with the worker hears that nothing will come of it."""
        for key in list(self._out):
            self._finish(Lost(*key, begun=key == self._running))
        for errand in list(self._errands):
            _set_exception(errand, EngineFault(GONE))

    async def _watch_over(self) -> None:
        """A thread that gives no sign of life hangs; nothing in this process can end it."""
        while True:
            await asyncio.sleep(min(WATCH_EVERY, self._stall / 4))
            if time.monotonic() > self._seen + self._patience:
                self._break(f"it gave no sign of life in {self._patience:g} s ([engine] stall_seconds)")
                return

    @property
    def _stall(self) -> float:
        """Seconds that a step may take."""
        usual = STALLED_GPU if self._holds.device.startswith("cuda") else STALLED_CPU
        return self._config.stall_seconds or usual

    def _began(self, work: tuple[str, int] | _Errand) -> None:
        self._running, self._seen, self._patience = work, time.monotonic(), FIRST_STEP * self._stall

    def _ended(self, work: tuple[str, int] | _Errand) -> None:
        if self._running == work:
            self._running, self._patience = None, math.inf

    def _stepped(self, event: Stepped) -> None:
        if self._running == (event.job, event.attempt):
            self._seen, self._patience = time.monotonic(), self._stall
        if not self._is_broken:
            self._events.put_nowait(event)

    async def _deliver(self, on_event: OnEvent) -> None:
        while (event := await self._events.get()) is not None:
            await on_event(event)

    def _delivered(self, pump: asyncio.Task[None]) -> None:
        """Nobody hears of any attempt any more where that ended in an error: only a new process knows what is what."""
        if not pump.cancelled() and (error := pump.exception()) is not None:
            log.error("the events of the engine cannot be told", exc_info=error)
            self._break("its events cannot be told")

    def _finish(self, event: Event, holds: Holds | None = None) -> None:
        """On the event loop: the attempt is no longer out, and whoever listens hears how it ended."""
        self._ended((event.job, event.attempt))
        if self._closing and isinstance(event, Dropped):
            event = Lost(event.job, event.attempt)  # nobody took it back: it may be tried again elsewhere
        if self._out.pop((event.job, event.attempt), None) is not None:
            self._holds = holds or self._holds
            self._events.put_nowait(event)

    def _fulfil(self, errand: _Errand, outcome: object, holds: Holds) -> None:
        """On the event loop: whoever sent the errand hears how it went."""
        self._ended(errand)
        self._holds = holds
        if isinstance(outcome, EngineError):
            _set_exception(errand.done, outcome)
        elif not errand.done.done():
            errand.done.set_result(outcome)

    # --- from here on, on the GPU thread

    def _main(self, loop: asyncio.AbstractEventLoop, ready: asyncio.Future[Holds]) -> None:
        try:
            renderer = self._make(self._config)
        except BaseException as error:  # noqa: BLE001  the border of the GPU thread: it is raised again in `start`
            _tell(loop, _set_exception, ready, error)
            return
        try:
            _tell(loop, ready.set_result, renderer.holds())
            why = self._work_off(loop, renderer)
        except BaseException:  # the border of the GPU thread: nobody else would hear of its end
            log.exception("the engine's thread ended")
            why = "its thread ended in an error"
        if why:
            _tell(loop, self._break, why)

    def _work_off(self, loop: asyncio.AbstractEventLoop, renderer: Renderer) -> str:
        """Everything that comes in, until the end; gives the reason where that is none that was asked for."""
        while (work := self._work.get()) is not None:
            _tell(loop, self._began, work if isinstance(work, _Errand) else (work.job, work.attempt))
            if isinstance(work, _Errand):
                outcome = _run_errand(renderer, work)
                if isinstance(outcome, DeviceLost):
                    _tell(loop, _set_exception, work.done, outcome)
                    return DEVICE
                _tell(loop, self._fulfil, work, outcome, renderer.holds())
                continue
            event = self._attempt(loop, renderer, work)
            if isinstance(event, Lost):
                return DEVICE  # asking it anything, even how much memory it has, would fail or hang
            _tell(loop, self._finish, event, renderer.holds())
        return ""

    def _attempt(self, loop: asyncio.AbstractEventLoop, renderer: Renderer, attempt: Attempt) -> Event:
        key = (attempt.job, attempt.attempt)
        stop = self._out[key]

        def emit(progress: Progress) -> None:
            _tell(loop, self._stepped, Stepped(*key, progress))

        try:
            if stop.is_set():
                return Dropped(*key)
            return Done(*key, renderer.run(attempt.request, emit, stop.is_set))
        except Cancelled:
            return Dropped(*key)
        except DeviceLost:
            log.exception("attempt %s of job %s broke the device", attempt.attempt, attempt.job)
            return Lost(*key)
        except EngineError as error:
            if isinstance(error, EngineFault):
                log.warning("attempt %s of job %s broke: %s", attempt.attempt, attempt.job, error, exc_info=error)
            return Failed(*key, type(error).__name__, str(error), error.conduct)
        except Exception:  # the border of the GPU thread: nothing may end it
            log.exception("attempt %s of job %s broke", attempt.attempt, attempt.job)
            return Failed(*key, "EngineFault", DEFECT)


def _run_errand(renderer: Renderer, errand: _Errand) -> object:
    try:
        return errand.act(renderer)
    except EngineError as error:
        return error
    except Exception:  # the border of the GPU thread: nothing may end it
        log.exception("an errand broke")
        return EngineFault(DEFECT)


def _make_renderer(config: EngineConfig) -> Renderer:
    from .renderer import Renderer  # torch and diffusers load here, off the event loop

    return Renderer(config)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _tell(loop: asyncio.AbstractEventLoop, act: Callable[..., object], *args: object) -> None:
    """Runs `act` on the event loop, unless that is gone: then nobody is left to hear it."""
    try:
        loop.call_soon_threadsafe(act, *args)
    except RuntimeError:
        log.debug("the event loop is closed; %s is not told", act)
