"""Jobs from their row to one visible end, with a fleet and a poster that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.jobs import Runner, runner
from bot.jobs.runner import DEFECT, EXPIRED, INTERRUPTED
from bot.orders import Job, JobState, StorageFull
from bot.store import JobRows, open_store
from engine import AdapterUse, Attempt, Done, Holds, Lost, Request, Scheduler, WorkerId, builtin_adapter
from tests.fakes import CHANNEL, NOW, Bench, FakeClock, FakeFleet, FakePoster, bench, order, result, until, who


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as opened:
        yield opened


async def ended(at: Bench, job_id: str, state: JobState) -> None:
    """The job reaches the state and nothing more is under way."""
    async with asyncio.timeout(5):
        while (await at.job(job_id)).state is not state:  # noqa: ASYNC110  the row is the truth, nobody announces it
            await asyncio.sleep(0.005)
    await until(lambda: not at.runner._tasks)


async def place(at: Bench, job_id: str) -> int:
    return at.runner.ticket(await at.job(job_id)).place


async def test_a_job_is_drawn_and_posted_once(at: Bench) -> None:
    """Queued, running, posted: one attempt with the request, one post with the pictures, the message remembered."""
    job_id = await at.ordered(order("a house", count=2))
    await at.dispatched(job_id)
    assert (await at.job(job_id)).state is JobState.RUNNING
    assert at.fleet.attempts[0].request.prompt == "a house"
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.POSTED)
    ((posted, nonce),) = at.poster.posts
    assert len(posted.pictures) == 2
    assert nonce == posted.nonce
    job = await at.job(job_id)
    assert (job.channel_id, job.message_id) == (CHANNEL, 5001)
    assert at.poster.closed == []


async def test_submitting_twice_is_submitting_once(at: Bench) -> None:
    """A job in line or past it is left where it is."""
    job_id = await at.ordered()
    await at.runner.submit(job_id)
    await at.dispatched(job_id)
    await at.runner.submit(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.POSTED)
    assert len(at.fleet.attempts) == 1


async def test_a_job_submitted_before_the_start_runs_once(tmp_path: Path) -> None:
    """An order that comes while the bot starts is not taken up a second time."""
    fleet, poster = FakeFleet(auto=True), FakePoster()
    async with open_store(None, tmp_path) as store:
        runner = Runner(store, fleet, Scheduler(), poster)
        job = await store.jobs.record(order())
        assert job is not None
        await runner.submit(job.id)
        await runner.start()
        await until(lambda: len(poster.posts) == 1)
        await runner.aclose()
    assert len(fleet.attempts) == 1


async def test_a_worker_has_one_job_more_than_slots_and_the_rest_waits(at: Bench) -> None:
    """Places are counted from 1 and move up when a job is done."""
    ids = [await at.ordered(order(by=who(member))) for member in range(4)]
    await at.dispatched(ids[1])
    assert (at.runner.running, at.runner.waiting) == (2, 2)
    assert [await place(at, job_id) for job_id in ids] == [1, 1, 1, 2]
    await at.fleet.finish(ids[0])
    await at.dispatched(ids[2])
    assert [await place(at, job_id) for job_id in ids[2:]] == [1, 1]


async def test_a_job_that_is_not_in_line_yet_is_told_the_place_it_will_have(at: Bench) -> None:
    """Fairness counts: someone new comes before the rest of one who ordered much. Asking changes nothing."""
    for _ in range(5):
        await at.ordered()
    await until(lambda: at.runner.waiting == 3)
    jobs = [await at.store.jobs.record(order(by=who(member))) for member in (1001, 7)]
    places = [at.runner.ticket(job).place for job in jobs if job is not None for _ in range(2)]
    assert places[0] == places[1] == 4
    assert places[2] == places[3] < 4
    assert at.runner.waiting == 3


async def test_the_wait_is_learned_from_what_was_drawn(at: Bench) -> None:
    """Unknown at first; afterwards the time of what is ahead and of the job itself, at the pace of the last ones."""
    first = await at.ordered()
    assert at.runner.ticket(await at.job(first)).wait is None
    await at.dispatched(first)
    await at.fleet.finish(first)
    await ended(at, first, JobState.POSTED)
    second, third = await at.ordered(), await at.ordered(order(count=2))
    await at.dispatched(third)
    assert at.runner.ticket(await at.job(second)).wait == pytest.approx(3 * 1.5)
    fourth = await at.ordered()
    assert at.runner.ticket(await at.job(fourth)).wait == pytest.approx(4 * 1.5)


async def test_the_wait_is_known_from_the_start_where_something_was_drawn_before(tmp_path: Path) -> None:
    """From what was ordered, not from what became of it: who leaves the size to the model is told the same."""
    async with bench(tmp_path, fleet=FakeFleet(auto=True)) as at:
        for count in (1, 3, 2):
            job_id = await at.ordered(order(count=count))
            await ended(at, job_id, JobState.POSTED)
        assert (await at.job(job_id)).request.width == 128
        before = at.runner.estimate(order().request)
        assert before is not None
    async with bench(tmp_path) as at:
        assert at.runner.estimate(order().request) == pytest.approx(before)
        assert at.runner.price(order().request) == pytest.approx(before)


async def test_progress_is_shown_every_two_seconds_at_most(at: Bench) -> None:
    """The first step at once, then one edit in two seconds, with the newest preview that there was."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    for step in range(1, 9):
        await at.fleet.step(job_id, step, preview=b"jpeg" if step == 3 else None)
        await asyncio.sleep(0)
        at.clock.time += 0.5
    assert [(progress.step, progress.preview) for _, progress in at.poster.shown] == [(1, None), (5, b"jpeg")]


