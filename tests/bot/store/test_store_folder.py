"""The data folder: one process at a time, never built on damage, and copied and put back whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete

from bot.orders import StorageBusy, StorageError, StorageFull
from bot.store import (
    BackupUnusable,
    DatabaseBroken,
    DatabaseNewer,
    DataFolderError,
    FolderInUse,
    Store,
    back_up,
    open_store,
    restore,
)
from bot.store.database import Database, database_url
from bot.store.integrity import check
from bot.store.lock import LOCK, locked
from bot.store.models import JobRow
from tests.fakes import order, result


@pytest.fixture
async def used(tmp_path: Path) -> Path:
    """A data folder in which something was drawn."""
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await fill(store)
    return data


async def fill(store: Store, jobs: int = 3) -> None:
    await store.adopt_builtins()
    for number in range(jobs):
        job = await store.jobs.record(order(f"picture {number}"))
        assert job is not None
        await store.jobs.queue(job.id)
        running = await store.jobs.start(job.id)
        assert running is not None
        await store.jobs.rendered(running, result(running.request))


def contents(data: Path) -> dict[str, bytes]:
    """Every file that a backup keeps, and the database as SQL."""
    files = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for folder in ("adapters", "pictures", "previews")
        for path in (data / folder).rglob("*")
        if path.is_file()
    }
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        files["sql"] = "\n".join(connection.iterdump()).encode()
    return files


async def test_a_second_process_is_refused_and_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    program = "import asyncio, sys, pathlib\nfrom bot.store import open_store\n"
    program += "async def go():\n    async with open_store(None, pathlib.Path(sys.argv[1])): pass\nasyncio.run(go())"
    command = [sys.executable, "-c", program, str(tmp_path)]
    async with open_store(None, tmp_path):
        refused = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        with pytest.raises(FolderInUse, match=r"in use by another Loraloom.*\[data\] folder"):
            async with open_store(None, tmp_path):
                raise AssertionError("two at once")
    assert "FolderInUse" in refused.stderr
    async with open_store(None, tmp_path):
        pass


async def test_a_fresh_folder_and_a_whole_one_are_opened(used: Path, tmp_path: Path) -> None:
    assert check(tmp_path / "nothing" / "loraloom.db") is None
    assert check(used / "loraloom.db") is not None


@pytest.mark.parametrize("damage", [b"", None], ids=["empty", "gone"])
async def test_a_lost_database_is_never_replaced_by_an_empty_one(used: Path, damage: bytes | None) -> None:
    database = used / "loraloom.db"
    database.unlink() if damage is None else database.write_bytes(damage)
    with pytest.raises(DatabaseBroken, match="python -m bot restore"):
        async with open_store(None, used):
            raise AssertionError("opened")
    assert not database.exists() or database.stat().st_size == 0


async def test_a_database_of_a_newer_loraloom_is_left_alone(used: Path) -> None:
    with closing(sqlite3.connect(used / "loraloom.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(DatabaseNewer, match="9999"):
        async with open_store(None, used):
            raise AssertionError("opened")


async def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "loraloom.db")) as connection:
        connection.execute("CREATE TABLE diary (entry TEXT)")
    with pytest.raises(DatabaseBroken, match="not of Loraloom"):
        async with open_store(None, tmp_path):
            raise AssertionError("opened")


async def test_a_backup_made_while_the_bot_works_gives_everything_back(used: Path, tmp_path: Path) -> None:
    """backup and restore are inverses; what the folder was before lies beside it."""
    target = tmp_path / "copies" / "monday.tar"
    async with open_store(None, used) as store:
        assert back_up(used, target) == len(contents(used))
        before = contents(used)
        await fill(store)
    old = restore(target, used)
    assert contents(used) == before
    assert old is not None
    assert len(contents(old)) == len(before) + 3
    async with open_store(None, used) as store:
        assert len(await store.jobs.untold()) == 3


async def test_a_restore_under_a_running_bot_is_refused_and_changes_nothing(used: Path, tmp_path: Path) -> None:
    """Nor can a second bot open the folder, however often it is tried."""
    target = tmp_path / "backup.tar"
    back_up(used, target)
    async with open_store(None, used) as store:
        await fill(store)
        before = contents(used)
        with pytest.raises(FolderInUse, match="Stop that one first"):
            restore(target, used)
        with pytest.raises(FolderInUse):
            async with open_store(None, used):
                raise AssertionError("two at once")
        assert contents(used) == before
        await fill(store)
    assert sorted(os.listdir(tmp_path)) == ["backup.tar", "data"]


async def test_a_bot_that_waited_for_a_restore_has_the_same_lock_afterwards(used: Path, tmp_path: Path) -> None:
    """The lock stays where it is: whoever opened it before the restore holds it against those who come after."""
    target = tmp_path / "backup.tar"
    back_up(used, target)
    with (used / LOCK).open("rb") as lock:
        assert restore(target, used) is not None
        assert os.path.samestat(os.fstat(lock.fileno()), (used / LOCK).stat())
    async with open_store(None, used):
        with pytest.raises(FolderInUse):
            restore(target, used)


async def test_nobody_starts_in_the_middle_of_a_restore(
    used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each of its steps the folder is another's; one that cannot be done takes back all before it."""
    target, before = tmp_path / "backup.tar", contents(used)
    back_up(used, target)
    rename, steps, failing = Path.rename, list[str](), 0

    def watched(path: Path, to: Path) -> Path:
        with pytest.raises(FolderInUse), locked(used):
            raise AssertionError("two at once")
        steps.append(path.name)
        if len(steps) == failing:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", watched)
    assert restore(target, used) is not None
    done, several = list(steps), len(steps)
    assert (done[0], done[-1]) == ("loraloom.db", "loraloom.db")
    beside = sorted(os.listdir(tmp_path))
    for failing in range(1, several + 1):  # noqa: B007  `watched` reads it
        steps.clear()
        with pytest.raises(BackupUnusable, match="cannot be moved"):
            restore(target, used, datetime(2026, 1, 1, tzinfo=UTC))
        assert contents(used) == before
        assert sorted(os.listdir(tmp_path)) == beside


