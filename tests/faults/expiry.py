"""The interaction's token ends while a job is in any of its states (bar B10): `python -m tests.faults.expiry`.

In a server and in a direct message; by the clock of both sides, or by Discord's alone; the bot runs on, or was
away meanwhile. Every job ends in one visible outcome, in the place where it was ordered and nowhere else, pings its
member only, and the first answer is gone. Exits 1 otherwise.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord

from bot.client import Bot
from bot.orders import JobState
from bot.store import Store
from tests.fakes import FakeFleet, result
from tests.wire.server import Server
from tests.wire.world import Channel, Interaction

from .crowd import base36, ends_among
from .inside import connected

STATES = [state for state in JobState if state is not JobState.POSTED]
PLACES = ("server", "direct message")
MODES = ("both clocks", "Discord's clock")
WHEN = ("running on", "away")
LATER = timedelta(minutes=16)


@contextmanager
def later(mode: str, server: Server) -> Iterator[None]:
    """The token is over for Discord, and by the bot's clock too where both clocks went on."""
    now, life = discord.utils.utcnow, server.token_life
    server.token_life = 0.0
    if mode == "both clocks":
        discord.utils.utcnow = lambda: datetime.now(UTC) + LATER
    try:
        yield
    finally:
        discord.utils.utcnow, server.token_life = now, life


async def expire(folder: Path, state: JobState, place: str, mode: str, when: str) -> list[str]:
    """What was not as it should be."""
    async with Server() as server:
        channel = server.channel if place == "server" else server.dm(server.alice)
        fleet = FakeFleet()
        async with connected(server, folder, fleet) as bot:
            await server.until(lambda: server.commands, 20.0, "its commands")
            bot.runner.hold()  # nothing moves but what is moved here
            ordered = await server.acknowledged(await server.slash("imagine", channel=channel, prompt="a red flower"))
            store: Store = bot.orders._store
            job_id = base36(ordered.id)
            while (await _state(bot, job_id)) is not JobState.QUEUED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            if when == "running on":
                with later(mode, server):
                    return await _run_on(server, bot, fleet, ordered, state)
            await _bring(store, job_id, state)
        with later(mode, server):
            async with connected(server, folder, FakeFleet(auto=True)) as bot:
                return await _judged(server, bot, ordered)


async def _run_on(server: Server, bot: Bot, fleet: FakeFleet, ordered: Interaction, state: JobState) -> list[str]:
    job_id = base36(ordered.id)
    if state is JobState.CANCELLED:
        await bot.runner.cancel(job_id)
    else:
        bot.runner.release()
        while not fleet.attempts:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await (fleet.fail(job_id) if state is JobState.FAILED else fleet.finish(job_id))
    return await _judged(server, bot, ordered)


async def _bring(store: Store, job_id: str, state: JobState) -> None:
    """The row is as a process would have left it that died in this state."""
    jobs = store.jobs
    if state in (JobState.RECEIVED, JobState.ACKED):
        await jobs._move(job_id, (JobState.QUEUED,), state)
    elif state is JobState.CANCELLED:
        await jobs.cancelled(job_id, "Cancelled.")
    elif state in (JobState.RUNNING, JobState.RENDERED, JobState.POSTING, JobState.FAILED, JobState.DEAD):
        job = await jobs.start(job_id)
        assert job is not None
        if state is JobState.FAILED:
            await jobs.failed(job_id, job.attempt, "It does not fit.")
        elif state is not JobState.RUNNING:
            await jobs.rendered(job, result(job.request))
            if state is JobState.POSTING:
                await jobs.posting(job_id)
            if state is JobState.DEAD:
                await jobs.dead(job_id, "It could not be shown.")
    assert (await store.jobs.get(job_id)).state is state  # type: ignore[union-attr]


async def _judged(server: Server, bot: Bot, ordered: Interaction) -> list[str]:
    """Waits for the end, and looks at what everybody sees."""
    job_id, wrong = base36(ordered.id), []
    store: Store = bot.orders._store
    try:
        async with asyncio.timeout(20):
            while not await store.jobs.is_told(job_id):  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.02)
    except TimeoutError:
        return [f"no end: {await _state(bot, job_id)}"]
    ends = ends_among(server.messages, job_id)
    if len(ends) != 1:
        return [f"{len(ends)} ends"]
    (end,) = ends
    if end.channel is not ordered.channel:
        wrong.append(f"it ended in {end.channel.name}")
    if ordered.original is not end and not (ordered.original is not None and ordered.original.deleted):
        wrong.append("the first answer is still there")
    for request in server.sent("POST /channels/{channel_id}/messages"):
        allowed = request.json.get("allowed_mentions", {})
        if allowed.get("parse") != [] or allowed.get("users") != [server.alice.id]:
            wrong.append(f"it pings {allowed}")
    elsewhere: list[Channel] = [m.channel for m in server.messages if m.channel is not ordered.channel]
    return [*wrong, *(f"something in {channel.name}" for channel in elsewhere), *server.take_violations()]


async def _state(bot: Bot, job_id: str) -> JobState | None:
    job = await bot.orders._store.jobs.get(job_id)
    return None if job is None else job.state


def cases() -> list[tuple[JobState, str, str, str]]:
    """Every combination there is; a bot that runs on tells apart only how the job ends."""
    every = itertools.product(STATES, PLACES, MODES, WHEN)
    running = (JobState.RUNNING, JobState.FAILED, JobState.CANCELLED)
    return [case for case in every if case[3] == "away" or case[0] in running]


def main() -> int:
    missed = 0
    for case in cases():
        with tempfile.TemporaryDirectory() as folder:
            wrong = asyncio.run(expire(Path(folder), *case))
        missed += bool(wrong)
        print(
            f"{case[0].value:10} {case[1]:15} {case[2]:16} {case[3]:11} {'; '.join(wrong) or 'one end, in its place'}"
        )
    print(f"{len(cases())} cases, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
