"""Damaged databases (bar B12): `python -m tests.faults.corruption [--cases 200] [--restore-megabytes 1000] [--seed 0]`.

Bytes flipped, zeroed, cut off and doubled in the database and in the journal or write-ahead log that a crash left. The
start refuses with the command that restores, or everything that it then reads is as it was; where a value was changed
in a way in which SQLite keeps no check sum, that is counted. Never does a start make an empty database, end in another
error, lose a row that was committed, in the log too, or keep a part of what never was. Then a backup is made, and put
back, with a stopwatch. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bot.orders import StorageError
from bot.store import DataFolderError, back_up, open_store, restore
from tests.fakes import order, result, who

Damage = Callable[[bytes, random.Random], bytes]
DRILL = 120.0  # seconds
NEVER = "never committed"


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 20])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """In the first 200 bytes: header, and the root of the schema."""
    changed = bytearray(data)
    changed[rng.randrange(min(200, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def zero(data: bytes, rng: random.Random) -> bytes:
    begin, length = rng.randrange(len(data)), rng.choice([16, 512, 4096])
    return data[:begin] + bytes(min(length, len(data) - begin)) + data[begin + length :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def swap(data: bytes, rng: random.Random) -> bytes:
    """Two pages have changed places."""
    pages = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    if len(pages) > 2:
        a, b = rng.sample(range(len(pages)), 2)
        pages[a], pages[b] = pages[b], pages[a]
    return b"".join(pages)


DAMAGES: dict[str, Damage] = {"flip": flip, "flip head": flip_head, "zero": zero, "cut": cut, "swap": swap}


async def fill(data: Path) -> None:
    """A folder in which jobs came to every end, and some are on their way."""
    async with open_store(None, data) as store:
        await store.adopt_builtins()
        for number in range(60):
            job = await store.jobs.record(order(f"picture {number} " + "x" * 300, by=who(number % 7 + 1)))
            await store.jobs.acked(job.id, 1, 2)
            await store.jobs.queue(job.id)
            if number % 3:
                running = await store.jobs.start(job.id)
                assert running is not None
                await store.jobs.rendered(running, result(running.request))
                await store.jobs.posting(job.id)
                await store.jobs.posted(job.id, 1, 2)
            await store.audit.record("test", f"subject {number}", guild_id=None)


def crashed(data: Path, folder: Path, mode: str) -> Path:
    """The folder as a process would leave it that dies in the middle of a large transaction; "" with none open.

    In the write-ahead log there are rows before it, each committed by itself.
    """
    if not mode:
        return data
    image = folder / f"crashed-{mode}"
    shutil.copytree(data, folder / "dying")
    file = folder / "dying" / "loraloom.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("PRAGMA cache_size=2")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        if mode == "WAL":
            connection.execute("UPDATE jobs SET sentence = 'committed in the log'")
            for number in range(20):
                scope = (f"member:{number}",)
                connection.execute("INSERT INTO settings VALUES (?, '{}', '2026-01-01 00:00:00.000000')", scope)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"UPDATE jobs SET sentence = sentence || '{NEVER}' || hex(randomblob(200))")
        shutil.copytree(folder / "dying", image)
    shutil.rmtree(folder / "dying")
    return image


def contents(data: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr)
            for name in names
            if not name.startswith("sqlite_")
        }


async def start(data: Path) -> str:
    """What a start comes to: "" where it works, else what it says. Everything that it would take up is read."""
    try:
        async with open_store(None, data) as store:
            await store.jobs.untold()
            for member in range(8):
                await store.jobs.history(member, 1, 100)
            await store.audit.entries(None)
    except DataFolderError as error:
        return str(error)
    return ""


def damaged(seed: int, cases: int) -> Counter[str]:
    found: Counter[str] = Counter()
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="corruption-") as name:
        folder = Path(name)
        asyncio.run(fill(folder / "whole"))
        images = {mode: crashed(folder / "whole", folder, mode) for mode in ("", "DELETE", "WAL")}
        wholes = {}
        for mode, image in images.items():  # as a start finds it that plays the journal back
            shutil.copytree(image, folder / "played")
            assert asyncio.run(start(folder / "played")) == ""
            wholes[mode] = contents(folder / "played")
            shutil.rmtree(folder / "played")
        for number in range(cases):
            mode = ("", "", "DELETE", "WAL")[number % 4]
            name_of = {"": ".db", "DELETE": rng.choice([".db", ".db-journal"]), "WAL": rng.choice([".db", ".db-wal"])}
            kind = list(DAMAGES)[number // 4 % len(DAMAGES)]
            data, file = folder / "data", f"loraloom{name_of[mode]}"
            shutil.copytree(images[mode], data)
            before = (data / file).read_bytes()
            (data / file).write_bytes(DAMAGES[kind](before, rng))
            outcome = _outcome(data, wholes[mode])
            found[outcome] += 1
            if outcome in WRONG:
                print(f"  case {number}: {kind} in {file}: {outcome}")
            shutil.rmtree(data)
    return found


WRONG = ("another error", "rows lost", "half a transaction", "no way out is named")


def _outcome(data: Path, whole: dict[str, list[object]]) -> str:
    try:
        said = asyncio.run(start(data))
    except StorageError as error:
        print(f"    {error!r} from {error.__cause__!r}")
        return "another error"
    except Exception as error:  # noqa: BLE001  whatever it is, it is what was looked for
        print(f"    {error!r}")
        return "another error"
    if said:
        if "python -m bot restore" not in said and "newer Loraloom" not in said:
            return "no way out is named"
        return "refused"
    now = contents(data)
    if now == whole:
        return "as it was"
    if NEVER in str(now["jobs"]):
        return "half a transaction"
    lost = any(len(now.get(name, [])) < len(rows) for name, rows in whole.items())
    return "rows lost" if lost else "a value changed, unseen by SQLite"


def drill(megabytes: int) -> tuple[float, float]:
    """Seconds to back a folder of that size up, and to put it back."""
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        asyncio.run(fill(data))
        blob = os.urandom(1 << 20)
        (data / "adapters" / "ab").mkdir(parents=True, exist_ok=True)
        for number in range(megabytes):
            (data / "adapters" / "ab" / f"{number:064x}.safetensors").write_bytes(blob)
        begun = time.monotonic()
        back_up(data, Path(name) / "backup.tar")
        middle = time.monotonic()
        restore(Path(name) / "backup.tar", data)
        return middle - begun, time.monotonic() - middle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--restore-megabytes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = damaged(asked.seed, asked.cases)
    print(f"{asked.cases} damaged folders, seed {asked.seed}: {dict(found)}")
    backing, restoring = drill(asked.restore_megabytes) if asked.restore_megabytes else (0.0, 0.0)
    print(f"  {asked.restore_megabytes} MB backed up in {backing:.1f} s, put back in {restoring:.1f} s")
    return 0 if not any(found[name] for name in WRONG) and restoring < DRILL else 1


if __name__ == "__main__":
    sys.exit(main())