async def test_the_end_waits_for_an_edit_that_is_under_way(at: Bench) -> None:
    """A slow progress edit cannot land on top of the finished card."""
    at.poster.slow = asyncio.Event()
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.step(job_id)
    await at.fleet.finish(job_id)
    async with asyncio.timeout(5):
        while (await at.job(job_id)).state is not JobState.RENDERED:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert at.poster.posts == []
    at.poster.slow.set()
    await ended(at, job_id, JobState.POSTED)
    assert len(at.poster.shown) == len(at.poster.posts) == 1


async def test_a_failure_is_told_in_its_own_words(at: Bench) -> None:
    """The job failed with the engine's sentence, the member has seen it, nothing was posted."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.fail(job_id, "It does not fit.")
    await ended(at, job_id, JobState.FAILED)
    assert [job.sentence for job in at.poster.closed] == ["It does not fit."]
    assert at.poster.posts == []
    assert await at.store.jobs.untold() == ()


async def test_a_waiting_job_is_cancelled_without_being_drawn(at: Bench) -> None:
    """It leaves the line, its member sees the end, and no worker ever gets it."""
    ids = [await at.ordered() for _ in range(3)]
    await at.dispatched(ids[1])
    assert await at.runner.cancel(ids[2])
    assert at.runner.waiting == 0
    await ended(at, ids[2], JobState.CANCELLED)
    for job_id in ids[:2]:
        await at.fleet.finish(job_id)
        await ended(at, job_id, JobState.POSTED)
    assert len(at.fleet.attempts) == 2
    assert [job.id for job in at.poster.closed] == [ids[2]]


async def test_a_running_job_is_cancelled_at_once_and_told_once(at: Bench) -> None:
    """The worker is told to drop it, what it says then changes nothing, and a second cancel is refused."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    assert await at.runner.cancel(job_id)
    assert not await at.runner.cancel(job_id)
    await ended(at, job_id, JobState.CANCELLED)
    assert [job.id for job in at.poster.closed] == [job_id]
    assert at.runner.running == 0


