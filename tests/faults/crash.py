"""SIGKILL at random and at named moments, under load, with a Discord that loses a fifth of its replies (bar B6).

`python -m tests.faults.crash [--kills 200] [--seed 0]`: nothing acknowledged is lost, nothing is shown twice, at
least half of it is posted (what was running at two kills is given up), no file is left over, the database is whole
after each kill, and the bot is connected again within 5 s. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.wire.server import Server

from .crowd import Crowd, lossy, report
from .process import KINDS, SIDES, process, rows

SOON = 5.0  # seconds
CHANNELS = 24  # Discord's limit of a message a second each then leaves room for all that is ordered


@dataclass
class Killed:
    found: Counter[str] = field(default_factory=Counter)
    starts: list[float] = field(default_factory=list)  # seconds to be connected again
    moments: Counter[str] = field(default_factory=Counter)


async def kill(folder: Path, kills: int, seed: int, *, life: float = 1.5, every: float = 0.08) -> Killed:
    """The bot is killed so often, each time within `life` seconds, and then left alone until all is shown."""
    rng, seen = random.Random(seed), Killed()
    async with Server() as server:
        server.token_life = 4.0  # so that many jobs outlive their token, and end in the channel
        server.http.strict = False  # a channel's history takes it a second to check, and the bot waits for it
        crowd, bot = Crowd(server, rng, channels=CHANNELS), process(server, folder)
        server.http.weather = lossy(rng, 0.2)
        points = [f"{kind}:{side}" for kind in KINDS for side in SIDES]
        async with crowd.ordering(every):
            for number in range(kills):
                point = points[number // 2 % len(points)] if number % 2 else ""
                more = {"FAULTS_DIES": f"{point}:{rng.randint(1, 25)}"} if point else {}
                await _start(bot, server, seen, **more)
                fell = await bot.wait(life * rng.random() if not point else 3 * life)
                seen.moments[point if fell is not None else "at random"] += 1
                await bot.end(signal.SIGKILL)
                await asyncio.to_thread(rows, bot.data)  # whole
        await _start(bot, server, seen)
        await crowd.settled(bot.data, 120.0 + len(crowd.orders) / 2)
        await bot.end(signal.SIGTERM, 70.0)
        seen.found = crowd.verdict(bot.data)
        seen.found["breaches of Discord's rules"] = len(server.take_violations())
    return seen


async def _start(bot, server: Server, seen: Killed, **more: str) -> None:  # type: ignore[no-untyped-def]
    for session in server.gateway.sessions:
        session.resumable = False  # nobody comes back to them
    begun = time.monotonic()
    try:
        await bot.start(30.0, FAULTS_DRAWING="0.08", **more)
    except AssertionError:
        if not more:
            raise
        return  # it fell dead before it was connected
    seen.starts.append(time.monotonic() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        seen = asyncio.run(kill(Path(folder), asked.kills, asked.seed))
    well = report(f"{asked.kills} kills, seed {asked.seed}, {time.monotonic() - begun:.0f} s", seen.found)
    slowest, middle = max(seen.starts), sorted(seen.starts)[len(seen.starts) // 2]
    print(f"  connected again after {middle:.2f} s (median), {slowest:.2f} s at most")
    print(f"  killed: {dict(seen.moments)}")
    posted = seen.found["ended as posted"] >= seen.found["acknowledged"] / 2 > 0
    return 0 if well and posted and slowest < SOON else 1


if __name__ == "__main__":
    sys.exit(main())
