"""Job rows: recorded once, changed only from the state they are in, the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, OperationalError

from bot.orders import Bounds, Job, JobState, Order, QueueFull, QuotaSpent
from bot.store import Store, open_store
from bot.store.database import Database, database_url
from bot.store.models import EntryRow, JobRow
from engine import AdapterReport, AdapterUse
from tests.fakes import MEMBER, order, png, result, who


async def recorded(store: Store, an_order: Order | None = None) -> Job:
    job = await store.jobs.record(an_order or order())
    assert job is not None
    return job


async def running(store: Store, an_order: Order | None = None) -> Job:
    job = await recorded(store, an_order)
    assert await store.jobs.queue(job.id)
    started = await store.jobs.start(job.id)
    assert started is not None
    return started


async def fetched(store: Store, job_id: str) -> Job:
    job = await store.jobs.get(job_id)
    assert job is not None
    return job


async def test_an_order_comes_back_as_it_was_given(tmp_path: Path) -> None:
    """Everything of an order is the same after the store was closed and opened, its start picture too."""
    an_order = order("a", image=png(), adapters=(AdapterUse("ink", 0.5, None, "ab" * 32),), count=2)
    async with open_store(None, tmp_path) as store:
        job = await recorded(store, an_order)
    async with open_store(None, tmp_path) as store:
        assert await store.jobs.get(job.id) == job
    assert job.order == an_order
    assert job.state is JobState.RECEIVED


async def test_times_come_back_in_utc(store: Store) -> None:
    """An aware time of any zone is the same moment in UTC; one without a zone is refused."""
    moment = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    an_order = order()
    job = await recorded(store, Order(an_order.interaction_id, 1, "t", moment, an_order.who, an_order.request))
    assert job.order.created_at == moment
    assert job.order.created_at.utcoffset() == timedelta(0)
    with pytest.raises(Exception, match="no time zone"):
        await recorded(store, Order(5, 1, "t", datetime(2026, 5, 1), an_order.who, an_order.request))


async def test_one_interaction_is_one_job(store: Store) -> None:
    """The same interaction recorded twice gives the same job, also when its member has no room for another."""
    an_order = order()
    first = await store.jobs.record(an_order, Bounds(per_member=1))
    assert first is not None
    assert await store.jobs.record(an_order, Bounds(per_member=1)) == first


async def test_nobody_has_more_unfinished_jobs_than_the_limit(store: Store) -> None:
    """The one past the limit is not recorded; somebody else's is; and when one ends there is room again."""
    job = await store.jobs.record(order(), Bounds(per_member=1))
    with pytest.raises(QueueFull, match="1 unfinished"):
        await store.jobs.record(order(), Bounds(per_member=1))
    assert await store.jobs.record(order(by=who(7)), Bounds(per_member=1))
    assert await store.jobs.cancelled(job.id, "Cancelled.")
    assert await store.jobs.record(order(), Bounds(per_member=1))


async def test_a_server_and_the_whole_bot_have_bounds_too(store: Store) -> None:
    await store.jobs.record(order())
    with pytest.raises(QueueFull, match="this server"):
        await store.jobs.record(order(by=who(7)), Bounds(per_guild=1))
    elsewhere = who(8, guild_id=77)
    assert await store.jobs.record(order(by=elsewhere), Bounds(per_guild=1))
    with pytest.raises(QueueFull, match="this bot"):
        await store.jobs.record(order(by=who(9, guild_id=78)), Bounds(in_all=2))


