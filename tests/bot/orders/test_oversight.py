"""What admins see of a server's work, for any job and anybody; and the line paused and opened again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.orders import Closing, Forbidden, Job, JobState, Orders, Oversight, StoredPicture, Ticket, Who, shown_to
from bot.store import Store
from engine import AdapterUse
from tests.fakes import GUILD, NOW, FakeLine, order, who

CANARY = "c4n4ry"
OWNER = replace(who(8), owner=True)
ADMIN = replace(who(9), admin=True)

places = st.tuples(st.sampled_from((None, 1, 2)), st.sampled_from((10, 11)), st.sampled_from((None, 20)))


@st.composite
def people(draw: st.DrawFn) -> Who:
    guild, channel, parent = draw(places)
    flags = {name: draw(st.booleans()) for name in ("moderator", "admin", "owner", "adult")}
    if guild is None:
        flags |= {"moderator": False, "admin": False}
    return Who(draw(st.integers(1, 2)), CANARY, guild, channel, parent_id=parent, **flags)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """With a canary in everything that its member has written or got."""
    asked = order(CANARY, by=draw(people()), negative=CANARY, adapters=(AdapterUse(CANARY),), image=CANARY.encode())
    asked = replace(asked, token=CANARY, parent_job=CANARY)
    pictures = (StoredPicture(0, Path(CANARY), CANARY, 1, 8, 8, CANARY),)
    state = draw(st.sampled_from(JobState))
    return Job("id", state, 1, asked, NOW, pictures=pictures, report=(CANARY,), sentence=CANARY)


@given(jobs(), people())
def test_nobody_reads_of_a_job_what_is_not_for_them(job: Job, by: Who) -> None:
    """Nothing of another server, but that it is there to those who run the bot; no words but to whom they are for."""
    shown, asked = shown_to(job, by), job.order.who
    if asked.member_id == by.member_id:
        assert shown is job
        return
    same_server = asked.guild_id is not None and asked.guild_id == by.guild_id
    governs = by.moderator or by.admin or by.owner
    if not (by.owner or (same_server and governs)):
        assert shown is None
        return
    assert shown is not None
    assert (shown.id, shown.state, shown.order.who.member_id) == (job.id, job.state, asked.member_id)
    reads = (
        same_server and (by.admin or by.owner or asked.governed_by == by.governed_by) and (by.adult or not asked.adult)
    )
    everything = f"{shown!r} {shown.order.token} {shown.request.image!r} {shown.request.mask!r}"
    assert (CANARY in everything) == reads


@given(jobs(), people())
def test_showing_twice_shows_no_more_than_once(job: Job, by: Who) -> None:
    shown = shown_to(job, by)
    assert shown is None or shown_to(shown, by) == shown


@dataclass
class FakeValve:
    line: FakeLine
    held: bool = False
    running: int = 1

    @property
    def waiting(self) -> int:
        return self.line.waiting

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def ticket(self, job: Job) -> Ticket:
        return self.line.ticket(job)


@pytest.fixture
def orders(store: Store) -> Orders:
    return Orders(store, FakeLine(store))


@pytest.fixture
def valve(store: Store) -> FakeValve:
    return FakeValve(FakeLine(store))


@pytest.fixture
def oversight(store: Store, orders: Orders, valve: FakeValve) -> Oversight:
    return Oversight(store, orders, valve)


async def test_the_queue_is_of_this_server_and_what_is_unfinished(
    oversight: Oversight, orders: Orders, store: Store
) -> None:
    """A moderator of another channel sees that there is a job, and not what it is about."""
    await orders.imagine(order("theirs", by=who(guild_id=GUILD + 1)))
    mine = await orders.imagine(order("a fox"))
    over = await orders.imagine(order("over"))
    await store.jobs.cancelled(over.job_id, "")
    found = await oversight.queue(who(2, moderator=True))
    assert [(job.id, job.request.prompt) for job, _ in found.jobs] == [(mine.job_id, "a fox")]
    elsewhere = await oversight.queue(replace(who(2, moderator=True), channel_id=77))
    assert [(job.id, job.request.prompt) for job, _ in elsewhere.jobs] == [(mine.job_id, "")]
    everything = await oversight.queue(OWNER)
    assert len(everything.jobs) == 1
    with pytest.raises(Forbidden):
        await oversight.queue(who())


async def test_draining_and_resuming_are_inverses(
    oversight: Oversight, orders: Orders, valve: FakeValve, store: Store
) -> None:
    """Between them nothing is taken, and who orders reads why."""
    await oversight.drain(OWNER, "  a new\ncard comes in ")
    assert valve.held
    with pytest.raises(Closing, match="a new card comes in"):
        await orders.imagine(order())
    assert "a new card" in (await oversight.queue(ADMIN)).paused
    await oversight.resume(OWNER)
    assert not valve.held
    await orders.imagine(order())
    assert (await oversight.queue(ADMIN)).paused == ""
    assert [entry.action for entry in await store.audit.entries(None)] == ["admin resume", "admin drain"]


@pytest.mark.parametrize("act", ["drain", "resume"])
async def test_only_those_who_run_the_bot_pause_it(oversight: Oversight, act: str) -> None:
    with pytest.raises(Forbidden):
        await getattr(oversight, act)(ADMIN)


async def test_the_audit_has_pages_of_this_server(oversight: Oversight, store: Store) -> None:
    """Every entry once, newest first; those of other servers and of the bot are for those who run it."""
    for number in range(40):
        await store.audit.record("test", str(number), guild_id=GUILD if number % 2 else None)
    seen: list[str] = []
    before: int | None = None
    while True:
        page = await oversight.audit(ADMIN, before)
        seen += [entry.subject for entry in page.entries]
        before = page.older
        if before is None:
            break
    assert seen == [str(number) for number in range(39, 0, -2)]
    assert len((await oversight.audit(OWNER, everywhere=True)).entries) == 15
    for by, everywhere in ((who(moderator=True), False), (ADMIN, True)):
        with pytest.raises(Forbidden):
            await oversight.audit(by, everywhere=everywhere)
