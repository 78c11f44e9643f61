"""Many members at the same moment (bar B7): `python -m tests.faults.burst [--members 1000] [--within 1.0]`.

Everyone is answered, 99 of 100 within 2 s and the last within 2.8 s; as many orders are taken as the bound allows, none
of which is drawn before all are answered, and the rest is refused politely; every order that was taken is posted; the
memory stays as it was. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.wire.server import Server
from tests.wire.world import User

from .crowd import KEPT, Crowd
from .process import process

MIDDLE, LAST = 2.0, 2.8  # seconds for 99 of 100, and for all
GROWTH = 64.0  # MB
BOUND = 200  # orders that may be open


@dataclass
class Burst:
    answers: list[float]  # seconds, sorted
    unanswered: int
    taken: int
    refused: int
    broken: int
    grown: float  # MB, from before the burst to the end of the work
    worked: float  # seconds of processor time until all were answered

    @property
    def p99(self) -> float:
        return self.answers[int(len(self.answers) * 0.99) - 1]


async def burst(folder: Path, members: int, within: float, bound: int = BOUND) -> Burst:
    """So many members order within so many seconds, each of them once, where `bound` orders may be open."""
    async with Server() as server:
        crowd, bot = Crowd(server, random.Random(0)), process(server, folder, bound=bound)
        held = folder / "held"
        await bot.start(30.0, FAULTS_DRAWING="0.02", FAULTS_HELD=str(held))
        for _ in range(20):  # what is only once so slow
            await server.acknowledged(await crowd.order())
        await crowd.settled(bot.data, 60.0)
        held.touch()
        server.http.strict = False  # its checks take longer than the bot's work
        memory, begun, idle = _megabytes(bot.pid), len(crowd.orders), _worked(bot.pid)
        crowd.members = [User(f"member{i}") for i in range(members)]
        for number, member in enumerate(crowd.members):
            crowd.orders.append(await server.slash("imagine", user=member, prompt=f"a red flower, {number}"))
            await asyncio.sleep(within / members if number % 10 == 0 else 0)
        asked = crowd.orders[begun:]
        await asyncio.sleep(LAST + 1.5)
        worked = _worked(bot.pid) - idle
        answered = [one for one in asked if one.answer is not None]
        held.unlink()
        await crowd.settled(bot.data, 120.0)
        grown = _megabytes(bot.pid) - memory
        await bot.end(signal.SIGTERM, 70.0)
        found = crowd.verdict(bot.data)
        taken = sum(one in crowd.acknowledged_set() for one in asked)
        return Burst(
            sorted(one.answered_after or 0.0 for one in answered),
            len(asked) - len(answered),
            taken,
            sum("most" in text for one in answered for text in (_words(one),)),
            sum(found[name] for name in KEPT),
            grown,
            worked,
        )


def _words(one) -> str:  # type: ignore[no-untyped-def]
    return "" if not one.messages else one.messages[-1].text


def _worked(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _megabytes(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--within", type=float, default=1.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(burst(Path(folder), asked.members, asked.within))
    print(f"{asked.members} members within {asked.within:g} s")
    print(f"  answered: {len(seen.answers)}, half of them within {seen.answers[len(seen.answers) // 2]:.2f} s,")
    print(f"  99 of 100 within {seen.p99:.2f} s, the last after {seen.answers[-1]:.2f} s; {seen.unanswered} never")
    print(f"  taken: {seen.taken}, refused: {seen.refused}; promises broken: {seen.broken}")
    print(f"  memory grew by {seen.grown:.1f} MB; {seen.worked:.2f} s of processor time until {LAST + 1.5:.1f} s after")
    well = not (seen.unanswered or seen.broken) and seen.p99 < MIDDLE and seen.answers[-1] < LAST
    taken = min(BOUND, asked.members)
    return 0 if well and (seen.taken, seen.refused) == (taken, asked.members - taken) and seen.grown < GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
