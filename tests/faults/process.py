"""The bot as a process of its own that draws nothing, and may be told to fall dead at a named moment.

`python -m tests.faults.process` is `python -m bot run` with a fake engine in it. What it reads from its environment:

    FAULTS_DRAWING   seconds that one attempt takes at most
    FAULTS_HELD      a file: nothing is drawn while it is there
    FAULTS_DIES      "commit:after:7": SIGKILL right after the 7th commit. Also rename and send (to Discord), and before
    FAULTS_LATER     seconds that its clock is ahead

The last line of its log says how long its longest transaction was open.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine import Attempt, Holds, OnEvent, WorkerId
from tests.fakes import FakeFleet
from tests.wire.process import BotProcess
from tests.wire.server import Server

COMMAND = (sys.executable, "-m", "tests.faults.process")
CONFIGURATION = """
[limits]
jobs_per_member = 1000
jobs_per_server = {bound}
[health]
port = {port}
"""
LONGEST = "longest transaction:"
KINDS, SIDES = ("commit", "rename", "send"), ("before", "after")


def process(server: Server, folder: Path, *, bound: int = 100_000, port: int = 0) -> BotProcess:
    """The bot with the fake engine, not started yet. `bound`: how many jobs may be unfinished."""
    return BotProcess(server, folder, command=COMMAND, configuration=CONFIGURATION.format(bound=bound, port=port))


class DozingFleet(FakeFleet):
    """A fleet whose one worker needs a while for every attempt, and gives back what a real one would.

    It draws nothing while the file `held` is there.
    """

    def __init__(self, seconds: float, held: Path | None = None) -> None:
        super().__init__()
        self._seconds, self._random, self._held = seconds, random.Random(), held
        self._drawing: set[asyncio.Task[None]] = set()
        self.id = WorkerId(f"fake-{os.getpid()}")
        self.holds = replace(Holds("builtin", "built-in"), seconds_per_step=0.01)

    async def start(self, on_event: OnEvent) -> None:
        await super().start(on_event)

    async def dispatch(self, worker: WorkerId, attempt: Attempt) -> None:
        await super().dispatch(worker, attempt)
        task = asyncio.create_task(self._draw(attempt))
        self._drawing.add(task)
        task.add_done_callback(self._drawing.discard)

    async def _draw(self, attempt: Attempt) -> None:
        while self._held is not None and self._held.exists():  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0.1)
        await asyncio.sleep(self._random.random() * self._seconds)
        if self._out.get(attempt.job) is attempt:
            await self.step(attempt.job, 1)
            await asyncio.sleep(self._random.random() * self._seconds)
        if self._out.get(attempt.job) is attempt:
            await self.finish(attempt.job)


# what is broken in the child


def arm(kind: str, side: str, number: int) -> None:
    """This process falls dead at the `number`-th such moment."""
    seen: Counter[tuple[str, str]] = Counter()

    def at(this_side: str, this_kind: str = kind) -> None:
        seen[this_kind, this_side] += 1
        if this_side == side and seen[this_kind, this_side] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    {"commit": _around_commit, "rename": _around_rename, "send": _around_send}[kind](at)


def _around_commit(at: Callable[[str], None]) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    commit = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        at("before")
        commit(self, connection)
        at("after")

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


def _around_rename(at: Callable[[str], None]) -> None:
    rename = os.replace

    def replaced(source: Any, target: Any, **more: Any) -> None:
        at("before")
        rename(source, target, **more)
        at("after")

    os.replace = replaced


def _around_send(at: Callable[[str], None]) -> None:
    import aiohttp

    request = aiohttp.ClientSession._request

    async def sent(self: aiohttp.ClientSession, method: str, url: Any, **more: Any) -> Any:
        counts = any(f"/{where}/" in str(url) for where in ("interactions", "webhooks", "channels"))
        if counts:
            at("before")
        answer = await request(self, method, url, **more)
        if counts:
            at("after")
        return answer

    aiohttp.ClientSession._request = sent  # type: ignore[method-assign]


def _watch_transactions() -> None:
    """The longest time from BEGIN to COMMIT or ROLLBACK is told at the end, and what was done in it."""
    from sqlalchemy import Connection, Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    began: dict[int, tuple[float, list[str]]] = {}  # by connection: since when, and which statements at what time
    longest: list[Any] = [0.0, []]
    start = DozingFleet.start

    async def started(self: DozingFleet, on_event: OnEvent) -> None:
        longest[:] = [0.0, []]  # what a start does, migrations among it, is over
        await start(self, on_event)

    DozingFleet.start = started  # type: ignore[method-assign]

    @event.listens_for(Engine, "begin")
    def on_begin(connection: Connection) -> None:
        began[id(connection.connection.dbapi_connection)] = time.monotonic(), []

    @event.listens_for(Engine, "before_cursor_execute")
    def on_statement(connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        if held := began.get(id(connection.connection.dbapi_connection)):
            held[1].append(f"{(time.monotonic() - held[0]) * 1e3:.0f} ms {' '.join(statement.split())[:90]}")

    def watched(end: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def ended(self: DefaultDialect, connection: Any) -> None:
            end(self, connection)
            begun = began.pop(id(connection.dbapi_connection), None)
            if begun is not None and time.monotonic() - begun[0] > longest[0]:
                longest[:] = [time.monotonic() - begun[0], begun[1]]

        return ended

    DefaultDialect.do_commit = watched(DefaultDialect.do_commit)  # type: ignore[method-assign, assignment]
    DefaultDialect.do_rollback = watched(DefaultDialect.do_rollback)  # type: ignore[method-assign, assignment]
    atexit.register(lambda: print("\n".join([*longest[1], f"{LONGEST} {longest[0]:.3f} s"]), flush=True))


def longest_transaction(log: str) -> float:
    """Seconds, by what the log of an ended process says."""
    return max(float(line.split()[-2]) for line in log.splitlines() if line.startswith(LONGEST))


def _put_ahead(seconds: float) -> None:
    """Every part of the bot reads a clock that is so much ahead."""
    import discord

    import bot.store.open
    from bot.store import jobs

    def later() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    discord.utils.utcnow = later
    jobs.utc_now = later
    bot.store.open.open_store.__wrapped__.__kwdefaults__["now"] = later  # type: ignore[attr-defined]


# what is looked at afterwards


def rows(data: Path) -> list[dict[str, Any]]:
    """Every job row of a bot that does not run; its database is whole."""
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        connection.row_factory = sqlite3.Row
        assert [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]
        assert connection.execute("PRAGMA foreign_key_check").fetchone() is None
        return [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY created_at, id")]


def strays(data: Path) -> list[str]:
    """Files that no row knows of, and rows whose file is missing."""
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        named = {row[0] for row in connection.execute("SELECT file FROM pictures WHERE NOT deleted")}
        adapters = {f"{row[0]}.safetensors" for row in connection.execute("SELECT sha256 FROM adapter_files")}
        named |= {row[0] for row in connection.execute("SELECT file FROM entry_samples")}
    there = {path.name for folder in ("pictures", "previews") for path in (data / folder).iterdir()}
    blobs = {path.name for path in (data / "adapters").rglob("*") if path.is_file()}
    lost = [f"missing: {name}" for name in sorted((named - there) | (adapters - blobs))]
    return [*lost, *(f"orphan: {name}" for name in sorted((there - named) | (blobs - adapters)))]


def main() -> int:
    import bot
    from bot.__main__ import main as run

    create_bot = bot.create_bot
    seconds = float(os.environ.get("FAULTS_DRAWING", "0.05"))
    held = Path(os.environ["FAULTS_HELD"]) if "FAULTS_HELD" in os.environ else None
    if death := os.environ.get("FAULTS_DIES"):
        kind, side, number = death.split(":")
        arm(kind, side, int(number))
    if later := os.environ.get("FAULTS_LATER"):
        _put_ahead(float(later))
    _watch_transactions()
    bot.create_bot = lambda config: create_bot(config, DozingFleet(seconds, held))  # type: ignore[assignment, misc]
    return run(["run"])


if __name__ == "__main__":
    sys.exit(main())
