"""Which part gets which: the one place where long-lived objects are made, and closed in the opposite order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from engine import Fleet, LocalFleet, Scheduler

from .config import BotConfig
from .importing import Preview
from .importing.previews import redraw
from .jobs import Runner
from .jobs.poster import Poster
from .orders import (
    Allowed,
    Gate,
    Judging,
    Models,
    Moderation,
    NotBarred,
    Orders,
    Oversight,
    SettingsDesk,
    Shelf,
    Stock,
)
from .store import Store, open_store

log = logging.getLogger(__name__)

PRUNE_EVERY = 24 * 60 * 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Parts:
    """What the Discord side works with."""

    orders: Orders
    judging: Judging
    moderation: Moderation
    runner: Runner
    shelf: Shelf
    settings: SettingsDesk
    models: Models
    stock: Stock
    oversight: Oversight


@asynccontextmanager
async def open_parts(config: BotConfig, poster: Poster, fleet: Fleet | None = None) -> AsyncIterator[Parts]:
    """The parts, wired but not running: `runner.start()` is the caller's. `fleet` None is this machine's own."""
    config.folder.mkdir(parents=True, exist_ok=True)
    async with open_store(None, config.folder) as store:
        await store.adopt_builtins()
        folders = (*config.engine.adapter_folders, store.adapters_folder)
        await store.settings.of()  # in memory from here on
        added = await store.stock.models()
        local = replace(config.engine, adapter_folders=folders, models={**added, **config.engine.models})
        fleet = fleet or LocalFleet(local)
        models = Models(store, fleet, config.engine, added)
        settings = SettingsDesk(store, config.limits.bounds, config.engine.model, models.names)
        gate = Gate(store, (NotBarred(store), Allowed(settings)))
        quarantine, model = store.judging.quarantine, config.engine.model
        runner = Runner(store, fleet, Scheduler(), poster, gate=gate, quarantine=quarantine, model=model)
        bounds, cells = config.limits.bounds, config.limits.grid_cells
        orders = Orders(store, runner, bounds, cells=cells, gate=gate, settings=settings)
        stock = Stock(store, fleet, orders, running=store.running)
        runner.on_change = stock.look
        pruning = asyncio.create_task(_prune_daily(store, config.data.keep_pictures_days), name="pruning")
        try:
            yield Parts(
                orders=orders,
                judging=Judging(store, orders, lambda data, mature: redraw(data, Preview("", mature))),
                moderation=Moderation(store, orders, runner),
                runner=runner,
                shelf=Shelf(store),
                settings=settings,
                models=models,
                stock=stock,
                oversight=Oversight(store, orders, runner),
            )
        finally:
            pruning.cancel()
            await asyncio.wait({pruning})
            await runner.aclose()
            await stock.aclose()


async def _prune_daily(store: Store, days: int) -> None:
    """No picture is kept longer than `days`, 0 being for ever, and no file that nothing needs; looked after now and
    every day.
    """
    while True:
        try:
            if days and (gone := await store.jobs.prune(timedelta(days=days))):
                log.info("Threw %d pictures away that were older than %d days", gone, days)
            if gone := await store.catalog.sweep():
                log.info("Threw %d adapter files away that nothing needed any more", gone)
        except Exception:
            log.exception("what is no longer needed could not be thrown away; the next try is tomorrow")
        await asyncio.sleep(PRUNE_EVERY)
