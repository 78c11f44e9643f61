"""The parts together: what runs beside the jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bot.compose import open_parts
from bot.config import BotConfig, Data
from bot.store import open_store
from tests.fakes import FakeFleet, FakePoster, until

LONG_AGO = 1e9  # 2001


def old_file(folder: Path, name: str) -> Path:
    path = folder / "pictures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"png")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


async def test_old_pictures_are_thrown_away_at_the_start_and_every_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A day on which it fails is followed by one on which it does not."""
    monkeypatch.setattr("bot.compose.DAILY", 0.01)
    async with open_store(None, tmp_path):
        first = old_file(tmp_path, "a.png")
    async with open_parts(BotConfig(data=Data(folder=tmp_path)), FakePoster(), FakeFleet()):
        await until(lambda: not first.exists())
        with monkeypatch.context() as broken:
            broken.setattr("bot.store.jobs.JobRows.prune", None)
            await until(lambda: "the next try is tomorrow" in caplog.text)
        second = old_file(tmp_path, "b.png")
        await until(lambda: not second.exists())


async def test_pictures_may_be_kept_for_ever(tmp_path: Path) -> None:
    async with open_store(None, tmp_path):
        path = old_file(tmp_path, "a.png")
    async with open_parts(BotConfig(data=Data(folder=tmp_path, keep_pictures_days=0)), FakePoster(), FakeFleet()):
        await asyncio.sleep(0.1)
    assert path.exists()