async def test_seconds_of_drawing_are_spent_with_the_job_and_come_back_with_its_failure(store: Store) -> None:
    """Past the allowance nothing is recorded; what fails, is cancelled or never ran costs nothing, once and for all."""
    bounds = Bounds(seconds=10)
    first = await store.jobs.record(order(), bounds, charge=6)
    with pytest.raises(QuotaSpent, match=r"4 s left of your 10 s"):
        await store.jobs.record(order(), bounds, charge=5)
    assert await store.jobs.spent(MEMBER) == 6
    assert await store.jobs.cancelled(first.id, "Cancelled.")
    assert not await store.jobs.cancelled(first.id, "Cancelled.")
    assert await store.jobs.spent(MEMBER) == 0
    second = await store.jobs.record(order(), bounds, charge=10)
    await store.jobs.queue(second.id)
    running = await store.jobs.start(second.id)
    assert running is not None
    assert await store.jobs.rendered(running, result(running.request, seconds=2.5))
    assert await store.jobs.spent(MEMBER) == 2.5


async def test_what_was_ordered_a_day_ago_is_forgiven(tmp_path: Path) -> None:
    now = [datetime(2026, 5, 1, tzinfo=UTC)]
    async with open_store(None, tmp_path, now=lambda: now[0]) as store:
        await store.jobs.record(order(), charge=6)
        now[0] += timedelta(hours=24, seconds=1)
        assert await store.jobs.spent(MEMBER) == 0


def test_the_most_generous_of_ones_roles_counts() -> None:
    bounds = Bounds(seconds=10, role_seconds={1: 5.0, 2: 20.0, 3: None})
    assert bounds.allowance(frozenset()) == bounds.allowance(frozenset({9})) == 10
    assert bounds.allowance(frozenset({1})) == 5
    assert bounds.allowance(frozenset({1, 2})) == 20
    assert bounds.allowance(frozenset({2, 3})) is None
    assert Bounds().allowance(frozenset()) is None


async def test_a_nonce_fits_discord(store: Store) -> None:
    """Even the largest snowflake gives a nonce of at most 25 characters, and another one a different nonce."""
    largest = await recorded(store, order(interaction_id=2**63 - 1))
    other = await recorded(store, order(interaction_id=2**63 - 2))
    assert len(largest.nonce) <= 25
    assert largest.nonce != other.nonce


async def test_only_one_start_of_a_queued_job_wins(store: Store) -> None:
    """A job that runs cannot be started again, and each start is a new attempt."""
    job = await running(store)
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)
    assert await store.jobs.start(job.id) is None
    assert await store.jobs.requeue(job.id, 1, lost=True)
    again = await store.jobs.start(job.id)
    assert again is not None
    assert again.attempt == 2


async def test_the_result_of_an_old_attempt_changes_nothing(store: Store, tmp_path: Path) -> None:
    """Only the running attempt is rendered; what another one drew is not kept, not even as files."""
    old = await running(store)
    await store.jobs.requeue(old.id, old.attempt, lost=True)
    new = await store.jobs.start(old.id)
    assert new is not None
    assert not await store.jobs.rendered(old, result(old.request))
    assert await store.jobs.rendered(new, result(new.request))
    assert not await store.jobs.rendered(new, result(new.request))


async def test_a_rendered_job_has_its_pictures_and_its_complete_request(store: Store) -> None:
    """Files, sizes, seeds and report are there, the seed is known, and the start picture is still the request's."""
    start = png(grey=9)
    job = await running(store, order("a", count=2, image=start, adapters=(AdapterUse("ink"),)))
    drawn = result(job.request)
    assert await store.jobs.rendered(job, drawn)
    job = await fetched(store, job.id)
    assert job.state is JobState.RENDERED
    assert [picture.path.read_bytes() for picture in job.pictures] == [picture.png for picture in drawn.pictures]
    assert [picture.seed for picture in job.pictures] == [7, 8]
    assert (job.request.seed, job.request.width, job.request.image) == (7, 128, start)
    assert (job.report, job.seconds) == (("ink: 204 of 204 layers",), 1.5)


