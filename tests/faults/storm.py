"""A Discord in distress: 429, 5xx, resets and lost replies, until so many results are shown (bar B8).

`python -m tests.faults.storm [--results 500] [--seed 0]`: 30 % of the requests are answered with 429 (0.3 to 5 s to
wait), one of them for all routes; 10 % with 5xx, 5 % are reset before the work, after 5 % the connection ends without
a reply. Tokens live only a minute, so that part of the results goes to the channel. All that was acknowledged and that
nobody has cancelled is posted, exactly once; fewer than 50 requests are invalid (401, 403, or sent before the time that
a 429 had named), and no transaction is open for more than 100 ms. Exits 1 otherwise.
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
from collections.abc import Callable
from pathlib import Path

from tests.wire.http import Injected
from tests.wire.server import Server
from tests.wire.world import Request

from .crowd import KEPT, Crowd, report
from .process import longest_transaction, process

MOST_INVALID = 50
OPEN = 0.1  # seconds that a transaction may be
LATE = 0.05  # seconds that clocks may differ


def storm(rng: random.Random, longest: float = 5.0) -> Callable[[Request], Injected | None]:
    """Weather as the bar wants it; a 429 is to be waited out for at most `longest` seconds."""
    once = [True]

    def weather(request: Request) -> Injected | None:
        dice = rng.random()
        if not any(part in request.route for part in ("/interactions/", "/webhooks/", "/channels/")):
            return None
        if dice < 0.3:
            everywhere = once[0] and "/channels/" in request.route
            once[0] = once[0] and not everywhere
            return Injected("*", 429, retry_after=rng.uniform(0.3, longest), is_global=everywhere)
        if dice < 0.4:
            return Injected("*", rng.choice([500, 502, 503, 504]))
        return Injected("*", "reset") if dice < 0.45 else Injected("*", "hung up") if dice < 0.5 else None

    return weather


async def weather_out(folder: Path, results: int, seed: int, *, longest: float = 5.0) -> tuple[Counter[str], str]:
    """What became of so many acknowledged orders, and the bot's log."""
    rng = random.Random(seed)
    async with Server() as server:
        server.token_life = 60.0
        crowd, bot = Crowd(server, rng, members=40), process(server, folder)
        await bot.start(30.0, FAULTS_DRAWING="0.1")
        server.http.weather = storm(rng, longest)
        async with crowd.ordering(0.25):
            while len(crowd.acknowledged()) < results:  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.5)
        await crowd.settled(bot.data, 120.0 + 2 * results)
        await bot.end(signal.SIGTERM, 70.0)
        found = crowd.verdict(bot.data)
        found["breaches of Discord's rules"] = len(server.take_violations())
        found["requests"] = len(server.requests)
        found["invalid requests"] = invalid(server.requests)
        for status in (429, 500, 502, 503, 504, "reset", "hung up"):
            found[f"answered with {status}"] = sum(request.status == status for request in server.requests)
        return found, bot.log


def invalid(requests: list[Request]) -> int:
    """Requests that a client in the right would not have sent: not allowed, or before the time that a 429 named."""
    until: dict[str, float] = {}
    wrong = 0
    for request in requests:
        key = f"{request.method} {request.path}"
        wrong += request.status in (401, 403) and "/webhooks/" not in request.path  # a token's end is no surprise
        wrong += request.at < max(until.get(key, 0.0), until.get("*", 0.0) if "/channels/" in key else 0.0) - LATE
        if request.status == 429:
            where = "*" if request.answer["global"] else key
            until[where] = request.at + request.answer["retry_after"]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found, log = asyncio.run(weather_out(Path(folder), asked.results, asked.seed))
    well = report(
        f"{asked.results} results in a storm, seed {asked.seed}, {time.monotonic() - begun:.0f} s", found, KEPT
    )
    longest = longest_transaction(log)
    print("\n".join(f"    {line}" for line in log.splitlines() if " ms " in line))
    print(f"  longest transaction {longest * 1e3:.0f} ms; {log.count('Traceback')} tracebacks")
    enough = found["acknowledged"] >= asked.results
    return 0 if well and enough and found["invalid requests"] < MOST_INVALID and longest <= OPEN else 1


if __name__ == "__main__":
    sys.exit(main())
