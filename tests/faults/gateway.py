"""Disconnects in the middle of jobs, of every kind, and interactions that come twice (bar B9).

`python -m tests.faults.gateway [--breaks 50] [--seed 0]`: nothing is lost or shown twice, every interaction counts
once, what was acknowledged and not cancelled is posted, nothing else is, and there are no more IDENTIFYs than
disconnects. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.wire.server import Server
from tests.wire.world import Json

from .crowd import KEPT, Crowd, report
from .inside import connected
from .process import DozingFleet

PATIENCE = 30.0  # seconds for a connection to come back
Break = Callable[[Server], Awaitable[None]]


async def zombie(server: Server) -> None:
    """The socket stays open and says nothing more."""
    server.gateway.mute = True


async def reset(server: Server) -> None:
    server.gateway.drop()


def closing(code: int) -> Break:
    return lambda server: server.gateway.close(code)


BREAKS: dict[str, Break] = {
    "op 7, reconnect": lambda server: server.gateway.reconnect(),
    "op 9, session over": lambda server: server.gateway.invalidate(),
    "op 9, resume": lambda server: server.gateway.invalidate(resumable=True),
    "closed with 1001": closing(1001),
    "closed with 4000": closing(4000),
    "closed with 4009": closing(4009),
    "reset": reset,
    "zombie": zombie,
}


async def break_up(folder: Path, breaks: int, seed: int) -> Counter[str]:
    """What became of the orders that were given around so many disconnects."""
    rng = random.Random(seed)
    async with Server() as server:
        server.gateway.heartbeat_interval = 0.25
        crowd = Crowd(server, rng)
        async with connected(server, folder, DozingFleet(0.2)) as bot:
            bot._connection.heartbeat_timeout = 1.0
            await server.until(lambda: server.commands, PATIENCE, "its commands")
            server.gateway.drop()  # the timeout counts from the next connection on
            async with crowd.ordering(0.15):
                for number in range(breaks):
                    await _back(server)
                    await server.acknowledged(await crowd.order())
                    name = list(BREAKS)[number % len(BREAKS)]
                    before = len(server.gateway.closes)
                    await BREAKS[name](server)
                    await crowd.order()  # missed, and brought by RESUME where there is one
                    await server.until(lambda: len(server.gateway.closes) > before, PATIENCE, f"an end: {name}")  # noqa: B023
                    await _back(server)
                    _replay(server, rng)
            await crowd.settled(folder, 60.0)
        found = crowd.verdict(folder)
        found["identifies"], found["resumes"] = server.gateway.identifies, server.gateway.resumes
        found["breaches of Discord's rules"] = len(server.take_violations())
        found["executions"] = sum(found[f"ended as {state}"] for state in ("posted", "failed", "cancelled", "dead"))
        return found


async def _back(server: Server) -> None:
    await server.until(lambda: server.gateway.session.socket, PATIENCE, "a connection")


def _replay(server: Server, rng: random.Random) -> None:
    """Discord sends a few interactions once more, as it may after a RESUME."""
    known: list[Json] = [
        event["d"] for session in server.gateway.sessions for event in session.events if _is_order(event)
    ]
    for event in rng.sample(known[-12:], min(3, len(known))):
        server.gateway.dispatch("INTERACTION_CREATE", event)


def _is_order(event: Json) -> bool:
    return event["t"] == "INTERACTION_CREATE" and event["d"]["type"] == 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--breaks", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(break_up(Path(folder), asked.breaks, asked.seed))
    well = report(f"{asked.breaks} disconnects, seed {asked.seed}", found, KEPT)
    well = well and found["acknowledged"] >= asked.breaks  # one is ordered before each
    return 0 if well and not found["shown though never acknowledged"] and found["identifies"] <= asked.breaks else 1


if __name__ == "__main__":
    sys.exit(main())
