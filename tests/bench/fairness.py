"""Who waits how long, and what is drawn warm: `python -m tests.bench.fairness`. The scheduler alone, in simulated time.

First one member orders 200 jobs and 20 others order 60 while they are drawn: the wait of the others, beside first come,
first served. Then 600 jobs of as many mixes as said, Zipf 1.1, always 40 waiting, on 2 workers with room for 8 mixes
each: the share that found its mix warm, beside a worker chosen by chance. Means over 5 seeds.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean

from engine import Holds, Scheduler, Waiting, WorkerId, WorkerView

DRAWING, LOADING = 1.0, 0.5  # seconds
SEEDS = range(5)
Pick = Callable[[dict[WorkerId, WorkerView]], tuple[Waiting, WorkerId] | None]


@dataclass
class Worker:
    """Draws one job after the other and remembers the last mixes."""

    id: WorkerId
    room: int
    free_at: float = 0.0
    mixes: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def view(self, now: float) -> WorkerView:
        busy = 2 if self.free_at > now else 0
        return WorkerView(self.id, 1, busy, Holds("base", "SD 1.5", gpu=frozenset(self.mixes)))

    def draw(self, waiting: Waiting, now: float) -> bool:
        """Begins the job; True when its mix was there."""
        (mix,) = waiting.adapters
        warm = mix in self.mixes
        self.mixes[mix] = None
        self.mixes.move_to_end(mix)
        if len(self.mixes) > self.room:
            self.mixes.popitem(last=False)
        self.free_at = now + waiting.cost + (0.0 if warm else LOADING)
        return warm


class FirstCome:
    """The next job goes to any free worker."""

    def __init__(self, rng: random.Random) -> None:
        self._queue: list[Waiting] = []
        self._random = rng

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, waiting: Waiting) -> None:
        self._queue.append(waiting)

    def pick(self, workers: dict[WorkerId, WorkerView]) -> tuple[Waiting, WorkerId] | None:
        free = [worker.id for worker in workers.values() if worker.outstanding < 2]
        return (self._queue.pop(0), self._random.choice(free)) if free and self._queue else None


def run(
    line: Scheduler | FirstCome, arrivals: list[tuple[float, Waiting]], workers: list[Worker], backlog: int = 0
) -> tuple[dict[str, float], float, float]:
    """Seconds from order to begin by job, the share drawn warm, and when the last was done.

    `backlog`: instead of at its time, a job comes as soon as fewer wait.
    """
    waits: dict[str, float] = {}
    came: dict[str, float] = {}
    now, warm, left = 0.0, 0, list(arrivals)
    while left or len(line):
        while left and (len(line) < backlog if backlog else left[0][0] <= now):
            at, waiting = left.pop(0)
            came[waiting.job] = now if backlog else at
            line.add(waiting)
        picked = line.pick({worker.id: worker.view(now) for worker in workers})
        if picked is not None:
            waiting, chosen = picked
            warm += next(worker for worker in workers if worker.id == chosen).draw(waiting, now)
            waits[waiting.job] = now - came[waiting.job]
            continue
        moments = [worker.free_at for worker in workers if worker.free_at > now]
        moments += [left[0][0]] if left and not backlog and left[0][0] > now else []
        now = min(moments)
    return waits, warm / len(waits), max(worker.free_at for worker in workers)


def workers(number: int, room: int) -> list[Worker]:
    return [Worker(WorkerId(f"worker-{i}"), room) for i in range(number)]


def flood(seed: int) -> list[tuple[float, Waiting]]:
    """200 jobs at once by member 0, 60 by 20 others within two minutes; of 12 mixes."""
    rng = random.Random(seed)
    mixes = [f"mix{i}" for i in range(12)]
    flooded = [(0.0, Waiting(f"flood{i}", 0, DRAWING, "base", frozenset({rng.choice(mixes)}))) for i in range(200)]
    others = [
        (rng.uniform(0.1, 120.0), Waiting(f"other{i}", 1 + i % 20, DRAWING, "base", frozenset({rng.choice(mixes)})))
        for i in range(60)
    ]
    return sorted([*flooded, *others], key=lambda arrival: arrival[0])


def zipf(seed: int, mixes: int, jobs: int = 600) -> list[tuple[float, Waiting]]:
    rng = random.Random(seed)
    weights = [1 / (rank + 1) ** 1.1 for rank in range(mixes)]
    chosen = rng.choices(range(mixes), weights, k=jobs)
    return [
        (0.0, Waiting(f"job{i}", i % 30, DRAWING, "base", frozenset({f"mix{mix}"}))) for i, mix in enumerate(chosen)
    ]


def others_p95(line: Callable[[random.Random], Scheduler | FirstCome], seed: int) -> tuple[float, float, float]:
    """The 95th percentile of the others' waits, the share drawn warm, and the time of the whole."""
    waits, warm, end = run(line(random.Random(seed)), flood(seed), workers(2, 8))
    others = sorted(wait for job, wait in waits.items() if job.startswith("other"))
    return others[int(len(others) * 0.95)], warm, end


def warm_share(line: Callable[[random.Random], Scheduler | FirstCome], seed: int, mixes: int) -> float:
    return run(line(random.Random(seed)), zipf(seed, mixes), workers(2, 8), backlog=40)[1]


LINES: dict[str, Callable[[random.Random], Scheduler | FirstCome]] = {
    "first come, any worker": FirstCome,
    "ours": lambda rng: Scheduler(),
}


def main() -> None:
    print("one member orders 200 jobs, 20 others 60; 2 workers")
    for name, line in LINES.items():
        p95, warm, end = (mean(values) for values in zip(*(others_p95(line, seed) for seed in SEEDS), strict=True))
        print(f"  {name:24} the others' p95 wait {p95:6.1f} s, drawn warm {warm:.2f}, all done after {end:.0f} s")
    print("600 jobs, 40 always waiting; 2 workers with room for 8 mixes: share drawn warm")
    for mixes in (12, 40, 200):
        shares = {name: mean(warm_share(line, seed, mixes) for seed in SEEDS) for name, line in LINES.items()}
        print(f"  {mixes:3} mixes: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
