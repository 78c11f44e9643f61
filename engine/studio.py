"""Studio: pictures for scripts, without Discord, over the same scheduler and fleet that the bot drives."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .config import EngineConfig
from .errors import Cancelled, EngineFault
from .fleet import Fleet
from .prompt import untagged
from .scheduler import Scheduler, Waiting
from .thread import LocalFleet
from .types import Attempt, Done, Dropped, Event, Failed, Lost, Progress, Request, Result, Snapshot, Stepped, WorkerId
from .work import cost

OnProgress = Callable[[Progress], None]


@dataclass(slots=True)
class _Order:
    request: Request
    on_progress: OnProgress | None
    result: asyncio.Future[Result]
    worker: WorkerId | None = field(default=None)


class Studio:
    """Takes any number of requests at once and draws them in fair order. `open_studio` makes one."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._scheduler = Scheduler()
        self._orders: dict[str, _Order] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        await self._fleet.start(self._on_event)

    async def aclose(self) -> None:
        await self._fleet.aclose()

    async def generate(self, request: Request, on_progress: OnProgress | None = None, *, member: int = 0) -> Result:
        """The finished pictures; `on_progress` is called after every step, on the event loop.

        Raises EngineError. Cancelling the awaiting task takes the work back, before the next step if it runs.
        """
        adapters = untagged(request).adapters
        job = f"studio-{next(self._numbers)}"
        order = _Order(request, on_progress, asyncio.get_running_loop().create_future())
        self._orders[job] = order
        names = frozenset(use.sha256 or use.name for use in adapters)
        self._scheduler.add(Waiting(job, member, cost(request), request.model, names))
        try:
            await self._dispatch()
            return await order.result
        finally:
            self._scheduler.drop(job)
            del self._orders[job]
            if order.worker is not None and order.result.cancelled():
                await self._fleet.cancel(order.worker, job, 1)

    def snapshot(self) -> Snapshot:
        """How busy the studio is now."""
        running = sum(order.worker is not None for order in self._orders.values())
        return Snapshot(len(self._scheduler), running, tuple(self._fleet.workers().values()))

    async def _dispatch(self) -> None:
        while (picked := self._scheduler.pick(self._fleet.workers())) is not None:
            waiting, worker = picked
            order = self._orders[waiting.job]
            order.worker = worker
            await self._fleet.dispatch(worker, Attempt(waiting.job, 1, order.request))

    async def _on_event(self, event: Event) -> None:
        order = self._orders.get(event.job)
        if order is not None and not order.result.done():
            self._record(order, event)
        if not isinstance(event, Stepped):
            await self._dispatch()

    def _record(self, order: _Order, event: Event) -> None:
        match event:
            case Stepped(progress=progress):
                if order.on_progress is not None:
                    order.on_progress(progress)
            case Done(result=result):
                order.result.set_result(result)
            case Failed():
                order.result.set_exception(event.exception())
            case Dropped():
                order.result.set_exception(Cancelled())
            case Lost():
                order.result.set_exception(EngineFault("The engine was closed before the picture was done."))


@asynccontextmanager
async def open_studio(config: EngineConfig | None = None) -> AsyncIterator[Studio]:
    """A Studio on this machine's best device. `None` means the built-in model.

    Raises ModelNotFound or ModelUnreadable before anything is drawn.
    """
    studio = Studio(LocalFleet(config or EngineConfig()))
    try:
        await studio.start()
        yield studio
    finally:
        await studio.aclose()


def run(request: Request, config: EngineConfig | None = None) -> Result:
    """One request, blocking, for a notebook or a script; `None` means the built-in model. Raises EngineError.

    Loads the base model each time; for many pictures keep a `Studio` open.
    """
    from .renderer import Renderer  # torch loads here: `import engine` stays light

    return Renderer(config or EngineConfig()).run(request, lambda progress: None, lambda: False)
