"""The scheduler: fair over people, warm adapters first, nobody starves."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Holds, Scheduler, Waiting, WorkerId, WorkerView
from engine.scheduler import MAX_BYPASS
from tests.bench.fairness import LINES, others_p95, warm_share

ONE = WorkerId("one")


def worker(
    name: str = "one", outstanding: int = 0, gpu: frozenset[str] = frozenset(), ram: frozenset[str] = frozenset()
) -> dict[WorkerId, WorkerView]:
    return {WorkerId(name): WorkerView(WorkerId(name), 1, outstanding, Holds("base", "SD 1.5", gpu=gpu, ram=ram))}


def waiting(job: str, member: int = 1, cost: float = 1.0, *adapters: str, model: str = "") -> Waiting:
    return Waiting(job, member, cost, model, frozenset(adapters))


def drain(scheduler: Scheduler) -> list[str]:
    picked = []
    while (choice := scheduler.pick(worker())) is not None:
        picked.append(choice[0].job)
    return picked


def test_one_member_is_served_in_order() -> None:
    """First come, first served among the jobs of one person."""
    scheduler = Scheduler()
    for job in "abc":
        scheduler.add(waiting(job))
    assert drain(scheduler) == ["a", "b", "c"]


def test_who_floods_the_queue_waits_behind_their_own_jobs() -> None:
    """A second member's job passes all but the first of a flood."""
    scheduler = Scheduler()
    for i in range(50):
        scheduler.add(waiting(f"flood{i}", member=1))
    scheduler.add(waiting("late", member=2))
    assert scheduler.place("late") == 2


def test_cost_counts_not_the_number_of_jobs() -> None:
    """One job of ten seconds weighs as much as ten jobs of one."""
    scheduler = Scheduler()
    scheduler.add(waiting("big", 1, 10))
    scheduler.add(waiting("after big", 1, 1))
    for i in range(9):
        scheduler.add(waiting(f"small{i}", 2, 1))
    assert drain(scheduler)[-1] == "after big"


def test_warm_adapters_go_first_among_those_near_the_front() -> None:
    """The job whose adapter is on the device is picked before a cold one."""
    scheduler = Scheduler()
    scheduler.add(waiting("cold", 1, 1.0, "x"))
    scheduler.add(waiting("warm", 2, 1.0, "y"))
    picked = scheduler.pick(worker(gpu=frozenset({"y"})))
    assert picked is not None
    assert picked[0].job == "warm"


def test_no_job_is_overtaken_more_than_four_times() -> None:
    """A cold job goes fifth at the latest, however many warm ones come."""
    scheduler = Scheduler()
    scheduler.add(waiting("cold", 0, 1.0, "x"))
    for i in range(20):
        scheduler.add(waiting(f"warm{i}", i + 1, 1.0, "y"))
    order = []
    while (choice := scheduler.pick(worker(gpu=frozenset({"y"})))) is not None:
        order.append(choice[0].job)
    assert order.index("cold") == 4


def test_a_busy_worker_gets_nothing_and_one_more_than_its_slots_is_allowed() -> None:
    """slots + 1 outstanding: one runs, one is there to be prefetched."""
    scheduler = Scheduler()
    scheduler.add(waiting("a"))
    assert scheduler.pick(worker(outstanding=2)) is None
    assert scheduler.pick(worker(outstanding=1)) is not None


def test_add_and_drop_are_inverses() -> None:
    """A job that is taken back leaves the order and the fairness of the others as if it had never been there."""
    with_it, without = Scheduler(), Scheduler()
    for scheduler in (with_it, without):
        scheduler.add(waiting("a", 1))
    with_it.add(waiting("gone", 1, 100))
    assert with_it.drop("gone")
    assert not with_it.drop("gone")
    for scheduler in (with_it, without):
        scheduler.add(waiting("b", 1))
        scheduler.add(waiting("c", 2))
    assert with_it.order() == without.order()


def test_the_same_job_twice_is_refused() -> None:
    """A duplicate is a defect of the caller, not a second picture."""
    scheduler = Scheduler()
    scheduler.add(waiting("a"))
    with pytest.raises(ValueError, match="already waiting"):
        scheduler.add(waiting("a"))


def test_an_idle_line_owes_nobody_anything() -> None:
    """When nothing waits any more, past work is forgotten: members are equal again, and memory does not grow."""
    scheduler = Scheduler()
    for i in range(10):
        scheduler.add(waiting(str(i), member=1, cost=100))
    drain(scheduler)
    assert scheduler._finish == {}
    scheduler.add(waiting("first", member=1))
    scheduler.add(waiting("second", member=2))
    assert drain(scheduler) == ["first", "second"]


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 20), st.sampled_from("xyz")), min_size=1, max_size=40))
def test_every_job_is_picked_exactly_once(jobs: list[tuple[int, float, str]]) -> None:
    """Nothing is lost and nothing comes twice, in whatever order members and adapters arrive."""
    scheduler = Scheduler()
    for i, (member, cost, adapter) in enumerate(jobs):
        scheduler.add(waiting(str(i), member, cost, adapter))
    assert sorted(drain(scheduler), key=int) == [str(i) for i in range(len(jobs))]


