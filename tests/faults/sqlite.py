"""The database fails at its N-th call (bar B11): `python -m tests.faults.sqlite [--calls 60] [--strace 20]`.

Everything in the store that writes is done while the N-th statement or commit fails, once or from then on, because
the disk is full, cannot be written, or somebody else holds the database. Afterwards everything or nothing of it was
done, the member's sentence is clear, and once the fault is over it can be done. `--strace`: the same by the kernel, at
the N-th write of a process, where strace is there. Exits 1 where anything else happens.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from bot.orders import StorageBusy, StorageError, StorageFull
from bot.store import Store, open_store

from .process import rows, strays
from .writes import FILES_LATER, IN_STEPS, Act, untried, ways

KINDS: dict[str, type[StorageError]] = {
    "SQLITE_FULL": StorageFull,
    "SQLITE_IOERR_WRITE": StorageError,
    "SQLITE_BUSY": StorageBusy,
}


@dataclass
class Fault:
    """The `number`-th call fails, or every one from there where it `lasts`; `calls` is how many there were."""

    kind: str
    number: int
    lasts: bool
    calls: int = 0

    def strike(self) -> None:
        self.calls += 1
        if self.calls == self.number or (self.lasts and self.calls > self.number):
            error = sqlite3.OperationalError(f"injected {self.kind}")
            error.sqlite_errorname = self.kind
            raise error


@contextmanager
def striking(fault: Fault) -> Iterator[None]:
    """Statements and commits of every connection meet the fault."""
    execute, commit = DefaultDialect.do_execute, DefaultDialect.do_commit

    def do_execute(self: DefaultDialect, *arguments: Any, **more: Any) -> None:
        fault.strike()
        execute(self, *arguments, **more)

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        fault.strike()
        commit(self, connection)

    DefaultDialect.do_execute, DefaultDialect.do_commit = do_execute, do_commit  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        DefaultDialect.do_execute, DefaultDialect.do_commit = execute, commit  # type: ignore[method-assign]


async def sweep(data: Path, calls: int, *, thorough: bool = True) -> Counter[str]:
    """Each act, fault and call up to `calls`, as far as the act has so many. Not `thorough`: a kind of fault an act."""
    found: Counter[str] = Counter()
    async with open_store(None, data) as store:
        await store.adopt_builtins()
        acts = await ways(store, data.parent)
        found["untried"] = len(untried(store, acts))
        faults = list(itertools.product(KINDS, (False, True)))
        for place, (name, ready) in enumerate(acts.items()):
            for kind, lasts in faults if thorough else [faults[place % len(faults)]]:
                for number in range(1, calls + 1):
                    fault = Fault(kind, number, lasts)
                    wrong = await _tried(data, store, name, await ready(), fault)
                    if fault.calls < number:
                        break  # it has no so many calls
                    found["tried"] += 1
                    if wrong:
                        found["wrong"] += 1
                        print(f"  {name}, {kind} at call {number}{' and on' if lasts else ''}: {wrong}")
        for kind, blocked in (("full", full), ("busy", busy)):
            for name, ready in acts.items():
                found["tried for real"] += 1
                act, before = await ready(), _contents(data)
                async with blocked(data, store):
                    wrong = await _outcome(act, StorageFull if kind == "full" else StorageBusy, may_work=kind == "full")
                if wrong or (_contents(data) != before and kind == "busy"):
                    found["wrong"] += 1
                    print(f"  {name}, really {kind}: {wrong or 'something was written'}")
                begun = time.monotonic()
                await act()
                found["slow to recover"] += time.monotonic() - begun > 10
    return found


async def _tried(data: Path, store: Store, name: str, act: Act, fault: Fault) -> str:
    before = _contents(data)
    with striking(fault):
        wrong = await _outcome(act, KINDS[fault.kind], may_work=True)
    after = _contents(data)
    if fault.calls < fault.number or wrong:
        return wrong
    if after != before and name not in IN_STEPS:
        return "part of it was written"
    if name in FILES_LATER:
        await store.sweep()
    if found := strays(data):
        return f"files: {found[:2]}"
    await act()  # as if nothing had been
    return "" if _contents(data) != before else "it does nothing after the fault"


async def _outcome(act: Act, expected: type[StorageError], *, may_work: bool) -> str:
    try:
        await act()
    except StorageError as error:
        clear = str(error).endswith(".") and "sqlite" not in str(error).lower()
        return "" if isinstance(error, expected) and clear else f"it says {error!r}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is what was looked for
        return f"it raises {error!r}"
    return "" if may_work else "no error"


class full:
    """No page more fits into the database of the store."""

    def __init__(self, data: Path, store: Store) -> None:
        self._connections = store.connections

    async def __aenter__(self) -> None:
        await self._limit("SELECT page_count FROM pragma_page_count")

    async def __aexit__(self, *_: object) -> None:
        await self._limit("SELECT 1073741823")

    async def _limit(self, query: str) -> None:
        async with self._connections._writer.connect() as connection:
            pages = (await connection.exec_driver_sql(query)).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            await connection.rollback()


class busy:
    """Another process holds the database, for longer than anybody waits."""

    def __init__(self, data: Path, store: Store) -> None:
        self._other = sqlite3.connect(data / "loraloom.db", isolation_level=None)
        self._connections = store.connections

    async def __aenter__(self) -> None:
        await self._patience(50)
        self._other.execute("BEGIN EXCLUSIVE")

    async def __aexit__(self, *_: object) -> None:
        self._other.close()
        await self._patience(5000)

    async def _patience(self, milliseconds: int) -> None:
        async with self._connections._writer.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds}")
            await connection.rollback()


def _contents(data: Path) -> list[str]:
    """Every row there is."""
    with closing(sqlite3.connect(data / "loraloom.db", timeout=10)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [f"{name} {row}" for name in names for row in connection.execute(f"SELECT * FROM {name}")]


# by the kernel


def by_strace(points: int) -> Counter[str]:
    """A process in which the N-th write, sync or truncation fails, and what its folder is like afterwards."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name) / "fresh"
        asyncio.run(_everything(fresh))
        for call, error in (("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fdatasync,fsync", "EIO")):
            for number in range(1, points * 3, 3):
                for lasts in ("", "+"):
                    data = Path(name) / "data"
                    shutil.rmtree(data, ignore_errors=True)
                    shutil.copytree(fresh, data)
                    inject = f"inject={call}:error={error}:when={number}{lasts}"
                    child = [sys.executable, "-m", "tests.faults.sqlite", "--child", str(data)]
                    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *child]
                    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
                    found["processes"] += 1
                    if wrong := _after_process(data, ended):
                        found["wrong"] += 1
                        print(f"  {inject}: {wrong}")
    return found