async def test_a_cancel_at_any_moment_leaves_no_work_behind(at: Bench) -> None:
    """Wherever between line and worker the job is, it ends cancelled and told, and nothing runs."""
    ids = []
    for turns in range(40):
        ids.append(await at.ordered(order(by=who(turns))))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await at.runner.cancel(ids[-1])
    await until(lambda: not at.runner._tasks)
    assert {(await at.job(job_id)).state for job_id in ids} == {JobState.CANCELLED}
    assert sorted(job.id for job in at.poster.closed) == sorted(ids)
    assert at.fleet.workers()[at.fleet.id].outstanding == at.runner.running == at.runner.waiting == 0


class SlowFleet(FakeFleet):
    """Takes an attempt only when `opened`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.opened = asyncio.Event(), asyncio.Event()

    async def dispatch(self, worker: WorkerId, attempt: Attempt) -> None:
        self.asked.set()
        await self.opened.wait()
        await super().dispatch(worker, attempt)


async def test_a_cancel_while_the_worker_is_told_of_the_job_is_not_lost(tmp_path: Path) -> None:
    """A cancel that the worker could not know what to do with yet is said again."""
    fleet = SlowFleet()
    async with bench(tmp_path, fleet=fleet) as at:
        job_id = await at.ordered()
        await fleet.asked.wait()
        assert await at.runner.cancel(job_id)
        fleet.opened.set()
        await at.dispatched(job_id)
        await until(lambda: at.runner.running == 0)
        assert fleet.workers()[fleet.id].outstanding == 0


async def test_a_drawn_job_cannot_be_cancelled(at: Bench) -> None:
    """Once the pictures are there the answer is no, and the post stands."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.POSTED)
    assert not await at.runner.cancel(job_id)
    assert at.poster.closed == []


async def test_a_lost_attempt_is_tried_once_more(at: Bench) -> None:
    """The second attempt may finish the job; a second loss ends it with an apology."""
    for second in (at.fleet.finish, at.fleet.lose):
        job_id = await at.ordered()
        await at.dispatched(job_id)
        await at.fleet.lose(job_id)
        await at.dispatched(job_id, attempt=2)
        await second(job_id)
        await ended(at, job_id, JobState.POSTED if second == at.fleet.finish else JobState.FAILED)
    assert [job.sentence for job in at.poster.closed] == [INTERRUPTED]


async def test_only_the_running_attempt_counts(at: Bench) -> None:
    """A result or a loss of an earlier attempt, late or twice, changes nothing."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.lose(job_id)
    await at.dispatched(job_id, attempt=2)
    await at.fleet.tell(Done(job_id, 1, result(Request(prompt="an old one"))))
    await at.fleet.tell(Lost(job_id, 1))
    assert (await at.job(job_id)).state is JobState.RUNNING
    await at.fleet.finish(job_id)
    await at.fleet.tell(Done(job_id, 2, result(Request(prompt="twice"))))
    await ended(at, job_id, JobState.POSTED)
    assert [job.request.prompt for job, _ in at.poster.posts] == ["a red flower"]


async def test_an_outage_delays_a_post_and_never_doubles_it(at: Bench) -> None:
    """Tried again with pauses that double, with the same nonce, until it is there once."""
    at.poster.outages = 4
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.POSTED)
    assert at.clock.slept == [1, 2, 4, 8]
    assert len(at.poster.posts) == 1


async def test_what_nobody_takes_is_dead(at: Bench) -> None:
    """A result for a channel that is gone ends as dead, and is not tried again after a restart."""
    at.poster.gone = True
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.DEAD)
    assert await at.store.jobs.untold() == ()


async def test_a_member_is_told_that_the_pictures_could_not_be_shown(at: Bench) -> None:
    """What Discord does not take as a result may be taken as a sentence; the pictures stay in the history."""
    at.poster.refuses_pictures = True
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.DEAD)
    assert ["/history" in job.sentence for job in at.poster.closed] == [True]
    assert (await at.job(job_id)).pictures
    assert await at.store.jobs.untold() == ()


async def test_a_defect_ends_one_job_and_no_other(at: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is logged, its job ends, and the next one is served."""
    at.poster.defect = ZeroDivisionError("a defect")
    job_id = await at.ordered()
    await at.dispatched(job_id)
    await at.fleet.finish(job_id)
    await ended(at, job_id, JobState.DEAD)
    assert (await at.job(job_id)).sentence == DEFECT
    assert "a defect" in caplog.text
    at.poster.defect = None
    other = await at.ordered()
    await at.dispatched(other)
    await at.fleet.finish(other)
    await ended(at, other, JobState.POSTED)


