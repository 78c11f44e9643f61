"""What of the adapters is in the engine's memory: seen, moved in and out, and kept there over restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from engine import AdapterNotFound, AdapterUse, CacheFigures, EngineError, Fleet, Holds, WorkerId, hash_digits

from .desk import Orders
from .errors import OrderError
from .rights import require_command
from .values import CatalogEntry, Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

_DIGITS = 10  # of a hash that stands for an adapter without a name: AutoV2


class Figures(Protocol):
    """How drawing with one file went; seconds a step are 0 where not known."""

    @property
    def sha256(self) -> str: ...
    @property
    def draws(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def seconds_per_step(self) -> float: ...
    @property
    def base_seconds_per_step(self) -> float: ...


class Running(Protocol):
    """Where the figures of all files are."""

    async def all(self) -> Sequence[Figures]: ...


@dataclass(frozen=True, slots=True)
class Held:
    """One adapter and the tiers it is in. `name`: its name for whoever asked, or the beginning of its hash."""

    name: str
    gpu: bool
    ram: bool
    pinned: bool
    warm: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker holds, as somebody may see it; `others` are adapters that this person does not see by name."""

    model: str
    family: str
    device: str
    free_vram: int | None
    seconds_per_step: float | None
    adapters: tuple[Held, ...]
    others: int
    caches: Mapping[str, CacheFigures]