async def test_a_restore_that_was_cut_short_is_not_started_on_but_can_be_done_again(
    used: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before any of its steps: the folder is as it was, or as it will be, or refused."""
    target, before = tmp_path / "backup.tar", contents(used)
    back_up(used, target)
    rename, rmtree, steps, fatal = Path.rename, shutil.rmtree, 0, 0

    def dying(path: Path, to: Path) -> Path:
        nonlocal steps
        steps += 1
        if steps == fatal:
            raise KeyboardInterrupt
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", dying)
    for fatal in range(1, 8):
        monkeypatch.setattr(shutil, "rmtree", lambda *path, **how: None)
        steps = 0
        try:
            restore(target, used, datetime(2026, 1, fatal, tzinfo=UTC))
        except KeyboardInterrupt:
            with contextlib.suppress(DatabaseBroken):
                check(used / "loraloom.db")
                assert contents(used) == before
        monkeypatch.setattr(shutil, "rmtree", rmtree)
        steps = 100
        restore(target, used, datetime(2026, 2, fatal, tzinfo=UTC))
        assert contents(used) == before


async def test_a_restore_leaves_what_is_not_the_bots(used: Path, tmp_path: Path) -> None:
    """In a container the configuration lies in the data folder."""
    back_up(used, tmp_path / "backup.tar")
    (used / "config.toml").write_text("[discord]\n", encoding="utf-8")
    old = restore(tmp_path / "backup.tar", used)
    assert (used / "config.toml").read_text(encoding="utf-8") == "[discord]\n"
    assert old is not None
    assert sorted(os.listdir(old)) == ["adapters", "loraloom.db", "pictures", "previews"]


async def test_a_backup_never_overwrites_anything(used: Path, tmp_path: Path) -> None:
    (tmp_path / "full.tar").write_bytes(b"mine")
    with pytest.raises(BackupUnusable, match="is there already"):
        back_up(used, tmp_path / "full.tar")
    with pytest.raises(BackupUnusable, match="no database"):
        back_up(tmp_path / "empty", tmp_path / "b.tar")


async def test_a_damaged_backup_changes_nothing(used: Path, tmp_path: Path) -> None:
    """Every flipped byte that matters is found before the folder is touched, and nothing is left lying about."""
    target = tmp_path / "backup.tar"
    back_up(used, target)
    whole, before = target.read_bytes(), contents(used)
    with tarfile.open(target) as tar:
        places = [m.offset_data + m.size // 2 for m in tar.getmembers() if m.size and m.name != "MANIFEST.json"]
    for place in [*places, 600, len(whole) // 2]:
        target.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(BackupUnusable):
            restore(target, used)
    target.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupUnusable):
        restore(target, used)
    assert contents(used) == before
    assert sorted(os.listdir(tmp_path)) == ["backup.tar", "data"]


async def test_a_backup_that_names_files_elsewhere_is_refused(used: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    back_up(used, target)
    whole = target.read_bytes()
    name = next(name for name in contents(used) if name.startswith("pictures/")).encode()
    evil = b"pictures/../../evil.png".ljust(len(name), b"x")[: len(name)]
    target.write_bytes(whole.replace(name, evil))
    with pytest.raises(BackupUnusable):
        restore(target, used)
    assert sorted(os.listdir(tmp_path)) == ["backup.tar", "data"]


@pytest.mark.slow
async def test_damage_of_any_kind_is_refused_or_harmless(used: Path) -> None:
    """B12: 200 flips and cuts. What opens has every row; nothing is ever opened empty."""
    database = used / "loraloom.db"
    whole, rows = database.read_bytes(), await _jobs(used)
    chance, refused, opened = random.Random(12), 0, 0
    for number in range(200):
        data = bytearray(whole)
        if number % 4 == 3:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 8, 64))):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        for rest in ("-wal", "-shm", "-journal"):
            database.with_name(database.name + rest).unlink(missing_ok=True)
        database.write_bytes(data)
        try:
            check(database)
        except DataFolderError:
            refused += 1
            continue
        opened += 1
        assert await _jobs(used) == rows, f"case {number} lost rows silently"
    print(f"\ndatabase damage: {refused} refused, {opened} opened with every row")
    assert refused > 20


async def _jobs(data: Path) -> int:
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        return int(count)


@pytest.fixture
async def database(used: Path) -> AsyncIterator[Database]:
    opened = Database(database_url(used / "loraloom.db"))
    yield opened
    await opened.aclose()


async def test_a_database_held_by_another_is_busy_and_nothing_is_half_written(used: Path, database: Database) -> None:
    async with database.write() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("PRAGMA busy_timeout=20")
    with closing(sqlite3.connect(used / "loraloom.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy, match="try again"):
            async with database.write() as session:
                await session.execute(delete(JobRow))
        other.execute("ROLLBACK")
    assert await _jobs(used) == 3
    async with database.write() as session:
        await session.execute(delete(JobRow))
    assert await _jobs(used) == 0


async def test_a_full_disk_is_told_and_the_next_write_works(used: Path, database: Database) -> None:
    async with database.write() as session:
        connection = await session.connection()
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def grow() -> None:
        async with database.write() as session:
            connection = await session.connection()
            await connection.exec_driver_sql("CREATE TABLE filler AS SELECT randomblob(1000000) AS x")

    with pytest.raises(StorageFull, match="disk"):
        await grow()
    async with database.write() as session:
        await (await session.connection()).exec_driver_sql("PRAGMA max_page_count=1000000")
    await grow()


async def test_what_a_crash_left_between_file_and_row_is_gone_after_the_next_start(used: Path) -> None:
    """Half files and files that no row names go; everything that a row names stays."""
    before = contents(used)
    strays = [used / "pictures" / name for name in (".x1y2.part", "job-9-0.png")]
    strays += [used / "adapters" / "ab" / name for name in (".x1y2.part", f"ab{'0' * 62}.safetensors")]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"left over")
    async with open_store(None, used):
        assert not [stray for stray in strays if stray.exists()]
    assert contents(used) == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("request", "'{'"),
        ("request", """'{"prompt": "x", "stebs": 20}'"""),
        ("request", """CAST(x'7b22ff227d' AS TEXT)"""),
        ("created_at", "'2026-11-28 17:5!'"),
        ("state", "'quequed'"),
        ("member_id", "'7x'"),
    ],
)
async def test_a_whole_database_with_a_value_that_cannot_be_read_is_not_started_on(
    used: Path, column: str, value: str
) -> None:
    """Else the start, or a member's history, would end in an error that nobody foresaw."""
    with closing(sqlite3.connect(used / "loraloom.db")) as connection:
        connection.execute(f"UPDATE jobs SET {column} = {value} WHERE rowid = 2")
        connection.commit()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with pytest.raises(DatabaseBroken, match="restore FILE"):
        check(used / "loraloom.db")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EIO, StorageError)])
async def test_pictures_that_the_disk_does_not_take_are_an_error_for_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StorageError]
) -> None:
    """The runner then tries again instead of giving the job up; nothing half written stays."""

    def failing(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    async with open_store(None, tmp_path) as store:
        job = await store.jobs.record(order())
        await store.jobs.queue(job.id)
        running = await store.jobs.start(job.id)
        assert running is not None
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(kind):
            await store.jobs.rendered(running, result(running.request))
        assert list((tmp_path / "pictures").iterdir()) == []
        monkeypatch.undo()
        assert await store.jobs.rendered(running, result(running.request))


@pytest.mark.parametrize("at", [18, 19])
async def test_a_database_that_could_only_be_read_is_refused_before_anything_is_built_on_it(
    tmp_path: Path, at: int
) -> None:
    """SQLite takes a file whose head asks for a newer format as one to be read and never written."""
    async with open_store(None, tmp_path):
        pass
    file = tmp_path / "loraloom.db"
    data = bytearray(file.read_bytes())
    data[at] = 77
    file.write_bytes(data)
    with pytest.raises(DatabaseBroken, match="restore"):
        async with open_store(None, tmp_path):
            pass
    assert file.read_bytes() == bytes(data)