async def test_a_defect_ends_its_job_also_where_that_cannot_be_written_down_at_first(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write fails then, for a while: the job has its end, and its member has seen it once."""
    monkeypatch.setattr(runner, "SECOND_TRY", 0.02)
    for name in ("failed", "dead", "told"):
        broken, real = [2], getattr(JobRows, name)

        async def failing(self: JobRows, *args: object, real: Any = real, broken: list[int] = broken) -> object:
            if broken[0]:
                broken[0] -= 1
                raise StorageFull("The disk is full.")
            return await real(self, *args)

        async def defect(job: Job, nonce: str) -> tuple[int, int]:
            raise ZeroDivisionError

        monkeypatch.setattr(JobRows, name, failing)
        monkeypatch.setattr(at.poster, "post", defect)
        job_id = await at.ordered()
        await at.dispatched(job_id)
        await at.fleet.finish(job_id)
        await ended(at, job_id, JobState.DEAD)
        assert broken == [0], name
        assert await at.store.jobs.untold() == ()
        assert {job.sentence for job in at.poster.closed if job.id == job_id} == {DEFECT}
        monkeypatch.setattr(JobRows, name, real)


class DroppingFleet(FakeFleet):
    """Says of an attempt that it was cut short, not lost, when it is closed."""

    async def aclose(self) -> None:
        for attempt in self.attempts:
            await self.cancel(self.id, attempt.job, attempt.attempt)


async def test_what_a_closing_fleet_drops_is_not_cancelled(tmp_path: Path) -> None:
    """Only a member cancels: what the stop of the bot cut short is queued again."""
    async with bench(tmp_path, fleet=DroppingFleet()) as at:
        job_id = await at.ordered()
        await at.dispatched(job_id)
    assert at.poster.closed == []
    async with bench(tmp_path, fleet=FakeFleet(auto=True)) as at:
        await ended(at, job_id, JobState.POSTED)


async def test_a_post_that_an_outage_held_back_survives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that stops while Discord is away posts after its next start."""
    monkeypatch.setattr("bot.jobs.runner.GRACE", 0.05)
    async with bench(tmp_path, fleet=FakeFleet(auto=True), poster=FakePoster(outages=10**9)) as at:
        job_id = await at.ordered()
        await until(lambda: len(at.clock.slept) > 3)
    async with bench(tmp_path) as at:
        await ended(at, job_id, JobState.POSTED)
        assert len(at.poster.posts) == 1


async def test_a_stop_in_the_middle_is_nobodys_fault(tmp_path: Path) -> None:
    """However often the bot is stopped properly while a job runs, the job keeps its second chance."""
    async with bench(tmp_path) as at:
        job_id = await at.ordered()
        await at.dispatched(job_id)
    for attempt in (2, 3):
        async with bench(tmp_path) as at:
            await at.dispatched(job_id, attempt)
    async with bench(tmp_path) as at:
        await at.dispatched(job_id, attempt=4)
        await at.fleet.lose(job_id)
        await at.dispatched(job_id, attempt=5)
        await at.fleet.finish(job_id)
        await ended(at, job_id, JobState.POSTED)


@pytest.mark.parametrize("state", ["received", "acked", "queued", "running", "rendered", "posting"])
async def test_a_restart_at_any_stop_ends_in_one_post(tmp_path: Path, state: str) -> None:
    """Whatever a killed process left in the row, the next one posts the pictures exactly once."""
    async with bench(tmp_path) as at:
        job = await at.store.jobs.record(order())
        assert job is not None
        reached = JobState(state)
        if reached is JobState.ACKED:
            await at.store.jobs.acked(job.id, 1, 2)
        if reached not in (JobState.RECEIVED, JobState.ACKED):
            assert await at.store.jobs.queue(job.id)
        if reached in (JobState.RUNNING, JobState.RENDERED, JobState.POSTING):
            running = await at.store.jobs.start(job.id)
            assert running is not None
            if reached is not JobState.RUNNING:
                assert await at.store.jobs.rendered(running, result(running.request))
            if reached is JobState.POSTING:
                assert await at.store.jobs.posting(job.id)
        assert (await at.job(job.id)).state is reached
    async with bench(tmp_path, fleet=FakeFleet(auto=True)) as at:
        await ended(at, job.id, JobState.POSTED)
        assert [(shown.id, len(shown.pictures)) for shown, _ in at.poster.posts] == [(job.id, 1)]


async def test_an_order_whose_member_was_never_answered_does_not_run(tmp_path: Path) -> None:
    """A process that died before its answer left Discord: the member has read that nothing came of it."""
    async with bench(tmp_path) as at:
        job = await at.store.jobs.record(order(), charge=9.0)
        assert job is not None
    async with bench(tmp_path, fleet=FakeFleet(auto=True), poster=FakePoster(unanswered=True)) as at:
        await ended(at, job.id, JobState.CANCELLED)
        assert (at.fleet.attempts, at.poster.posts, at.poster.closed) == ([], [], [])
        assert await at.store.jobs.spent(job.order.who.member_id) == 0
        assert await at.store.jobs.untold() == ()


async def test_an_end_that_nobody_saw_is_shown_after_a_restart(tmp_path: Path) -> None:
    """A job that failed while Discord was away is closed by the next process, once."""
    async with bench(tmp_path) as at:
        job_id = await at.ordered()
        await at.dispatched(job_id)
        await at.store.jobs.failed(job_id, 1, "It does not fit.")
    poster = FakePoster()
    for _ in range(2):
        async with bench(tmp_path, poster=poster) as at:
            await until(lambda: not at.runner._tasks)
    assert [(job.id, job.sentence) for job in poster.closed] == [(job_id, "It does not fit.")]


async def test_a_job_that_kills_the_bot_twice_is_given_up(tmp_path: Path) -> None:
    """Two processes that died while it ran are enough: the third one tells its member."""
    async with bench(tmp_path) as at:
        job = await at.store.jobs.record(order())
        assert job is not None
        await at.store.jobs.queue(job.id)
        for attempt in (1, 2):
            assert await at.store.jobs.start(job.id)
            if attempt == 1:
                assert await at.store.jobs.requeue(job.id, 1, lost=True)
    async with bench(tmp_path) as at:
        await ended(at, job.id, JobState.FAILED)
        assert [closed.sentence for closed in at.poster.closed] == [INTERRUPTED]


async def test_the_family_of_a_model_is_what_a_worker_holds(at: Bench) -> None:
    """The default model and each one held so far are known, whatever a worker holds now; another one is not."""
    assert [at.runner.family(model) for model in ("", "builtin", "other")] == ["built-in", "built-in", ""]
    at.fleet.holds = Holds(model="other", family="SDXL")
    assert [at.runner.family(model) for model in ("", "builtin", "other")] == ["built-in", "built-in", "SDXL"]


async def test_the_scheduler_hears_of_adapters_by_content(at: Bench) -> None:
    """An adapter with a known hash is waited for by that hash, so that a warm worker is recognised."""
    for _ in range(3):
        last = await at.ordered(order(adapters=(AdapterUse("ink", sha256="ab" * 32),)))
    await until(lambda: at.runner.waiting == 1)
    (waiting,) = at.runner._scheduler.order()
    assert (waiting.job, waiting.adapters) == (last, frozenset({"ab" * 32}))


async def test_what_cannot_be_written_down_is_tried_again_and_nothing_is_lost(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write of a job fails, for a while: it is drawn once, and posted once when the fault has passed."""
    monkeypatch.setattr(runner, "SECOND_TRY", 0.02)
    for name in ("queue", "start", "rendered", "posting", "posted"):
        broken, real = [3], getattr(JobRows, name)

        async def failing(self: JobRows, *args: object, real: Any = real, broken: list[int] = broken) -> object:
            if broken[0]:
                broken[0] -= 1
                raise StorageFull("The disk is full.")
            return await real(self, *args)

        monkeypatch.setattr(JobRows, name, failing)
        at.fleet.auto = True
        job_id = await at.ordered()
        await ended(at, job_id, JobState.POSTED)
        assert broken == [0], name
        assert [attempt.job for attempt in at.fleet.attempts].count(job_id) == 1, f"{name}: drawn again"
        assert {nonce for job, nonce in at.poster.posts if job.id == job_id} == {(await at.job(job_id)).nonce}
        monkeypatch.setattr(JobRows, name, real)
    assert at.runner.running == at.runner.waiting == 0


async def test_a_held_line_gives_nothing_out_and_a_released_one_goes_on(at: Bench) -> None:
    """hold and release are inverses; what runs is not touched."""
    first = await at.ordered()
    await at.dispatched(first)
    at.runner.hold()
    second = await at.ordered()
    await at.fleet.finish(first)
    await ended(at, first, JobState.POSTED)
    assert (at.runner.running, at.runner.waiting) == (0, 1)
    at.runner.release()
    await at.dispatched(second)


async def test_draining_waits_for_what_runs_and_no_longer_than_it_is_told(at: Bench) -> None:
    """What is done in time is posted; what is not goes back in line without blame, and nothing new begins."""
    first, second, third = [await at.ordered(order(by=who(member))) for member in (1, 2, 3)]
    await at.dispatched(second)
    draining = asyncio.create_task(at.runner.drain(10))
    await at.fleet.finish(first)
    await ended(at, first, JobState.POSTED)
    assert not draining.done()
    at.clock.time += 11
    await draining
    await at.runner.aclose()
    assert [(await at.job(job)).state for job in (second, third)] == [JobState.QUEUED, JobState.QUEUED]
    assert (await at.job(second)).losses == 0


async def test_draining_waits_until_what_was_drawn_is_shown(at: Bench) -> None:
    """The connection outlives it, so whoever orders meanwhile is answered."""
    job_id = await at.ordered()
    await at.dispatched(job_id)
    at.poster.outages = 2  # the post takes a few tries
    draining = asyncio.create_task(at.runner.drain(10))
    await at.fleet.finish(job_id)
    await draining
    assert (await at.job(job_id)).state is JobState.POSTED


async def test_what_cannot_be_shown_holds_up_the_end_once(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The grace of draining and the one of closing are the same one."""
    at.runner._grace = 0.3
    job_id = await at.ordered()
    await at.dispatched(job_id)
    monkeypatch.setattr(at.poster, "post", lambda job, nonce: asyncio.Event().wait())
    draining = asyncio.create_task(at.runner.drain(10))
    await at.fleet.finish(job_id)
    await draining
    assert at.runner._grace == 0
    async with asyncio.timeout(0.3):
        await at.runner.aclose()
    assert (await at.job(job_id)).state is JobState.POSTING


async def test_a_broken_engine_leaves_every_job_to_the_next_process(tmp_path: Path) -> None:
    """What had begun counts one loss against it, what waited none, and nobody is told of an end that is none."""
    async with bench(tmp_path) as at:
        running, waiting = await at.ordered(), await at.ordered()
        third = await at.ordered()
        await at.dispatched(waiting)
        await at.fleet.break_down("it hangs")
        assert await at.runner.broken() == "it hangs"
        await until(lambda: at.runner.running == 0)
        await until(lambda: not at.runner._tasks)
    async with bench(tmp_path, fleet=FakeFleet(auto=True)) as at:
        await until(lambda: len(at.poster.posts) == 3)
        assert [(await at.job(job)).losses for job in (running, waiting, third)] == [1, 0, 0]
    assert at.poster.closed == []


@pytest.mark.parametrize("again", [False, True])
async def test_who_waits_too_long_is_told_so_and_has_spent_nothing(tmp_path: Path, again: bool) -> None:
    """While the bot runs and also where it did not; what is drawn goes on, and who is not too late is drawn."""
    clock, poster, day = FakeClock(), FakePoster(), timedelta(hours=24)

    def now() -> datetime:
        return NOW + timedelta(seconds=clock.time)

    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(bench(tmp_path, poster=poster, longest_wait=day, now=now))
        first, second = await at.ordered(), await at.ordered()
        await at.dispatched(second)
        at.runner.hold()
        late = [await at.ordered(order(by=who(member))) for member in (2, 3)]
        clock.time += day.total_seconds() / 2
        fresh = await at.ordered(order(by=who(4)))
        await at.runner.tidy()
        assert poster.closed == []
        clock.time += day.total_seconds() / 2 + 1
        if again:
            for job_id in (first, second):
                await at.fleet.finish(job_id)
            await stack.aclose()
            at = await stack.enter_async_context(bench(tmp_path, poster=poster, longest_wait=day, now=now))
        else:
            await at.runner.tidy()
            at.runner.release()
            for job_id in (first, second):
                await at.fleet.finish(job_id)
        await at.dispatched(fresh)
        await until(lambda: not at.runner._tasks)
        assert [(job.id, job.state, job.sentence) for job in poster.closed] == [
            (job_id, JobState.FAILED, EXPIRED) for job_id in late
        ]
        assert [await at.store.jobs.spent(member) for member in (2, 3)] == [0, 0]
        assert at.runner.waiting == 0
        assert [attempt.job for attempt in at.fleet.attempts if attempt.job in late] == []


async def test_without_a_limit_nobody_waits_too_long(tmp_path: Path) -> None:
    clock = FakeClock()
    async with bench(tmp_path, now=lambda: NOW + timedelta(seconds=clock.time)) as at:
        at.runner.hold()
        job_id = await at.ordered()
        clock.time += 1e9
        await at.runner.tidy()
        assert (await at.job(job_id)).state is JobState.QUEUED


async def test_a_job_that_runs_in_nothing_but_its_row_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the look that is had now and then; it is not blamed, and what a worker has is left alone."""
    monkeypatch.setattr(runner, "TIDY_EVERY", 0.02)
    async with bench(tmp_path) as at:
        lost, kept = await at.ordered(), await at.ordered(order(by=who(2)))
        await at.dispatched(kept)
        del at.runner._runs[lost], at.fleet._out[lost]
        await at.dispatched(lost, attempt=2)
        await at.fleet.finish(lost)
        await ended(at, lost, JobState.POSTED)
        assert (await at.job(lost)).losses == 0
        assert [attempt.attempt for attempt in at.fleet.attempts if attempt.job == kept] == [1]


async def test_what_is_still_being_kept_is_not_drawn_again(at: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row says running, and no worker has it: the pictures wait for room on the disk."""
    monkeypatch.setattr(runner, "SECOND_TRY", 0.02)
    real, full = JobRows.rendered, asyncio.Event()

    async def rendered(self: JobRows, *args: Any) -> bool:
        if full.is_set():
            raise StorageFull("The disk is full.")
        return await real(self, *args)

    monkeypatch.setattr(JobRows, "rendered", rendered)
    job_id = await at.ordered()
    await at.dispatched(job_id)
    full.set()
    await at.fleet.finish(job_id)
    for _ in range(3):
        await at.runner.tidy()
        await asyncio.sleep(0.02)
    full.clear()
    await ended(at, job_id, JobState.POSTED)
    assert len(at.fleet.attempts) == 1


async def break_down(at: Bench) -> None:
    """The engine breaks, and what it takes with it is written down."""
    await at.fleet.break_down()
    await until(lambda: not at.runner._tasks)


async def kill(at: Bench) -> None:
    """The process is gone without a word: nothing that ran is written down."""
    of_the_runner = (*at.runner._tasks, at.runner._serving, at.runner._tidying)
    tasks = [task for task in of_the_runner if task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    at.fleet._out.clear()


async def added(at: Bench, name: str) -> AdapterUse:
    """A built-in adapter that everybody may draw with."""
    entry = await at.store.catalog.add(builtin_adapter(name), name, visibility="everyone")
    return AdapterUse(name, sha256=entry.info.sha256)


@pytest.mark.parametrize("end", [break_down, kill])
async def test_a_job_that_kills_its_workers_takes_no_other_job_with_it(tmp_path: Path, end: Any) -> None:
    """Each one that was there when it happened is drawn alone the next time: only the guilty one is lost twice."""
    poster = FakePoster()
    async with bench(tmp_path, poster=poster) as at:
        added = [
            await at.store.catalog.add(builtin_adapter(each), each, visibility="everyone") for each in ("ink", "neon")
        ]
        ink, neon = (AdapterUse(entry.name, sha256=entry.info.sha256) for entry in added)
        poison = await at.ordered(order(adapters=(ink,)))
        innocent = await at.ordered(order(by=who(2), adapters=(neon,)))
        await at.dispatched(innocent)
        await end(at)
    async with bench(tmp_path, poster=poster) as at:
        await at.dispatched(poison, attempt=2)
        await at.ordered(order(by=who(3)))
        await asyncio.sleep(0.05)
        assert [attempt.job for attempt in at.fleet.attempts] == [poison], "nothing beside it"
        await end(at)
    async with bench(tmp_path, fleet=FakeFleet(auto=True), poster=poster) as at:
        await until(lambda: len(poster.posts) == 2, seconds=20)
        await ended(at, innocent, JobState.POSTED)
        assert [(job.id, job.sentence) for job in poster.closed] == [(poison, INTERRUPTED)]
        assert [running.sha256 for running in await at.store.running.all()] == [ink.sha256]


async def test_a_job_that_was_lost_waits_until_nothing_else_is_drawn(at: Bench) -> None:
    """In its turn what is with the worker ends first, nobody comes beside it, and then all goes on as before."""
    lost, beside = await at.ordered(), await at.ordered(order(by=who(2)))
    await at.dispatched(beside)
    await at.fleet.lose(lost)
    after = await at.ordered(order(by=who(3)))
    await asyncio.sleep(0.05)
    assert (at.runner.running, at.runner.waiting) == (1, 2)
    await at.fleet.finish(beside)
    await at.dispatched(lost, attempt=2)
    await asyncio.sleep(0.05)
    assert (at.runner.running, at.runner.waiting) == (1, 1)
    await at.fleet.finish(lost)
    await at.dispatched(after)


async def test_an_attempt_that_its_worker_never_began_is_not_blamed(at: Bench) -> None:
    """It is queued again as it was, however often that happens."""
    job_id = await at.ordered()
    for attempt in (1, 2, 3):
        await at.dispatched(job_id, attempt)
        del at.fleet._out[job_id]
        await at.fleet.tell(Lost(job_id, attempt, begun=False))
    await at.dispatched(job_id, attempt=4)
    assert (await at.job(job_id)).losses == 0