async def test_a_report_names_adapters_as_the_catalog_does(store: Store) -> None:
    """An adapter that the engine knows by its hash alone is called by its name."""
    job = await running(store, order("a", adapters=(AdapterUse("ink", sha256="ab" * 32),)))
    drawn = replace(result(job.request), reports=(AdapterReport("ab" * 32, 204, 204),))
    await store.jobs.rendered(job, drawn)
    assert (await fetched(store, job.id)).report == ("ink: 204 of 204 layers",)


async def test_a_lost_result_leaves_no_files(store: Store, tmp_path: Path) -> None:
    """A job cancelled while its pictures were written has none on the disk."""
    job = await running(store)
    assert await store.jobs.cancelled(job.id, "Cancelled.")
    assert not await store.jobs.rendered(job, result(job.request))
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


async def test_erased_pictures_are_gone(store: Store, tmp_path: Path) -> None:
    """After erasing, the job shows no pictures and the disk holds none; erasing again changes nothing."""
    job = await running(store)
    await store.jobs.rendered(job, result(job.request))
    for _ in range(2):
        await store.jobs.erase(job.id)
        assert (await fetched(store, job.id)).pictures == ()
        assert list((tmp_path / "data" / "pictures").iterdir()) == []


async def test_a_finished_job_stays_finished(store: Store) -> None:
    """No change of state leads out of cancelled, and the time of the end is there."""
    job = await running(store)
    assert await store.jobs.cancelled(job.id, "Cancelled.")
    changes = [
        store.jobs.queue(job.id),
        store.jobs.requeue(job.id, 1, lost=False),
        store.jobs.failed(job.id, 1, "no"),
        store.jobs.posting(job.id),
        store.jobs.posted(job.id, 1, 2),
        store.jobs.dead(job.id, "no"),
        store.jobs.cancelled(job.id, "no"),
    ]
    assert not any([await change for change in changes])
    job = await fetched(store, job.id)
    assert (job.state, job.sentence) == (JobState.CANCELLED, "Cancelled.")
    assert job.finished_at is not None


async def test_a_restart_finds_what_was_not_told(store: Store) -> None:
    """Unfinished jobs and ends that nobody saw are untold; posted and told ones are not."""
    waits, unseen, seen = [await recorded(store) for _ in range(3)]
    for job in (unseen, seen):
        await store.jobs.cancelled(job.id, "Cancelled.")
    await store.jobs.told(seen.id)
    done = await running(store)
    await store.jobs.rendered(done, result(done.request))
    assert await store.jobs.posting(done.id)
    assert await store.jobs.posted(done.id, 1, 2)
    assert {job.id for job in await store.jobs.untold()} == {waits.id, unseen.id}


async def test_an_ack_never_sets_a_job_back(store: Store) -> None:
    """The message is remembered in any state; only a received job becomes acked."""
    job = await running(store)
    await store.jobs.acked(job.id, 31, 41)
    job = await fetched(store, job.id)
    assert (job.state, job.channel_id, job.message_id) == (JobState.RUNNING, 31, 41)
    fresh = await recorded(store)
    await store.jobs.acked(fresh.id, 31, 42)
    assert (await fetched(store, fresh.id)).state is JobState.ACKED


async def test_an_ack_that_comes_after_the_post_changes_nothing(store: Store) -> None:
    """A job drawn faster than its answer was noted keeps the message that holds its pictures."""
    job = await running(store)
    await store.jobs.rendered(job, result(job.request))
    await store.jobs.posting(job.id)
    await store.jobs.posted(job.id, 1, 2)
    await store.jobs.acked(job.id, 31, 41)
    job = await fetched(store, job.id)
    assert (job.state, job.channel_id, job.message_id) == (JobState.POSTED, 1, 2)


async def test_history_comes_in_pages_newest_first(store: Store) -> None:
    """Every own job is on exactly one page; a page out of range is the nearest one; nobody else's is there."""
    ids = [(await recorded(store)).id for _ in range(5)]
    await recorded(store, order(by=who(7)))
    pages = [await store.jobs.history(MEMBER, number, size=2) for number in (1, 2, 3)]
    assert [job.id for page in pages for job in page.jobs] == ids[::-1]
    assert {page.pages for page in pages} == {3}
    assert await store.jobs.history(MEMBER, 99, size=2) == pages[2]
    assert await store.jobs.history(MEMBER, 0, size=2) == pages[0]
    assert (await store.jobs.history(8, 1, size=2)).pages == 1


