"""Which part gets which: the one place where long-lived objects are made, and closed in the opposite order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from engine import Fleet, LocalFleet, Scheduler

from .config import BotConfig, ConfigError
from .importing import DropServer, Importer, Preview, SourceMissing, WatchFolder, open_importer, redraw
from .jobs import Runner
from .jobs.poster import Poster
from .jobs.samples import Samples
from .orders import (
    Allowed,
    Content,
    Gate,
    Judging,
    Models,
    Moderation,
    Orders,
    Oversight,
    Privacy,
    SettingsDesk,
    Shelf,
    Stock,
)
from .orders.intake import Intake, Sent
from .store import Store, open_store

log = logging.getLogger(__name__)

DAILY = 24 * 60 * 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Parts:
    """What the Discord side works with."""

    orders: Orders
    judging: Judging
    moderation: Moderation
    runner: Runner
    intake: Intake
    privacy: Privacy
    shelf: Shelf
    settings: SettingsDesk
    models: Models
    stock: Stock
    oversight: Oversight
    samples: Samples
    drop: DropServer | None  # None: no page for large files is configured


async def nothing_sent(address: str) -> AsyncIterator[bytes]:
    """For whoever has no Discord to get files from."""
    raise SourceMissing("No file can be sent here.")
    yield b""


@asynccontextmanager
async def open_parts(
    config: BotConfig, poster: Poster, fleet: Fleet | None = None, sent: Sent = nothing_sent
) -> AsyncIterator[Parts]:
    """The parts, wired but not running: to start `runner`, then `samples` is the caller's.

    `fleet` None is this machine's own. `sent` gives the files that members send with a command.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(None, config.folder))
        await store.adopt_builtins()
        await store.catalog.warm()
        await store.settings.of()  # in memory from here on
        added = await store.stock.models()
        local = replace(config.engine, catalog=store.adapters_folder, models={**added, **config.engine.models})
        fleet = fleet or LocalFleet(local)
        models = Models(store, fleet, config.engine, added)
        settings = SettingsDesk(store, config.limits.bounds, config.engine.model, models.names)
        wildcards = config.engine.wildcard_folders
        gate = Gate(store, (Allowed(settings),), content=Content(config.content.words, settings, wildcards))
        quarantine, model = store.judging.quarantine, config.engine.model
        bounds, wait, cells = config.limits.bounds, config.limits.longest_wait, config.limits.grid_cells
        runner = Runner(
            store, fleet, Scheduler(), poster, gate=gate, quarantine=quarantine, model=model, longest_wait=wait
        )
        orders = Orders(
            store, runner, bounds, cells=cells, wildcards=wildcards, gate=gate, settings=settings, models=models
        )
        stock = Stock(store, fleet, orders, running=store.running)
        runner.on_change = stock.look
        stack.push_async_callback(stock.aclose)
        stack.push_async_callback(runner.aclose)
        samples = Samples(store, runner, gate)
        stack.push_async_callback(samples.aclose)
        importer = await stack.enter_async_context(open_importer(config.imports, config.folder / "incoming"))
        allotment, banned = config.imports.allotment, store.judging.banned
        intake = Intake(store, importer, sent, allotment=allotment, banned=banned, on_added=samples.wake)
        stack.push_async_callback(intake.aclose)
        drop = await _opened_drop(stack, config, importer, intake)
        await stack.enter_async_context(_beside(_upkeep(config, store, importer, intake)))
        yield Parts(
            orders=orders,
            judging=Judging(store, orders, lambda data, mature: redraw(data, Preview("", mature))),
            moderation=Moderation(store, orders, runner),
            runner=runner,
            intake=intake,
            privacy=Privacy(store, runner, intake),
            shelf=Shelf(store),
            settings=settings,
            models=models,
            stock=stock,
            oversight=Oversight(store, orders, runner),
            samples=samples,
            drop=drop,
        )


def _upkeep(
    config: BotConfig, store: Store, importer: Importer, intake: Intake
) -> dict[str, Coroutine[Any, Any, None]]:
    """What goes on by itself, by its name."""
    days, watched = config.data.keep_pictures_days, config.imports.watch_folder
    work = {
        "sources": _daily(intake.check_sources, "what became of adapters elsewhere was not asked"),
        "pruning": _daily(lambda: _prune(store, days), "what is no longer needed could not be thrown away"),
    }
    if watched is not None:
        work["watch folder"] = WatchFolder(watched, importer, intake.keep_watched).run()
    return work


async def _opened_drop(
    stack: AsyncExitStack, config: BotConfig, importer: Importer, intake: Intake
) -> DropServer | None:
    if not config.drop.url:
        return None
    try:
        return await stack.enter_async_context(DropServer(config.drop, importer, intake.receive))
    except OSError as error:
        place = f"{config.drop.host}:{config.drop.port}"
        raise ConfigError(f"[drop] port: {place} cannot be opened ({error.strerror}); choose another.") from error


@asynccontextmanager
async def _beside(work: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """The work goes on inside the block, and has ended behind it."""
    tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]
    for task in tasks:
        task.add_done_callback(_tell_of_defect)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _tell_of_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (defect := task.exception()) is not None:
        log.error("%s has ended in an error", task.get_name(), exc_info=defect)


async def _daily(work: Callable[[], Awaitable[object]], failure: str) -> None:
    """The work is done now and every day; a day on which it fails is followed by another."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s; the next try is tomorrow", failure)
        await asyncio.sleep(DAILY)


async def _prune(store: Store, days: int) -> None:
    """No picture is kept longer than `days`, 0 being for ever, and no file that nothing needs."""
    if days and (gone := await store.jobs.prune(timedelta(days=days))):
        log.info("Threw %d pictures away that were older than %d days", gone, days)
    if gone := await store.catalog.sweep():
        log.info("Threw %d adapter files away that nothing needed any more", gone)