def test_a_flooder_does_not_delay_the_others() -> None:
    """One member queues 200 jobs, 20 others 3 each: the others' last job is done before a third of the flood is."""
    scheduler = Scheduler()
    rng = random.Random(1)
    for i in range(200):
        scheduler.add(waiting(f"flood{i}", 0))
    for i in range(60):
        scheduler.add(waiting(f"other{i}", 1 + i % 20, 1.0, rng.choice("abc")))
    order = drain(scheduler)
    last = max(order.index(f"other{i}") for i in range(60))
    assert sum(job.startswith("flood") for job in order[:last]) < 67


COSTS, EXACT_COSTS = st.floats(0.1, 20), st.integers(1, 80).map(lambda n: n / 4)  # quarters add up without rounding


def arrivals_of(costs: st.SearchStrategy[float]) -> st.SearchStrategy[list[Any]]:
    """Jobs of a member, a cost and a mix, and in between the word "pick"."""
    job = st.tuples(st.integers(0, 4), costs, st.sampled_from("vwxyz"))
    return st.lists(st.one_of(job, st.just("pick")), max_size=60)


@given(arrivals_of(COSTS), st.sets(st.sampled_from("vwxyz")))
def test_whatever_comes_nobody_is_overtaken_more_often_than_that(arrivals: list[Any], warm: set[str]) -> None:
    """Counted over any order of arrivals and picks, with any mixes on the device."""
    scheduler, overtaken = Scheduler(), Counter[str]()
    for number, arrival in enumerate([*arrivals, *["pick"] * len(arrivals)]):
        if arrival != "pick":
            member, cost, adapter = arrival
            scheduler.add(waiting(str(number), member, cost, adapter))
            continue
        ahead = [one.job for one in scheduler.order()]
        choice = scheduler.pick(worker(gpu=frozenset(warm)))
        if choice is not None:
            overtaken.update(ahead[: ahead.index(choice[0].job)])
    assert max(overtaken.values(), default=0) <= MAX_BYPASS
    assert len(scheduler) == 0


@given(arrivals_of(EXACT_COSTS), st.integers(0, 5), EXACT_COSTS)
def test_a_job_taken_back_leaves_no_trace_in_any_line(arrivals: list[Any], member: int, cost: float) -> None:
    """Add and drop together change neither the order nor what comes after."""
    lines = Scheduler(), Scheduler()
    for number, arrival in enumerate(arrivals):
        for scheduler in lines:
            if arrival == "pick":
                scheduler.pick(worker())
            else:
                scheduler.add(waiting(str(number), arrival[0], arrival[1], arrival[2]))
    lines[0].add(waiting("gone", member, cost))
    assert lines[0].drop("gone")
    for scheduler in lines:
        scheduler.add(waiting("after", member, 1.0))
    assert [one.job for one in lines[0].order()] == [one.job for one in lines[1].order()]


def test_a_job_that_is_to_be_alone_waits_for_an_empty_worker_and_holds_up_nobody_for_long() -> None:
    """In its turn nothing else is given out; warmer ones pass it as often as any other job, and it is not lost."""
    scheduler = Scheduler()
    scheduler.add(Waiting("alone", 1, 1.0, "", frozenset({"cold"}), alone=True))
    for i in range(6):
        scheduler.add(waiting(f"warm{i}", 2 + i, 1.0))
    passed = [scheduler.pick(worker(outstanding=1)) for _ in range(6)]
    assert [choice and choice[0].job for choice in passed] == [*(f"warm{i}" for i in range(MAX_BYPASS)), None, None]
    choice = scheduler.pick(worker(outstanding=0))
    assert choice is not None
    assert choice[0].job == "alone"
    assert drain(scheduler) == ["warm4", "warm5"]


def test_the_figures_of_fairness_and_warmth_hold() -> None:
    """As tests.bench.fairness measures them: others wait little behind a flood, and mixes are found warm more often."""
    for seed in range(2):
        waits = {name: others_p95(line, seed)[0] for name, line in LINES.items()}
        assert waits["ours"] < 10
        assert waits["ours"] < waits["first come, any worker"] / 5
        shares = {name: warm_share(line, seed, 40) for name, line in LINES.items()}
        assert shares["ours"] > shares["first come, any worker"] + 0.1
