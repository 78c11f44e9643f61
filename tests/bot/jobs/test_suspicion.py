"""Adapters that break drawings, and an engine that breaks at every job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.jobs import breather, runner
from bot.orders import AdapterRunning, JobState, StorageFull
from bot.store.running import Running
from engine import AdapterUse, Conduct
from tests.fakes import Bench, adapter_file, bench, order, until, who


class Kept(list[tuple[str, str, bool]]):
    """A quarantine that remembers whom it was given, each once."""

    async def __call__(self, sha256: str, reason: str, *, by_hand: bool) -> bool:
        if any(sha256 == known for known, _, _ in self):
            return False
        self.append((sha256, reason, by_hand))
        return True


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def at(tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(runner, "LOOK_EVERY", 0.01)
    async with bench(tmp_path / "data", quarantine=kept) as opened:
        yield opened


@pytest.fixture
async def moss(at: Bench, tmp_path: Path) -> Conduct:
    entry = await at.store.catalog.add(adapter_file(tmp_path / "moss.safetensors"), "moss", visibility="everyone")
    return Conduct("moss", entry.info.sha256, 0.5, 0.4)


async def running(at: Bench, conduct: Conduct) -> AdapterRunning | None:
    await until(lambda: not at.runner._tasks)
    return await at.store.running.of(conduct.sha256)


async def failed(at: Bench, *, by: int = 1, error: str = "EngineFault", conduct: tuple[Conduct, ...] = ()) -> str:
    job_id = await at.ordered(order(by=who(by)))
    await at.dispatched(job_id)
    await at.fleet.fail(job_id, error=error, conduct=conduct)
    await until(lambda: any(job.id == job_id for job in at.poster.closed))
    await until(lambda: not at.runner._tasks)
    return job_id


async def drawn(at: Bench, conduct: tuple[Conduct, ...] = ()) -> None:
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id, conduct)
    await until(lambda: any(job.id == job_id for job, _ in at.poster.posts))
    await until(lambda: not at.runner._tasks)


async def test_how_an_adapter_behaved_is_noted_after_each_job(at: Bench, moss: Conduct, kept: Kept) -> None:
    """Its pace where a job was drawn, whose drawing it was where one failed."""
    await drawn(at, (moss,))
    await failed(at, conduct=(moss,))
    found = await running(at, moss)
    assert found is not None
    assert (found.draws, found.failures) == (2, 1)
    assert (found.seconds_per_step, found.base_seconds_per_step) == (pytest.approx(0.5), pytest.approx(0.4))
    assert kept == []


async def test_a_proven_fault_is_quarantined_at_once_and_told_once(
    at: Bench, moss: Conduct, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the drawing failed or only dragged; by the bot, not by hand."""
    guilty = Conduct("moss", moss.sha256, 2.0, 0.4, "Its steps take 5.0 times what they take without.")
    await drawn(at, (guilty,))
    await failed(at, error="PictureBroken", conduct=(guilty,))
    assert kept == [(moss.sha256, guilty.fault, False)]
    told = [record for record in caplog.records if "quarantine" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert moss.sha256[:12] in told[0].message


async def test_a_breaker_trips_at_three_failures_for_two_people(at: Bench, moss: Conduct, kept: Kept) -> None:
    """One person's failures alone put nobody's adapter away."""
    for _ in range(4):
        await failed(at, by=1, error="OutOfMemory", conduct=(moss,))
    assert kept == []
    await failed(at, by=2, error="OutOfMemory", conduct=(moss,))
    assert [(sha256, by_hand) for sha256, _, by_hand in kept] == [(moss.sha256, False)]
    assert kept[0][1] == "5 drawings with it failed in 24 hours, for 2 people."


async def test_a_job_that_took_two_workers_with_it_counts_against_its_adapters(at: Bench, moss: Conduct) -> None:
    """Nobody can say by what they died."""
    job_id = await at.ordered(order(adapters=(AdapterUse("moss", sha256=moss.sha256),), by=who(1)))
    for attempt in (1, 2):
        await at.dispatched(job_id, attempt)
        await at.fleet.lose(job_id)
    await until(lambda: bool(at.poster.closed))
    found = await running(at, moss)
    assert found is not None
    assert found.failed_lately == 1


async def test_a_store_that_takes_no_notes_costs_nobody_their_picture(
    at: Bench, moss: Conduct, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The job ends as it would have, and the log says what is missing."""

    async def full(*args: object) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(Running, "note", full)
    await drawn(at, (moss,))
    job_id = await failed(at, conduct=(moss,))
    assert (await at.job(job_id)).state is JobState.FAILED
    assert "could not be written down" in caplog.text


async def test_three_broken_jobs_in_a_row_are_a_pause(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is given out for 180 s, who waits is told the longer wait, the admin reads why; then it goes on."""
    await drawn(at)
    for _ in range(3):
        assert at.runner.drawing
        await failed(at)
    assert at.runner.pause == breather.PAUSE == 180
    assert not at.runner.drawing
    assert "3 jobs in a row" in caplog.text
    job_id = await at.ordered()
    await until(lambda: at.runner.waiting == 1)
    ticket = at.runner.ticket(await at.job(job_id))
    assert ticket.wait is not None
    assert ticket.wait > 180
    at.clock.time += 179
    await asyncio.sleep(0.1)  # ten looks at the line
    assert at.runner.waiting == 1
    at.clock.time += 1.5
    await at.dispatched(job_id)
    assert at.runner.drawing
    await at.fleet.finish(job_id)
    await until(lambda: len(at.poster.posts) == 2)


async def test_what_is_no_failure_of_the_engine_is_no_reason_to_pause(at: Bench, moss: Conduct) -> None:
    """A success in between, a request that is wrong or too large, an adapter that is proven to be the reason."""
    guilty = Conduct("moss", moss.sha256, fault="With it the base model draws nothing.")
    for _ in range(2):
        await failed(at)
        await failed(at)
        await drawn(at)
    for error in ("OutOfMemory", "AdapterMismatch", "BadRequest", "OutOfMemory"):
        await failed(at, error=error)
    await failed(at)
    await failed(at)
    await failed(at, error="PictureBroken", conduct=(guilty,))
    await failed(at)
    await failed(at)
    assert at.runner.pause == 0


def test_one_job_that_fails_again_and_again_is_one() -> None:
    """Three failures are of three jobs."""
    pause = breather.Breather(lambda: 0.0)
    for _ in range(5):
        pause.broke("one")
    assert pause.left == 0
    pause.broke("two")
    pause.broke("three")
    assert pause.left == 180
