"""Whatever members, workers, Discord and crashes do in any order, the promises about jobs hold (bar B13).

`python -m tests.faults.machine [--examples 2000] [--steps 50]`: hypothesis makes up the order of events over store,
use-cases and runner, with a fake fleet and a fake poster. After every event: one post a job, quotas conserved and
refunded once, no dangling file, nobody touches another's job, first come first served for one member, a bounded line,
ends that stay ends, and an audit that nobody edited. At last all that was acknowledged has an end that was shown.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from bot.jobs import Runner
from bot.orders import JobUnknown, Order, OrderError, Orders
from bot.orders.values import Bounds, Ticket
from bot.store import Store, open_store
from bot.store.models import EntryRow
from engine import AdapterError, Scheduler, builtin_adapter
from tests.fakes import FakeClock, FakeFleet, FakePoster, order, press, who

from .process import rows, strays

BOUNDS = Bounds(per_member=3, per_guild=6, in_all=6, seconds=60.0)
DRAWN = 1.5  # seconds that the fake says it drew for
MEMBERS = st.sampled_from([1, 2, 3])
NOBODY = 99
DAY = timedelta(hours=24)
OVER = ("posted", "failed", "cancelled", "dead")


class Jobs(RuleBasedStateMachine):
    """One data folder through any number of bots."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.data = self.folder / "data"
        shutil.copytree(self.template, self.data)
        self.poster = FakePoster()
        self.taken: dict[str, Order] = {}  # recorded orders by job id
        self.charges: dict[str, float] = {}
        self.acked: set[str] = set()
        self.ends: dict[str, str] = {}
        self.notes = self.crashes = self.days = 0
        self.entered: dict[tuple[int, bool], list[str]] = defaultdict(list)  # into the line of this bot

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def first_bot(self) -> None:
        self.run(self._start())

    async def _start(self) -> None:
        self.open = AsyncExitStack()
        self.fleet = FakeFleet()
        self.store: Store = await self.open.enter_async_context(open_store(None, self.data, now=self._now))
        clock = FakeClock()
        self.runner = Runner(
            self.store, self.fleet, Scheduler(), self.poster, longest_wait=DAY, clock=clock, sleep=clock.sleep
        )
        self.orders = Orders(self.store, self.runner, BOUNDS)
        self.entered.clear()
        await self.runner.start()
        await self._settle()

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.days * DAY

    async def _settle(self) -> None:
        """Nothing is under way that goes on by itself."""
        async with asyncio.timeout(30):
            quiet = 0
            while quiet < 3:
                await asyncio.sleep(0.001)
                quiet = 0 if self.runner._tasks or self.runner._wake.is_set() else quiet + 1

    # events

    @rule(member=MEMBERS, adapter=st.booleans(), answered=st.sampled_from(["yes", "yes", "yes", "never", "not yet"]))
    def submit(self, member: int, adapter: bool, answered: str) -> None:
        prompt = "a house <lora:mine:1>" if adapter else "a house"
        self._order(order(prompt, by=who(member)), answered)

    def _order(self, an_order: Order, answered: str) -> None:
        try:
            ticket: Ticket = self.run(self.orders.imagine(an_order))
        except (OrderError, AdapterError):
            return
        self.taken[ticket.job_id] = an_order
        self.charges[ticket.job_id] = next(r["charge"] for r in rows(self.data) if r["id"] == ticket.job_id)
        if answered == "yes":
            self._ack(ticket.job_id)
        elif answered == "never":
            self.run(self.orders.unanswered(ticket.job_id))

    def _ack(self, job_id: str) -> None:
        state = self._row(job_id)["state"]
        if state == "received":
            an_order = self.taken[job_id]
            self.entered[an_order.who.member_id, "lora" in an_order.request.prompt].append(job_id)
            self.acked.add(job_id)
        self.run(self.orders.acked(job_id, 1, 2))
        self.run(self._settle())

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        self._ack(data.draw(st.sampled_from(sorted(self.taken))))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Discord sends the interaction once more."""
        job_id = data.draw(st.sampled_from(sorted(self.taken)))
        with suppress(OrderError, AdapterError):
            assert self.run(self.orders.imagine(self.taken[job_id])).job_id == job_id

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), deed=st.sampled_from(["cancel", "delete", "again"]), stranger=st.booleans())
    def press(self, data: st.DataObject, deed: str, stranger: bool) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.taken)))
        member = NOBODY if stranger else self.taken[job_id].who.member_id
        before = self._row(job_id)
        try:
            if deed == "again":
                self._again(job_id, member)
            else:
                self.run(getattr(self.orders, deed)(job_id, who(member)))
        except JobUnknown:
            assert stranger
            assert self._row(job_id) == before
        except (OrderError, AdapterError):
            assert not stranger
        else:
            assert not stranger, f"a stranger may {deed}"
        self.run(self._settle())

    def _again(self, job_id: str, member: int) -> None:
        pressed = press(by=who(member))
        ticket = self.run(self.orders.again(job_id, pressed))
        self.taken[ticket.job_id] = pressed.order(self.taken[job_id].request, job_id)
        self.charges[ticket.job_id] = self._row(ticket.job_id)["charge"]
        self._ack(ticket.job_id)

    @precondition(lambda self: self.fleet._out)
    @rule(data=st.data(), how=st.sampled_from(["finish", "finish", "finish", "fail", "lose"]))
    def worker(self, data: st.DataObject, how: str) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.fleet._out)))
        self.run(getattr(self.fleet, how)(job_id))
        self.run(self._settle())

    @rule()
    def a_day_passes(self) -> None:
        """Whoever still waits is told that it was too long."""
        self.days += 1
        late = [row["id"] for row in rows(self.data) if row["state"] in ("acked", "queued")]
        self.run(self.runner.tidy())
        self.run(self._settle())
        assert {self._row(job_id)["state"] for job_id in late} <= {"failed"}

    @precondition(lambda self: self.fleet._out)
    @rule(data=st.data())
    def event_is_lost(self, data: st.DataObject) -> None:
        """The worker is done with an attempt, and nobody hears of it."""
        job_id = data.draw(st.sampled_from(sorted(self.fleet._out)))
        del self.fleet._out[job_id], self.runner._runs[job_id]
        self.run(self.runner.tidy())
        self.run(self._settle())

    @rule(outages=st.integers(1, 3))
    def discord_fails(self, outages: int) -> None:
        self.poster.outages = outages

    @rule(gone=st.booleans())
    def channel(self, gone: bool) -> None:
        self.poster.gone = gone

    @rule()
    def adapter_is_removed(self) -> None:
        async def removed() -> None:
            async with self.store.connections.write() as session:
                await session.execute(delete(EntryRow).where(EntryRow.name == "mine"))

        self.run(removed())

    @rule()
    def adapter_is_added(self) -> None:
        self.run(self.store.catalog.add(builtin_adapter("ink"), "mine", visibility="everyone"))

    @rule()
    def admin_does_something(self) -> None:
        self.notes += 1
        self.run(self.store.audit.record("test", f"number {self.notes}", guild_id=None))

    @rule()
    def restart(self) -> None:
        self.run(self.runner.aclose())
        self.run(self.open.aclose())
        self.run(self._start())

    @rule(unanswered=st.booleans())
    def crash(self, unanswered: bool) -> None:
        """All that ran is gone; Discord may know of no answer to what was only received."""
        self.crashes += 1
        received = {job_id for job_id in self.taken if self._row(job_id)["state"] == "received"}
        self.run(self._kill())
        self.poster.unanswered = unanswered
        self.run(self._start())
        self.acked |= set() if unanswered else received

    async def _kill(self) -> None:
        of_the_runner = (*self.runner._tasks, self.runner._serving, self.runner._tidying)
        tasks = [task for task in of_the_runner if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.open.aclose()

    # promises

    @invariant()
    def all_promises_hold(self) -> None:
        if not hasattr(self, "runner"):
            return
        there = {row["id"]: row for row in rows(self.data)}
        assert set(there) == set(self.taken), "one row an interaction"
        self._posts(there)
        self._quotas(there)
        self._bounds(there)
        self._ends(there)
        self._order_of_members()
        assert not strays(self.data)
        assert self.run(self.store.audit.count()) == self.notes
        assert self.run(self.store.audit.first_edited()) is None

    def _posts(self, there: dict[str, dict[str, Any]]) -> None:
        calls = Counter(job.id for job, _ in self.poster.posts)
        assert all(nonce == f"loom-{job.id}" for job, nonce in self.poster.posts), "one nonce a job"
        assert all(number <= 1 + self.crashes for number in calls.values()), "a post is repeated only after a crash"
        assert all(calls[job_id] for job_id, row in there.items() if row["state"] == "posted")

    def _quotas(self, there: dict[str, dict[str, Any]]) -> None:
        for job_id, row in there.items():
            drawn = row["state"] in ("rendered", "posting", "posted")
            nothing = row["state"] in ("failed", "cancelled", "dead")
            expected = 0.0 if nothing else DRAWN if drawn else self.charges[job_id]
            assert row["charge"] == expected, f"{row['state']}: {row['charge']} instead of {expected}"

    def _bounds(self, there: dict[str, dict[str, Any]]) -> None:
        open_jobs = Counter(row["member_id"] for row in there.values() if row["state"] not in OVER)
        assert max(open_jobs.values(), default=0) <= BOUNDS.per_member
        assert open_jobs.total() <= (BOUNDS.in_all or 0)

    def _ends(self, there: dict[str, dict[str, Any]]) -> None:
        for job_id, state in self.ends.items():
            assert there[job_id]["state"] == state, "an end is an end"
        self.ends = {job_id: row["state"] for job_id, row in there.items() if row["state"] in OVER}

    def _order_of_members(self) -> None:
        """Among jobs of one member with the same mix; a warm mix may pass a cold one."""
        begun = list(dict.fromkeys(attempt.job for attempt in self.fleet.attempts if attempt.attempt == 1))
        for line in self.entered.values():
            mine = [job_id for job_id in begun if job_id in line]
            assert mine == [job_id for job_id in line if job_id in mine], "first come, first served"

    def _row(self, job_id: str) -> dict[str, Any]:
        return next(row for row in rows(self.data) if row["id"] == job_id)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.poster.gone, self.poster.outages = False, 0
            for _ in range(60):
                if not self.fleet._out:
                    break
                self.run(self.fleet.finish(min(self.fleet._out)))
                self.run(self._settle())
            there = {row["id"]: row for row in rows(self.data)}
            for job_id in self.acked:
                assert there[job_id]["state"] in OVER, f"{job_id} has no end"
                assert there[job_id]["told"], f"nobody was told how {job_id} ended"
            self.run(self.runner.aclose())
            self.run(self.open.aclose())
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def try_out(examples: int, steps: int) -> None:
    """Raises where a promise is broken, with the shortest order of events that breaks it."""

    async def fill(data: Path) -> None:
        async with open_store(None, data) as store:
            await store.catalog.add(builtin_adapter("ink"), "mine", visibility="everyone")

    with tempfile.TemporaryDirectory() as folder:
        Jobs.template = Path(folder) / "template"
        asyncio.run(fill(Jobs.template))
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        how = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks)
        run_state_machine_as_test(Jobs, settings=settings(how, database=None))  # type: ignore[arg-type]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=50)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)  # what is provoked here fills pages
    try_out(asked.examples, asked.steps)
    print(f"{asked.examples} orders of at most {asked.steps} events: every promise held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
