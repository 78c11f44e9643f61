"""The parts together: what runs beside the jobs."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from bot.compose import open_parts
from bot.config import BotConfig, ConfigError, Data, Drop, Imports
from bot.importing import SourceMissing
from bot.store import open_store
from tests.fakes import MEMBER, FakeFleet, FakePoster, adapter_file, order, result, until, who

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
    async with open_store(None, tmp_path) as store:
        job = await store.jobs.record(order())
        await store.jobs.queue(job.id)
        started = await store.jobs.start(job.id)
        assert started is not None
        await store.jobs.rendered(started, result(started.request))
        (path,) = (tmp_path / "pictures").iterdir()
        os.utime(path, (LONG_AGO, LONG_AGO))
    for days, kept in ((0, True), (1, False)):
        data = Data(folder=tmp_path, keep_pictures_days=days)
        async with open_parts(BotConfig(data=data), FakePoster(), FakeFleet()):
            await asyncio.sleep(0.1)
            assert path.exists() is kept


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def test_a_port_of_the_drop_page_that_is_taken_is_said_by_table_and_key(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        drop = Drop(url="https://loras.example.com", port=taken.getsockname()[1])
        config = BotConfig(data=Data(folder=tmp_path), drop=drop)
        with pytest.raises(ConfigError, match=r"\[drop\] port"):
            async with open_parts(config, FakePoster(), FakeFleet()):
                pass


async def test_what_is_put_into_the_watch_folder_is_everyone_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.importing.watch.WatchFolder.run.__defaults__", (0.01,))
    watched = tmp_path / "watched"
    imports = Imports(watch_folder=watched)
    config = BotConfig(data=Data(folder=tmp_path / "data"), imports=imports)
    async with open_parts(config, FakePoster(), FakeFleet()) as parts:
        await until(watched.is_dir)
        adapter_file(watched / "Glow.safetensors")
        await until((watched / "imported" / "Glow.safetensors").exists)
        entry = await parts.orders.adapter(who(MEMBER + 1), "Glow")
        assert (entry.visibility, entry.owner_id) == ("everyone", None)


async def test_files_that_a_killed_run_left_are_gone_after_the_start(tmp_path: Path) -> None:
    async with open_store(None, tmp_path):
        stray = tmp_path / "adapters" / "ab" / f"ab{'0' * 62}.safetensors"
        incoming = tmp_path / "incoming" / "import-x" / "file.safetensors"
        for path in (stray, incoming):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x")
    async with open_parts(BotConfig(data=Data(folder=tmp_path)), FakePoster(), FakeFleet()) as parts:
        assert not stray.exists()
        assert not incoming.exists()
        assert parts.drop is None
        with pytest.raises(SourceMissing):
            await parts.intake.look_at_upload(who(), "https://cdn.discordapp.com/x", "x.safetensors", 1)