def _after_process(data: Path, ended: subprocess.CompletedProcess[str]) -> str:
    """The process ended in order, and a healthy one finds everything whole and can go on."""
    if ended.returncode not in (0, 78) and "StorageError" not in ended.stdout:
        return f"it ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}"
    rows(data)
    asyncio.run(_everything(data))
    return "; ".join(strays(data)[:2])


async def _everything(data: Path) -> None:
    """All acts, each of which may fail with StorageError."""
    async with open_store(None, data) as store:
        for name, ready in (await ways(store, data.parent)).items():
            try:
                await (await ready())()
            except StorageError as error:
                print(f"StorageError: {name}: {error}")


def child(data: Path) -> int:
    from bot.store import DataFolderError

    try:
        asyncio.run(_everything(data))
    except DataFolderError as error:
        print(error)
        return 78
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--strace", type=int, default=20, metavar="POINTS")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(sweep(Path(folder) / "data", asked.calls))
    print(f"{found['tried']} faults injected, {found['tried for real']} real ones: {found['wrong']} wrong")
    kernel = by_strace(asked.strace) if asked.strace and shutil.which("strace") else Counter[str]()
    print(f"{kernel['processes']} processes with faults of the kernel: {kernel['wrong']} wrong")
    return 1 if found["untried"] or found["wrong"] or found["slow to recover"] or kernel["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
