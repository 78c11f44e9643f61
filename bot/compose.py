"""Which part gets which: the one place where long-lived objects are made, and closed in the opposite order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from engine import Fleet, LocalFleet, Scheduler

from .config import BotConfig
from .jobs import Runner
from .jobs.poster import Poster
from .orders import Orders
from .store import open_store


@dataclass(frozen=True, slots=True)
class Parts:
    """What the Discord side works with."""

    orders: Orders
    runner: Runner


@asynccontextmanager
async def open_parts(config: BotConfig, poster: Poster, fleet: Fleet | None = None) -> AsyncIterator[Parts]:
    """The parts, wired but not running: `runner.start()` is the caller's. `fleet` None is this machine's own."""
    config.folder.mkdir(parents=True, exist_ok=True)
    async with open_store(None, config.folder) as store:
        await store.adopt_builtins()
        folders = (*config.engine.adapter_folders, store.adapters_folder)
        local = replace(config.engine, adapter_folders=folders)
        runner = Runner(store, fleet or LocalFleet(local), Scheduler(), poster)
        try:
            yield Parts(Orders(store, runner, limit=config.limits.jobs_per_member), runner)
        finally:
            await runner.aclose()
