"""A database's log that has lost something is known before SQLite plays it back; what a crash cuts off is no loss."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bot.store import DatabaseBroken, open_store
from bot.store.journal import lost

PAGE = 4096
FRAME = 24 + PAGE
Damage = Callable[[bytes], bytes]


@pytest.fixture
def dying(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A database as a process leaves it that dies within a transaction: nine others were committed before."""
    folder, mode = tmp_path / "alive", request.param
    folder.mkdir()
    with closing(sqlite3.connect(folder / "x.db", isolation_level=None)) as connection:
        for pragma in (f"journal_mode={mode}", f"page_size={PAGE}", "cache_size=2", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE t (a)")
        for number in range(8):
            connection.execute("INSERT INTO t VALUES (?)", (f"{number} " + "x" * 2000,))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE t SET a = 'never'||a")
        shutil.copytree(folder, tmp_path / "dead")
    return tmp_path / "dead" / "x.db"


def beside(database: Path, end: str) -> Path:
    return database.with_name(database.name + end)


def committed(database: Path) -> int:
    """Bytes of the log up to the last frame that ended a transaction."""
    data = beside(database, "-wal").read_bytes()
    ends = [place for place in range(32, len(data), FRAME) if data[place + 4 : place + 8] != bytes(4)]
    return ends[-1] + FRAME


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def rows(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return sum(1 for (a,) in connection.execute("SELECT a FROM t") if not str(a).startswith("never"))


@pytest.mark.parametrize("dying", ["WAL"], indirect=True)
async def test_every_byte_that_was_committed_in_the_log_counts(dying: Path) -> None:
    log, end, dice = beside(dying, "-wal"), committed(dying), random.Random(0)
    whole = log.read_bytes()
    assert lost(dying) is None
    assert len(whole) > end, "the transaction that was cut short is in the log too"
    places = [*range(32), *(dice.randrange(32, end) for _ in range(60)), end - 1]
    for place in places:
        log.write_bytes(flipped(whole, place))
        assert lost(dying) is not None, place
    for length in (32, end // 2, end - 1):
        log.write_bytes(whole[:length])
        assert lost(dying) is not None, length


@pytest.mark.parametrize("dying", ["WAL"], indirect=True)
async def test_what_was_never_committed_may_be_torn(dying: Path) -> None:
    """A crash leaves this, and the start plays back what is before it: also when the log is that of a lost power,
    whose index may be older, and whose last transaction nobody was promised."""
    log, end, dice = beside(dying, "-wal"), committed(dying), random.Random(0)
    whole = log.read_bytes()
    for length in (end, end + 1, end + FRAME, len(whole) - 1):
        log.write_bytes(whole[:length])
        assert lost(dying) is None, length
    for _ in range(40):
        log.write_bytes(flipped(whole, dice.randrange(end, len(whole))))
        assert lost(dying) is None
    beside(dying, "-shm").unlink()
    log.write_bytes(flipped(whole[:end], end - 1))
    assert lost(dying) is None
    assert rows(dying) == 7


@pytest.mark.parametrize("dying", ["WAL"], indirect=True)
async def test_without_the_index_a_transaction_counts_once_another_follows(dying: Path) -> None:
    log, end = beside(dying, "-wal"), committed(dying)
    whole = log.read_bytes()
    beside(dying, "-shm").unlink()
    for place in range(32 + 100, end, FRAME):
        log.write_bytes(flipped(whole, place))
        assert lost(dying) is not None, place


@pytest.mark.parametrize("dying", ["DELETE"], indirect=True)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: flipped(data, 0),
        lambda data: flipped(data, 9),  # the number of records
        lambda data: flipped(data, 10),
        lambda data: flipped(data, 11),
        lambda data: flipped(data, 13),  # what the sums begin with
        lambda data: flipped(data, 22),
        lambda data: flipped(data, 26),
        lambda data: data[:PAGE],
        lambda data: data[:1000] + bytes(PAGE) + data[1000 + PAGE :],
    ],
)
async def test_a_journal_that_cannot_take_everything_back_is_known(dying: Path, damage: Damage) -> None:
    journal = beside(dying, "-journal")
    assert lost(dying) is None
    journal.write_bytes(damage(journal.read_bytes()))
    assert lost(dying) is not None


@pytest.mark.parametrize("dying", ["DELETE"], indirect=True)
async def test_a_journal_before_whose_end_nothing_was_changed_is_whole(dying: Path) -> None:
    """Its head is written last: where it counts no records, or is not there yet, there is nothing to take back."""
    journal = beside(dying, "-journal")
    data = journal.read_bytes()
    for head in (data[:8] + bytes(4) + data[12:], bytes(28) + data[28:], b"", data[:20]):
        journal.write_bytes(head if len(head) < 28 else head[:512])
        assert lost(dying) is None


async def test_a_log_that_is_being_written_is_whole_whenever_one_looks(tmp_path: Path) -> None:
    """As `doctor` does beside a bot that runs."""
    database = tmp_path / "x.db"

    def write() -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=20")
            connection.execute("PRAGMA cache_size=2")
            connection.execute("CREATE TABLE t (a)")
            for number in range(400):
                connection.execute("INSERT INTO t VALUES (?)", ("x" * number * 10,))

    writing = asyncio.create_task(asyncio.to_thread(write))
    looked = 0
    while not writing.done():
        assert await asyncio.to_thread(lost, database) is None
        looked += 1
    await writing
    assert looked > 10


@pytest.mark.parametrize("dying", ["WAL"], indirect=True)
async def test_a_start_refuses_a_log_that_has_lost_something(dying: Path, tmp_path: Path) -> None:
    """And leaves it as it is, for whoever may still read it."""
    data = tmp_path / "data"
    data.mkdir()
    for end in ("", "-wal", "-shm"):
        shutil.copy(beside(dying, end), data / f"loraloom.db{end}")
    log = data / "loraloom.db-wal"
    log.write_bytes(flipped(log.read_bytes(), 100))
    before = log.read_bytes()
    with pytest.raises(DatabaseBroken, match=r"damaged at frame 1.*python -m bot restore"):
        async with open_store(None, data):
            raise AssertionError("opened")
    assert log.read_bytes() == before