@dataclass(frozen=True, slots=True)
class Stats:
    """The workers, and the figures of every adapter that this person sees, by name."""

    workers: tuple[Worker, ...]
    figures: tuple[tuple[str, Figures], ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An adapter is where it was wanted; `later`: as soon as a base model of its `family` is loaded."""

    name: str
    family: str = ""
    later: bool = False


class Stock:
    """load and unload are inverses, pin and unpin are, warm and cool are. Pins and the warm set outlive restarts.

    `look` is to be called whenever workers may hold another base model: what is pinned or warm is brought back then.
    """

    def __init__(self, store: Store, fleet: Fleet, orders: Orders, running: Running | None = None) -> None:
        self._rows = store.stock
        self._catalog = store.catalog
        self._fleet = fleet
        self._orders = orders
        self._running = running
        self._models: dict[WorkerId, str] = {}  # that each worker held when it was last looked at
        self._filling: dict[WorkerId, asyncio.Task[None]] = {}

    # what there is

    async def held(self, who: Who) -> tuple[Worker, ...]:
        """What each worker has in memory. Raises Forbidden."""
        require_command(who, "adapter list")
        return await self._workers(who)

    async def stats(self, who: Who) -> Stats:
        """How the memory is used, and how drawing with each adapter went. Raises Forbidden."""
        require_command(who, "adapter stats")
        rows = [row for row in await self._running.all() if row.draws] if self._running is not None else []
        named = [(await self._name(who, row.sha256), row) for row in rows]
        return Stats(await self._workers(who), tuple((name, row) for name, row in named if name))

    # in and out

    async def load(self, who: Who, name: str) -> Placed:
        """The adapter is in every worker's memory, and leaves when others need its place.

        May take as long as a drawing. Raises Forbidden, AdapterError, or EngineFault.
        """
        require_command(who, "adapter load")
        entry = await self._orders.adapter(who, name)
        for worker in self._fleet.workers():
            await self._fleet.load(worker, _use(entry))
        return Placed(entry.name)

    async def unload(self, who: Who, name: str) -> Placed:
        """The adapter is in nobody's memory; the next picture with it reads it anew. Raises also OrderError: pinned."""
        require_command(who, "adapter unload")
        name, sha256 = await self._named(who, name)
        if sha256 in await self._rows.pinned():
            raise OrderError(f"{name} is pinned; /adapter unpin lets it go.")
        for worker in self._fleet.workers():
            await self._fleet.unload(worker, sha256)
        return Placed(name)

    async def pin(self, who: Who, name: str) -> Placed:
        """The adapter is in memory whenever a base model is loaded that it fits, and no other takes its place."""
        require_command(who, "adapter pin")
        entry = await self._orders.adapter(who, name)
        fitting = [worker.id for worker in self._fleet.workers().values() if _fits(entry, worker.holds)]
        for worker in fitting:
            await self._fleet.pin(worker, _use(entry))
        await self._rows.pin(entry.info.sha256, entry.name, who, on=True)
        return Placed(entry.name, entry.info.family, later=not fitting)

    async def unpin(self, who: Who, name: str) -> Placed:
        """The adapter may leave like any other."""
        require_command(who, "adapter unpin")
        name, sha256 = await self._named(who, name)
        await self._rows.pin(sha256, name, who, on=False)
        for worker in self._fleet.workers():
            await self._fleet.unpin(worker, sha256)
        return Placed(name)

    async def warm(self, who: Who, name: str) -> Placed:
        """The adapter is loaded now, at every start, and whenever a base model that it fits has been loaded."""
        require_command(who, "adapter warm")
        entry = await self._orders.adapter(who, name)
        fitting = [worker.id for worker in self._fleet.workers().values() if _fits(entry, worker.holds)]
        for worker in fitting:
            await self._fleet.load(worker, _use(entry))
        await self._rows.keep_warm(entry.info.sha256, entry.name, who, on=True)
        return Placed(entry.name, entry.info.family, later=not fitting)

    async def cool(self, who: Who, name: str) -> Placed:
        """The adapter is loaded when somebody draws with it, like any other."""
        require_command(who, "adapter warm")
        name, sha256 = await self._named(who, name)
        await self._rows.keep_warm(sha256, name, who, on=False)
        return Placed(name)

    # over restarts and changes of the base model

    def look(self) -> None:
        """Workers that hold another base model than before get what is pinned or warm and fits it. Returns at once."""
        for worker in self._fleet.workers().values():
            if self._models.get(worker.id) != worker.holds.model:
                self._models[worker.id] = worker.holds.model
                if worker.id in self._filling:
                    self._filling[worker.id].cancel()
                filling = asyncio.create_task(self._fill(worker.id, worker.holds.family), name="warm set")
                filling.add_done_callback(_told)
                self._filling[worker.id] = filling

    async def aclose(self) -> None:
        """Nothing is being brought back any more. After the fleet is closed."""
        for filling in self._filling.values():
            filling.cancel()
        await asyncio.gather(*self._filling.values(), return_exceptions=True)

    async def _fill(self, worker: WorkerId, family: str) -> None:
        pinned, warm = await self._rows.pinned(), await self._rows.warm()
        for act, hashes in ((self._fleet.pin, pinned), (self._fleet.load, warm - pinned)):
            for use in await self._rows.made_for(family, hashes):
                try:
                    await act(worker, use)
                except EngineError as error:  # its file is gone, or the worker is: the others are tried all the same
                    log.warning("%s could not be kept in memory: %s", use.name, error)

    # who sees what

    async def _workers(self, who: Who) -> tuple[Worker, ...]:
        pinned, warm = await self._rows.pinned(), await self._rows.warm()
        workers = [view.holds for view in self._fleet.workers().values()]
        return tuple([await self._worker(who, holds, pinned, warm) for holds in workers])

    async def _worker(self, who: Who, holds: Holds, pinned: frozenset[str], warm: frozenset[str]) -> Worker:
        every = sorted(holds.gpu | holds.ram | holds.pinned | pinned | warm)
        named = [(await self._name(who, sha256), sha256) for sha256 in every]
        adapters = tuple(
            Held(name, one in holds.gpu, one in holds.ram, one in holds.pinned | pinned, one in warm)
            for name, one in sorted(named)
            if name
        )
        others = len(every) - len(adapters)
        facts = (holds.model, holds.family, holds.device, holds.free_vram, holds.seconds_per_step)
        return Worker(*facts, adapters, others, holds.caches)

    async def _name(self, who: Who, sha256: str) -> str:
        """What the file is called for this person; "" where they do not see it. Who runs the bot sees its hash then."""
        entry = await self._catalog.find_file(who, sha256)
        if entry is not None:
            return entry.name
        return sha256[:_DIGITS] if who.owner else ""

    async def _named(self, who: Who, name: str) -> tuple[str, str]:
        """The name and the content of an adapter, or of one that is held or to be held, by the beginning of its hash.

        So whoever runs the bot can let go of what somebody else keeps for themselves.
        """
        try:
            entry = await self._orders.adapter(who, name)
        except AdapterNotFound:
            digits = hash_digits(name)
            held = {one for view in self._fleet.workers().values() for one in view.holds.gpu | view.holds.ram}
            every = held | await self._rows.pinned() | await self._rows.warm()
            found = [one for one in every if digits and one.startswith(digits)]
            if len(found) != 1:
                raise
            return found[0][:_DIGITS], found[0]
        return entry.name, entry.info.sha256


def _use(entry: CatalogEntry) -> AdapterUse:
    return AdapterUse(entry.name, sha256=entry.info.sha256)


def _fits(entry: CatalogEntry, holds: Holds) -> bool:
    return entry.info.family in ("", holds.family)


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the warm set could not be brought back", exc_info=task.exception())
