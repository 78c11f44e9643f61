"""Somebody who is forgotten leaves no byte: not in the database, not in a file, not after a backup came back (B17)."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import Shared
from bot.store import Store, back_up, database, open_store, restore
from bot.store.holdings import rows_of
from bot.store.models import Base

from .deletion import CANARY_ID, OTHER_ID, canary, fill, found, ordered

JOBS = 40
ABOUT_NOBODY = {"adapter_files", "adapter_running", "bans", "base_models", "people", "quarantine"}


@pytest.mark.parametrize("wal", [False, True], ids=["rollback journal", "write-ahead log"])
async def test_no_byte_is_left_live_or_in_a_restored_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wal: bool
) -> None:
    monkeypatch.setattr(database, "wal_is_safe", lambda version: wal)
    data, backup = tmp_path / "data", tmp_path / "backup.tar"
    async with open_store(None, data) as store:
        await fill(store, data, jobs=JOBS, split=True)
        back_up(data, backup)
        assert len(list(found(data))) >= 5, "database, adapters, pictures and previews have signs of the canary"
        began = time.monotonic()
        await store.people.forget(CANARY_ID, Shared.REMOVED)
        assert time.monotonic() - began < 60
        assert dict(found(data)) == {}
    assert dict(found(data)) == {}, "nor does closing bring anything back"
    restore(backup, data)
    assert list(found(data))
    async with open_store(None, data):
        assert dict(found(data)) == {}


async def test_what_others_have_is_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await fill(store, data, jobs=JOBS)
        before, files = await store.people.holdings(OTHER_ID), await store.people.files(OTHER_ID)
        await store.people.forget(CANARY_ID, Shared.REMOVED)
        assert await store.people.holdings(OTHER_ID) == replace(
            before,
            ratings=0,
            favourites=0,  # those of the canary's adapters, which are gone
        )
        reviews = {path for path in files if path.parent.name == "previews" and not path.exists()}
        assert {path for path in files if not path.exists()} == reviews
        assert _rows(data, "select sum(stars), sum(ratings), sum(favourites) from catalog_entries") == [(0.0, 0, 0)]
        assert _rows(data, "select count(*) from reports where member_id is not null") == [(1,)]
        assert await store.audit.first_edited() is None


async def test_everybody_s_tables_are_looked_through_for_a_person() -> None:
    """A new table must be said to be about people, or about nobody."""
    about_people = {kind.__tablename__ for kind in rows_of(1)}
    assert about_people | ABOUT_NOBODY == set(Base.metadata.tables)
    assert not about_people & ABOUT_NOBODY


@pytest.mark.parametrize(
    ("shared", "stays", "credit"), [(Shared.REMOVED, 0, 0), (Shared.NAMELESS, 1, 0), (Shared.CREDITED, 1, 2)]
)
async def test_shared_adapters_become_what_their_owner_wished(
    tmp_path: Path, shared: Shared, stays: int, credit: int
) -> None:
    """Also in the fork that somebody made of one, whose credit line is the same; a private one never stays."""
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await fill(store, data, jobs=1)
        await store.people.forget(CANARY_ID, shared)
        ownerless = "select count(*) from catalog_entries where owner_id is null and visibility = 'guild'"
        assert _rows(data, ownerless) == [(stays,)]
        assert _rows(data, "select count(*) from catalog_entries where credit like 'kanarien%'") == [(credit,)]
        assert _rows(data, "select count(*) from catalog_entries where name = 'a fork'") == [(1,)]
        files = _rows(data, "select sha256 from adapter_files")
        assert {path.stem for path in store.adapters_folder.rglob("*.safetensors")} == {sha for (sha,) in files}


async def test_somebody_forgotten_may_come_back_and_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await fill(store, data, jobs=1)
        await store.people.forget(CANARY_ID, Shared.REMOVED)
        await ordered(store, canary(), "once more", drawn=True)
        there = await store.people.holdings(CANARY_ID)
    async with open_store(None, data) as store:
        assert await store.people.holdings(CANARY_ID) == there
        assert there.jobs


async def test_a_deletion_that_was_cut_short_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await fill(store, data, jobs=5)
        monkeypatch.setattr(store.connections.__class__, "compact", _power_cut)
        with pytest.raises(KeyboardInterrupt):
            await store.people.forget(CANARY_ID, Shared.REMOVED)
    monkeypatch.undo()
    async with open_store(None, data) as store:
        assert dict(found(data)) == {}
        assert await store.people.catch_up() == 0, "it is carried out once"


async def test_the_list_of_the_forgotten_names_nobody_and_survives_a_torn_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_store(None, data) as store:
        await store.people.forget(1, Shared.REMOVED)
        with (data / "forgotten.txt").open("a") as file:
            file.write("0123456789abcdef 00")
        await store.people.forget(CANARY_ID, Shared.CREDITED)
    text = (data / "forgotten.txt").read_text()
    assert str(CANARY_ID) not in text
    assert not list(found(data))
    assert [line.split()[-1] for line in text.splitlines() if line.endswith(("removed", "credited"))] == [
        "removed",
        "credited",
    ]
    async with open_store(None, data) as store:
        assert len(await _stones(store)) == 2


async def _power_cut(self: object) -> None:
    raise KeyboardInterrupt


async def _stones(store: Store) -> tuple[object, ...]:
    return store.people._tombstones.every()


def _rows(data: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(data / "loraloom.db")) as connection:
        return connection.execute(sql).fetchall()