async def test_lists_leave_the_start_pictures_in_the_database(store: Store) -> None:
    """A page of history costs no megabytes; the one job that is opened has its picture."""
    job = await recorded(store, order(image=png()))
    (listed,) = (await store.jobs.history(MEMBER, 1, size=10)).jobs
    assert listed.request.image is None
    assert [one.request.image for one in await store.jobs.untold()] == [None]
    assert (await fetched(store, job.id)).request.image == png()


async def test_history_leaves_out_what_was_deleted(store: Store) -> None:
    """A job whose pictures its member took away is no longer shown; one that failed is."""
    kept, gone, failed = [await running(store) for _ in range(3)]
    for job in (kept, gone):
        await store.jobs.rendered(job, result(job.request))
    await store.jobs.failed(failed.id, 1, "no")
    await store.jobs.erase(gone.id)
    assert [job.id for job in (await store.jobs.history(MEMBER, 1, size=10)).jobs] == [failed.id, kept.id]


async def test_old_pictures_are_thrown_away_and_new_ones_kept(tmp_path: Path) -> None:
    """Drawn and sent along alike; the row with its seed stays, and so does a job that is not finished."""
    clock = [datetime.now(UTC)]
    async with open_store(None, tmp_path, now=lambda: clock[0]) as store:
        old, waits = await running(store, order(image=png())), await recorded(store, order(image=png()))
        await store.jobs.rendered(old, result(old.request))
        await store.jobs.posting(old.id)
        await store.jobs.posted(old.id, 1, 2)
        clock[0] += timedelta(days=89)
        assert await store.jobs.prune(timedelta(days=90)) == 0
        clock[0] += timedelta(days=2)
        assert await store.jobs.prune(timedelta(days=90)) == 1
        assert await store.jobs.prune(timedelta(days=90)) == 0
        job = await fetched(store, old.id)
        assert (job.pictures[0].seed, job.pictures[0].path.exists(), job.request.image) == (7, False, b"")
        assert (await fetched(store, waits.id)).request.image == png()


async def test_an_error_of_the_database_keeps_its_secrets(tmp_path: Path) -> None:
    """What goes into a log names the statement, not the token and the words of a member."""
    async with open_store(None, tmp_path) as store:
        orphan = replace(order("a secret wish"), token="a secret token", parent_job="nobody")
        with pytest.raises(IntegrityError) as failure:
            await store.jobs.record(orphan)
    assert "secret" not in str(failure.value)


async def test_readers_cannot_write(tmp_path: Path) -> None:
    """The reading connections refuse every change, so that all changes go through the one that writes."""
    async with open_store(None, tmp_path):
        database = Database(database_url(tmp_path / "loraloom.db"))
        async with database.read() as session:
            session.add(EntryRow(name="a", folded="a", scope="everyone", visibility="everyone"))
            with pytest.raises(OperationalError, match="readonly"):
                await session.flush()
        await database.aclose()


async def test_an_error_rolls_the_whole_transaction_back(tmp_path: Path) -> None:
    """A job whose parent never was is refused by its foreign key, and nothing of that transaction is kept."""
    async with open_store(None, tmp_path) as store:
        orphan = order()
        orphan = Order(orphan.interaction_id, 1, "t", orphan.created_at, orphan.who, orphan.request, "nobody")
        with pytest.raises(IntegrityError):
            await store.jobs.record(orphan)
        database = Database(database_url(tmp_path / "loraloom.db"))
        async with database.read() as session:
            assert await session.scalar(select(func.count()).select_from(JobRow)) == 0
        await database.aclose()
