"""Studio: pictures from a script, over the same scheduler and fleet as the bot's."""

from __future__ import annotations

import asyncio

import pytest

import engine
from engine import AdapterNotFound, AdapterUse, EngineConfig, LocalFleet, Progress, PromptError, Request
from engine.studio import Studio

from .test_fleet_contract import FakeRenderer

FAST = Request(prompt="a red flower <lora:ink:0.5>", seed=1, steps=2)


async def test_a_studio_draws_and_tells_progress() -> None:
    """The five lines of the README, with the real model."""
    seen: list[Progress] = []
    async with engine.open() as studio:
        result = await studio.generate(FAST, seen.append)
    assert result.pictures[0].png.startswith(b"\x89PNG")
    assert [p.step for p in seen] == [1, 2]


async def test_several_requests_at_once_all_come_back() -> None:
    """Each to the one who asked."""
    async with engine.open() as studio:
        requests = [Request(prompt="a boat", seed=i, steps=1) for i in range(4)]
        results = await asyncio.gather(*(studio.generate(request) for request in requests))
    assert [result.request.seed for result in results] == [0, 1, 2, 3]


async def test_errors_come_out_of_generate() -> None:
    """As the exception they are, and the studio goes on."""
    async with engine.open() as studio:
        with pytest.raises(AdapterNotFound):
            await studio.generate(Request(prompt="a boat", adapters=(AdapterUse("nope"),), steps=1))
        with pytest.raises(PromptError):
            await studio.generate(Request(prompt=" AND ".join("a" * 17), steps=1))
        assert (await studio.generate(FAST)).pictures


async def test_a_tag_that_is_left_out_is_noted_in_the_result() -> None:
    """So that a script sees it; the others are in force."""
    async with engine.open() as studio:
        result = await studio.generate(Request(prompt="a boat <lora:nope> <lora:neon:x> <lora:ink:0.5>", steps=1))
    assert [note.split(" is left out")[0] for note in result.notes] == [
        "<lora:neon:x> at character 20",
        "<lora:nope:1>",
    ]
    assert [report.name for report in result.reports] == ["ink"]


async def test_cancelling_the_task_takes_the_work_back() -> None:
    """The worker is free for the next one at once."""
    studio = Studio(LocalFleet(EngineConfig(), make=FakeRenderer))  # type: ignore[arg-type]
    await studio.start()
    task = asyncio.create_task(studio.generate(Request(prompt="wait")))
    await asyncio.sleep(0.05)
    assert studio.snapshot().running == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await studio.generate(Request(prompt="x", steps=1))
    assert studio.snapshot().waiting == 0
    await studio.aclose()


def test_run_blocks_and_gives_the_same_picture_as_a_studio() -> None:
    """engine.run is engine.open for one request."""

    async def studio() -> engine.Result:
        async with engine.open() as opened:
            return await opened.generate(FAST)

    assert engine.run(FAST).pictures == asyncio.run(studio()).pictures
