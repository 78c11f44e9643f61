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
from .orders import Gate, Judging, Moderation, NotBarred, Orders
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


@asynccontextmanager
async def open_parts(config: BotConfig, poster: Poster, fleet: Fleet | None = None) -> AsyncIterator[Parts]:
    """The parts, wired but not running: `runner.start()` is the caller's. `fleet` None is this machine's own."""
    config.folder.mkdir(parents=True, exist_ok=True)
    async with open_store(None, config.folder) as store:
        await store.adopt_builtins()
        folders = (*config.engine.adapter_folders, store.adapters_folder)
        local = replace(config.engine, adapter_folders=folders)
        gate = Gate(store, [NotBarred(store)])
        runner = Runner(store, fleet or LocalFleet(local), Scheduler(), poster, gate=gate, model=config.engine.model)
        orders = Orders(store, runner, config.limits.bounds, cells=config.limits.grid_cells, gate=gate)
        pruning = asyncio.create_task(_prune_daily(store, config.data.keep_pictures_days), name="pruning")
        try:
            judging = Judging(store, orders, lambda data, mature: redraw(data, Preview("", mature)))
            yield Parts(orders, judging, Moderation(store, orders, runner), runner)
        finally:
            pruning.cancel()
            await asyncio.wait({pruning})
            await runner.aclose()


async def _prune_daily(store: Store, days: int) -> None:
    """No picture is kept longer than `days`, looked after now and every day; 0 is for ever."""
    while days:
        try:
            if gone := await store.jobs.prune(timedelta(days=days)):
                log.info("Threw %d pictures away that were older than %d days", gone, days)
        except Exception:
            log.exception("old pictures could not be thrown away; the next try is tomorrow")
        await asyncio.sleep(PRUNE_EVERY)
