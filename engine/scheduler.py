"""Who is served next: fair over people, warm adapters first, nobody starves. Pure: no clock, no I/O.

Start-time fair queueing (Goyal, Vin & Cheng 1996) over members: a job starts at max(now, its member's last finish) and
finishes `cost` later, in seconds of work; so who floods the queue waits behind their own jobs. Among the first
`LOOK_AHEAD` jobs in that order the one with the least warm-up goes first, but none is overtaken more than `MAX_BYPASS`
times (shared/reference/jobs_and_scale.md §3 has the measurements).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .types import Holds, WorkerId, WorkerView

LOOK_AHEAD = 16
MAX_BYPASS = 4
MODEL_SWITCH, FROM_DISK, FROM_RAM = 5.0, 0.5, 0.05  # seconds of warm-up, by order of magnitude


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job as the scheduler sees it. `cost` in seconds of work; `adapters` by sha256 or name.

    `alone`: it goes to a worker that has nothing else, so that whatever becomes of the worker is this job's doing.
    """

    job: str
    member: int
    cost: float
    model: str
    adapters: frozenset[str] = frozenset()
    alone: bool = False


@dataclass(slots=True)
class _Queued:
    waiting: Waiting
    start: float
    number: int
    bypassed: int = 0


class Scheduler:
    """add and drop are inverses; pick takes a job out and says which worker is to run it."""

    def __init__(self) -> None:
        self._queue: dict[str, _Queued] = {}
        self._finish: dict[int, float] = {}
        self._now = 0.0
        self._count = 0

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, job: str) -> bool:
        return job in self._queue

    def add(self, waiting: Waiting) -> None:
        """The job waits. Raises ValueError when it already does."""
        if waiting.job in self._queue:
            raise ValueError(f"job {waiting.job} is already waiting")
        start = max(self._now, self._finish.get(waiting.member, 0.0))
        self._finish[waiting.member] = start + waiting.cost
        self._count += 1
        self._queue[waiting.job] = _Queued(waiting, start, self._count)

    def drop(self, job: str) -> bool:
        """The job no longer waits; its member's later jobs move up by its cost. False when it was not waiting."""
        gone = self._queue.pop(job, None)
        if gone is None:
            return False
        member, cost = gone.waiting.member, gone.waiting.cost
        for other in self._queue.values():
            if other.waiting.member == member and other.number > gone.number:
                other.start = max(self._now, other.start - cost)
        self._finish[member] -= cost
        return True

    def order(self) -> list[Waiting]:
        """Everyone waiting, in fair order, warm-up aside."""
        return [queued.waiting for queued in self._in_order()]

    def place(self, job: str) -> int:
        """1 for the next in line, 0 when the job is not waiting."""
        return next((i for i, waiting in enumerate(self.order(), 1) if waiting.job == job), 0)

    def pick(self, workers: Mapping[WorkerId, WorkerView]) -> tuple[Waiting, WorkerId] | None:
        """The next job and its worker; the job no longer waits. None while nothing waits, no worker is free,
        or the next job is to be alone and its worker is not yet.
        """
        free = [worker for worker in workers.values() if worker.outstanding < worker.slots + 1]
        ahead = self._in_order()[:LOOK_AHEAD]
        if not free or not ahead:
            return None
        starved = next((queued for queued in ahead if queued.bypassed >= MAX_BYPASS), None)
        candidates = [starved] if starved else ahead
        _, place, _, chosen, worker = min(
            ((_warm_up(q.waiting, w.holds), i, w.outstanding, q, w) for i, q in enumerate(candidates) for w in free),
            key=lambda choice: choice[:3],
        )
        if chosen.waiting.alone and worker.outstanding:
            return None
        for overtaken in candidates[:place]:
            overtaken.bypassed += 1
        self._now = max(self._now, chosen.start)
        del self._queue[chosen.waiting.job]
        if not self._queue:  # an idle line owes nobody anything, and remembers nobody
            self._now = max(self._finish.values())
            self._finish.clear()
        return chosen.waiting, worker.id

    def _in_order(self) -> list[_Queued]:
        return sorted(self._queue.values(), key=lambda queued: (queued.start, queued.number))


def _warm_up(waiting: Waiting, holds: Holds) -> float:
    if waiting.model and waiting.model != holds.model:
        return MODEL_SWITCH + FROM_DISK * len(waiting.adapters)
    cold = waiting.adapters - holds.gpu
    return FROM_DISK * len(cold - holds.ram) + FROM_RAM * len(cold & holds.ram)
