"""Faults of the engine, one job after another, under all that is real: rows, runner, GPU thread, renderer and model.

`python -m tests.faults.engine [--nightly] [--seed N]`: 36 scripted faults, or 200. Each hits one job, the victim; the
job after it meets none. Exits 1 where a bar (B14) is missed: every victim has one outcome that its member sees, and the
right one; the next picture is to the byte what an engine draws that never failed; the base model's hash is as it was;
a hang is found in time. A fault that only a new process mends is answered as the bot does: all is closed and opened.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.jobs import Runner
from bot.jobs.runner import INTERRUPTED
from bot.orders import Job, JobState
from bot.store import Store, open_store
from engine import AdapterUse, EngineConfig, LocalFleet, Request, Scheduler
from engine.errors import DEFECT
from engine.renderer import TOO_LARGE, Renderer
from tests.fakes import FakePoster, order, who

from . import doors
from .doors import Act, Door, Hang, Slow, digest

STALL = 12.0  # seconds without a step that count as hanging here, also where tests share the cores; 30 on a real card
FOUND_WITHIN, READY_WITHIN = 5.0, 90.0  # seconds: after STALL, and until a new process draws
PLAIN = Request(prompt="a red flower", seed=7, steps=5, width=64, height=64)
CONFIG = EngineConfig(preview_every=0, stall_seconds=STALL, device="cpu")


@dataclass(frozen=True)
class Kind:
    """A fault, and what becomes of its victim. `by`: only with this adapter in the weights, which is then put away."""

    name: str
    act: Callable[[], Act]
    parts: tuple[str, ...]
    end: JobState
    words: str = ""
    times: int = 1 << 30
    by: str = ""
    restarts: int = 0
    same: bool = False  # the victim's picture is as if nothing had happened


ANYWHERE = ("text_encoder", "unet", "vae", "bank")
KINDS = (
    Kind("memory, once", lambda: doors.out_of_memory, ANYWHERE, JobState.POSTED, times=1),
    Kind("memory, always", lambda: doors.out_of_memory, ("unet", "vae", "bank"), JobState.FAILED, TOO_LARGE),
    Kind("no numbers", lambda: doors.not_a_number, ("text_encoder", "unet", "vae"), JobState.FAILED, "came to nothing"),
    Kind("no numbers, by an adapter", lambda: doors.not_a_number, ("unet",), JobState.FAILED, "ink cannot", by="ink"),
    Kind("black", lambda: doors.black, ("vae",), JobState.FAILED, "flat colour"),
    Kind("defect", lambda: doors.defect, ANYWHERE, JobState.FAILED, DEFECT),
    Kind("hang", Hang, ("unet",), JobState.POSTED, times=1, restarts=1, same=True),
    Kind("sticky", lambda: doors.sticky, ANYWHERE, JobState.POSTED, times=1, restarts=1, same=True),
    Kind("sticky, twice", lambda: doors.sticky, ANYWHERE, JobState.FAILED, INTERRUPTED, times=1, restarts=2),
    Kind("exit", lambda: doors.leave, ANYWHERE, JobState.POSTED, times=1, restarts=1, same=True),
    Kind("slow adapter", lambda: Slow(0.5), ("unet",), JobState.POSTED, by="light", same=True),
)


@dataclass
class Figures:
    faults: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    found: list[float] = field(default_factory=list)  # seconds from the start of a hang
    ready: list[float] = field(default_factory=list)  # seconds from the end of one process to the next one's start


class Process:
    """The bot without Discord, from its start to its end; what it draws with is in reach."""

    def __init__(self, data: Path, poster: FakePoster, quarantined: Counter[str]) -> None:
        self._data, self._poster, self._quarantined = data, poster, quarantined
        self.prepared: Callable[[], None] = lambda: None  # called before the first job

    async def __aenter__(self) -> Process:
        self._opened = open_store(None, self._data)
        self.store: Store = await self._opened.__aenter__()
        await self.store.adopt_builtins()
        self.fleet = LocalFleet(CONFIG, make=self._make)
        self.runner = Runner(self.store, self.fleet, Scheduler(), self._poster, quarantine=self._put_away)
        await self.runner.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.runner.aclose()
        await self._opened.__aexit__(None, None, None)

    def _make(self, config: EngineConfig) -> Renderer:
        self.renderer = Renderer(config)
        self.doors = {part: Door(self.renderer, part) for part in ANYWHERE}
        self.prepared()
        return self.renderer

    async def _put_away(self, sha256: str, reason: str, *, by_hand: bool) -> bool:
        """What is proven is counted. Who only fell under suspicion too often is let out at once, as an owner may."""
        if "in 24 hours" in reason:
            await self.store.running.forgive(sha256)
        else:
            self._quarantined[sha256] += 1
        return True

    async def ordered(self, request: Request, member: int) -> str:
        job = await self.store.jobs.record(replace(order(by=who(member)), request=request))
        await self.runner.submit(job.id)
        return job.id

    async def ended(self, job_id: str) -> Job | None:
        """The job at its end, once that is told; None where the engine broke before."""
        broken = asyncio.create_task(self.runner.broken())
        try:
            while not broken.done():
                job = await self.store.jobs.get(job_id)
                if job is not None and job.state.final and await self.store.jobs.is_told(job_id):
                    return job
                await asyncio.sleep(0.01)
            return None
        finally:
            broken.cancel()


class Script:
    """Faults in a random order, every kind as often as every other."""

    def __init__(self, data: Path, seed: int) -> None:
        self._data, self._rng = data, random.Random(seed)
        self._poster = FakePoster()
        self._clean = Renderer(CONFIG)  # never fails
        self._plain = self._reference(PLAIN)
        self._hash = digest(self._clean)
        self._hashes = {name: self._clean._adapter(AdapterUse(name)).info.sha256 for name in ("ink", "light", "neon")}
        self._armed: list[Door] = []
        self.figures = Figures()

    async def run(self, count: int) -> Figures:
        kinds = [KINDS[i % len(KINDS)] for i in range(count)]
        self._rng.shuffle(kinds)
        self._process = await self._process_of().__aenter__()
        await self._next("at the start")
        for number, kind in enumerate(kinds):
            label = f"fault {number} ({kind.name})"
            await self._victim(label, kind, number)
            await self._next(label)
        await self._process.__aexit__()
        return self.figures

    async def _victim(self, label: str, kind: Kind, number: int) -> None:
        mixed = "bank" in kind.parts
        names = [name for name in self._hashes if mixed or self._rng.random() < 0.5 or name == kind.by]
        uses = tuple(AdapterUse(name, self._rng.choice((0.5, 1.0)), sha256=self._hashes[name]) for name in names)
        count = self._rng.randint(1, 2)
        request = Request(
            prompt=f"victim {number} of {kind.name}",
            seed=number,
            steps=5,
            width=64,
            height=64,
            count=count,
            adapters=uses,
        )
        if kind.by:  # alone at what the trials compare it with
            request = Request(prompt="a red flower", seed=number, steps=5, width=64, height=64, adapters=uses)
        before = self.figures.quarantined.copy()
        act = kind.act()
        self._arm(kind, act)
        job_id = await self._process.ordered(request, member=number % 7)
        job, restarts = await self._process.ended(job_id), 0
        while job is None and restarts < 3:
            restarts += 1
            if isinstance(act, Hang):
                self.figures.found.append(time.monotonic() - act.since)
                self._check(self.figures.found[-1] < STALL + FOUND_WITHIN, f"{label}: found late")
            await self._restart(kind, act, again=restarts < kind.restarts)
            job = await self._process.ended(job_id)
        for door in self._process.doors.values():
            door.disarm()
        self._check(all(door.hits for door in self._armed), f"{label}: it never came to the fault")
        self._armed.clear()
        self.figures.faults[kind.name] += 1
        self._check(restarts == kind.restarts, f"{label}: {restarts} restarts")
        if job is None:
            self._check(False, f"{label}: no outcome")
            return
        self.figures.outcomes[job.state] += 1
        self._judge(label, kind, job, request, self.figures.quarantined - before)

    def _judge(self, label: str, kind: Kind, job: Job, request: Request, put_away: Counter[str]) -> None:
        told = sum(one.id == job.id for one, _ in self._poster.posts) + sum(
            one.id == job.id for one in self._poster.closed
        )
        self._check(told == 1, f"{label}: told {told} times")
        self._check(job.state is kind.end, f"{label}: {job.state}, {job.sentence}")
        self._check(kind.words in job.sentence, f"{label}: {job.sentence!r}")
        wanted = {self._hashes[kind.by]} if kind.by else set()
        self._check(put_away.keys() == wanted, f"{label}: put away {dict(put_away)}")
        if kind.same and job.state is JobState.POSTED:
            drawn = [picture.path.read_bytes() for picture in job.pictures]
            self._check(drawn == self._reference(request), f"{label}: the victim's picture is another one")

    async def _next(self, label: str) -> None:
        """The job after a fault, and the model that drew it."""
        job = await self._process.ended(await self._process.ordered(PLAIN, member=99))
        drawn = [] if job is None else [picture.path.read_bytes() for picture in job.pictures]
        self._check(drawn == self._plain, f"{label}: the next picture is another one")
        self._check(digest(self._process.renderer) == self._hash, f"{label}: the base model is another one")

    def _arm(self, kind: Kind, act: Act) -> None:
        part = self._rng.choice(kind.parts)
        later = {"unet": self._rng.randint(1, 4), "bank": self._rng.randint(0, 150)}.get(part, 0)
        sha256 = self._hashes[kind.by] if kind.by else ""
        door = self._process.doors[part]
        door.arm(act, skip=0 if kind.by else later, times=kind.times, sha256=sha256)
        self._armed.append(door)

    async def _restart(self, kind: Kind, act: Act, *, again: bool) -> None:
        """What the supervisor does when the bot has left with status 75."""
        began = time.monotonic()
        await self._process.__aexit__()
        if isinstance(act, Hang):
            act.free = True  # a real process would be gone
        following = self._process_of()
        if again:
            following.prepared = lambda: self._arm(kind, act)
        self._process = following
        await following.__aenter__()
        self.figures.ready.append(time.monotonic() - began)
        self._check(self.figures.ready[-1] < READY_WITHIN, "ready late")

    def _process_of(self) -> Process:
        return Process(self._data, self._poster, self.figures.quarantined)

    def _reference(self, request: Request) -> list[bytes]:
        return [one.png for one in self._clean.run(request, lambda progress: None, lambda: False).pictures]

    def _check(self, good: bool, words: str) -> None:
        if not good:
            self.figures.wrong.append(words)
            print(f"  WRONG {words}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nightly", action="store_true", help="200 faults instead of 36")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(Script(Path(folder), args.seed).run(200 if args.nightly else 36))
    print(f"{figures.faults.total()} faults, seed {args.seed}, {time.monotonic() - began:.0f} s")
    for name, count in sorted(figures.faults.items()):
        print(f"  {count:>4} {name}")
    print("outcomes: " + ", ".join(f"{count} {state}" for state, count in figures.outcomes.items()))
    print(f"hangs found after {min(figures.found):.1f} to {max(figures.found):.1f} s (no step for {STALL:g} s)")
    print(f"{len(figures.ready)} restarts, drawing again after {max(figures.ready):.1f} s at most")
    print(f"{len(figures.wrong)} wrong")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
