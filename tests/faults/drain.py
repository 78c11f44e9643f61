"""SIGTERM at random moments under load (bar B19).

`python -m tests.faults.drain [--ends 100] [--seed 0]`: each time the bot ends within 60 s with status 0, no job is
blamed for it, nothing is lost and nothing shown twice. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.wire.server import Server

from .crowd import Crowd, lossy, report
from .process import process, rows

MOST = 60.0  # seconds from SIGTERM to the end


@dataclass
class Ended:
    found: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    tracebacks: Counter[str] = field(default_factory=Counter)  # in the log, by what they end with


async def end(folder: Path, ends: int, seed: int, *, life: float = 1.5, drawing: float = 1.0) -> Ended:
    """The bot is ended so often, each time within `life` seconds, and begun again; at last all is shown."""
    rng, seen = random.Random(seed), Ended()
    async with Server() as server:
        crowd, bot = Crowd(server, rng), process(server, folder)
        server.http.weather = lossy(rng, 0.05)
        async with crowd.ordering(0.15):
            for _ in range(ends):
                for session in server.gateway.sessions:
                    session.resumable = False
                await bot.start(30.0, FAULTS_DRAWING=str(rng.choice([0.05, drawing])))
                await asyncio.sleep(life * rng.random())
                begun = time.monotonic()
                seen.statuses[await bot.end(signal.SIGTERM, MOST + 10)] += 1
                seen.seconds.append(time.monotonic() - begun)
                await asyncio.to_thread(rows, bot.data)
        await bot.start(30.0, FAULTS_DRAWING="0.05")
        await crowd.settled(bot.data, 120.0 + len(crowd.orders) / 2)
        await bot.end(signal.SIGTERM, MOST + 10)
        seen.found = crowd.verdict(bot.data)
        seen.found["breaches of Discord's rules"] = len(server.take_violations())
        seen.tracebacks = Counter(re.findall(r"^Traceback .*\n(?:^[ |+].*\n|^\n)*(.*)$", bot.log, re.MULTILINE))
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ends", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(end(Path(folder), asked.ends, asked.seed))
    well = report(f"{asked.ends} times SIGTERM, seed {asked.seed}", seen.found)
    print(f"  ended after {max(seen.seconds):.1f} s at most, with status {dict(seen.statuses)}")
    print(f"  {seen.tracebacks.total()} tracebacks in the log")
    for line, count in seen.tracebacks.most_common():
        print(f"    {count} x {line}")
    good = well and max(seen.seconds) <= MOST and set(seen.statuses) == {0} and not seen.found["ended as failed"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
