"""Hours of mixed load with faults (bar B18): `python -m tests.faults.soak [--hours 6] [--every 0.5]`.

Members order about every `--every` seconds, two replies of a hundred are lost, and the connection is cut now and then.
Once an hour memory, open files, the lag of the event loop and the journal are told. At the end: memory grew by
less than 5 MB an hour after the first, as many files are open, the loop is never long late, and no error is logged.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from tests.wire.server import Server

from .crowd import Crowd, lossy, report
from .process import process

SLOPE, LATE = 5.0, 0.05  # MB an hour; seconds that 99 of 100 looks at the loop are late at most


@dataclass
class Look:
    at: float  # hours
    memory: float  # MB
    files: int
    journal: float  # MB


async def soak(folder: Path, hours: float, every: float, looks: int = 6) -> bool:
    rng = random.Random(0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with Server() as server:
        crowd, bot = Crowd(server, rng, members=40), process(server, folder, port=port)
        server.http.weather = lossy(rng, 0.02)
        await bot.start(30.0, FAULTS_DRAWING="0.3")
        begun, seen = time.monotonic(), list[Look]()
        async with crowd.ordering(every):
            for number in range(looks + 1):
                while time.monotonic() - begun < hours * 3600 * number / looks:
                    await asyncio.sleep(min(60.0, hours * 3600 / looks))
                    if rng.random() < 0.1:
                        server.gateway.drop()
                seen.append(_look(bot.pid, bot.data, (time.monotonic() - begun) / 3600))
                print(f"  {seen[-1]}", flush=True)
        late = await _late(port)
        await crowd.settled(bot.data, 120.0)
        await bot.end(signal.SIGTERM, 70.0)
        well = report(f"{hours:g} hours", crowd.verdict(bot.data))
        errors = re.findall(r"^.* ERROR .*$", bot.log, re.MULTILINE)
    slope = (seen[-1].memory - seen[1].memory) / max(1e-9, seen[-1].at - seen[1].at)
    print(f"  memory grows by {slope:.1f} MB an hour; of looks at the loop {late:.1%} come over {LATE:g} s late")
    print(f"  {len(errors)} errors logged", *errors[:5], sep="\n    ")
    return well and slope < SLOPE and seen[-1].files <= seen[1].files + 8 and late < 0.01 and not errors


def _look(pid: int, data: Path, at: float) -> Look:
    bot, journals = psutil.Process(pid), [*data.glob("loraloom.db-*")]
    return Look(
        at,
        bot.memory_info().rss / 1e6,
        bot.num_fds(),
        sum(one.stat().st_size for one in journals if one.exists()) / 1e6,
    )


async def _late(port: int) -> float:
    """The share of looks at the event loop that came more than LATE seconds late."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    buckets = {float(le): float(n) for le, n in re.findall(r'loop_lag_seconds_bucket\{le="([\d.]+)"\} ([\d.]+)', text)}
    total = float(re.findall(r"loop_lag_seconds_count ([\d.]+)", text)[0])
    return 1 - buckets[LATE] / max(1.0, total)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between orders")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(soak(Path(folder), asked.hours, asked.every)) else 1


if __name__ == "__main__":
    sys.exit(main())
