"""How drawing with an adapter file goes, as it is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.store import Store, open_store
from tests.fakes import NOW, adapter_file

ALICE, BOB = 1, 2


class Now:
    """The time that the store sees."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> object:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
async def store(tmp_path: Path, now: Now) -> AsyncIterator[Store]:
    async with open_store(None, tmp_path / "data", now=now) as opened:  # type: ignore[arg-type]
        yield opened


@pytest.fixture
async def sha256(store: Store, tmp_path: Path) -> str:
    entry = await store.catalog.add(adapter_file(tmp_path / "moss.safetensors"), "moss", visibility="everyone")
    return entry.info.sha256


async def test_every_drawing_counts_and_the_pace_follows_the_last_ones(store: Store, sha256: str) -> None:
    """What is not known (0) leaves what is."""
    assert await store.running.of(sha256) is None
    await store.running.note(sha256, 1.0, 0.0)
    await store.running.note(sha256, 2.0, 1.0)
    found = await store.running.note(sha256, 0.0, 0.0)
    assert found is not None
    assert (found.draws, found.failures) == (3, 0)
    assert (found.seconds_per_step, found.base_seconds_per_step) == (pytest.approx(1.3), 1.0)
    assert await store.running.of(sha256) == found
    assert await store.running.all() == (found,)


async def test_three_failures_for_two_people_in_a_day_are_too_many(store: Store, sha256: str, now: Now) -> None:
    """Not three of one person's, not two people's two, and not those of the day before."""
    for member in (ALICE, ALICE, ALICE):
        found = await store.running.note(sha256, failed_for=member)
    assert found is not None
    assert not found.failing
    now.time += timedelta(hours=25)
    for member, failing in ((BOB, False), (ALICE, False), (BOB, True)):
        found = await store.running.note(sha256, failed_for=member)
        assert found is not None
        assert found.failing is failing
    assert (found.failures, found.failed_lately, found.people_lately) == (6, 3, 2)
    now.time += timedelta(hours=25)
    later = await store.running.of(sha256)
    assert later is not None
    assert (later.failures, later.failed_lately, later.failing) == (6, 0, False)


async def test_what_is_forgiven_does_not_count_and_is_not_forgotten(store: Store, sha256: str) -> None:
    """An adapter let out of quarantine has three chances again."""
    for member in (ALICE, BOB, ALICE):
        await store.running.note(sha256, failed_for=member)
    await store.running.forgive(sha256)
    found = await store.running.note(sha256, failed_for=BOB)
    assert found is not None
    assert (found.failures, found.failed_lately, found.failing) == (4, 1, False)


async def test_a_file_that_is_not_kept_is_not_noted(store: Store) -> None:
    """It may have been removed while it was drawn with."""
    assert await store.running.note("00" * 32, 1.0, 1.0, ALICE) is None
    await store.running.forgive("00" * 32)
    assert await store.running.all() == ()


async def test_people_are_numbers_that_can_be_forgotten(store: Store, sha256: str) -> None:
    """Nobody's id stands in the row."""
    await store.running.note(sha256, failed_for=123456789012345678)
    async with store.connections.read() as session:
        rows = (await session.execute(text("SELECT failed_for FROM adapter_running"))).all()
    assert "123456789012345678" not in str(rows)
