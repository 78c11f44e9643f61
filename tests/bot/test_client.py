"""The bot as a client: what it asks of Discord, when it tells its commands, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from pathlib import Path

import aiohttp
import discord
import pytest

from bot import create_bot
from bot.client import Bot, LoginRefused, point_at
from bot.config import BotConfig, Data
from bot.orders import JobState
from tests.bot.worlds import world
from tests.fakes import FakeFleet


def a_bot(folder: Path) -> Bot:
    return create_bot(BotConfig(data=Data(folder=folder)), FakeFleet())


def test_it_asks_for_no_privileged_intent_and_mentions_nobody(tmp_path: Path) -> None:
    bot = a_bot(tmp_path)
    assert bot.intents.value == discord.Intents(guilds=True).value
    assert bot.allowed_mentions is not None
    assert bot.allowed_mentions.to_dict() == {"parse": []}


def test_before_the_login_there_is_nothing_to_work_with(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not logged in"):
        _ = a_bot(tmp_path).orders


async def test_discord_is_told_the_commands_only_when_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    async def sync(self: object, *, guild: object = None) -> list[object]:
        told.append(self)
        return []

    monkeypatch.setattr(discord.app_commands.CommandTree, "sync", sync)
    for _ in range(2):
        bot = a_bot(tmp_path)
        await bot.load_extension("bot.cogs.queue")
        await bot.sync_if_changed()
    assert len(told) == 1
    await bot.load_extension("bot.cogs.lora")
    await bot.sync_if_changed()
    assert len(told) == 2


async def test_no_command_has_more_text_than_discord_takes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for command in w.bot.tree.get_commands():
            payload = command.to_dict(w.bot.tree)
            options = payload.get("options", [])
            assert len(options) <= 25
            assert all(1 <= len(option["description"]) <= 100 for option in options)


async def test_a_bot_that_is_closed_leaves_running_jobs_to_the_next(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.bot.close()
        assert w.bot.is_closed()
        await w.restart()
        await w.dispatched()
        assert (await w.job(job_id)).state is JobState.RUNNING


async def test_a_bot_that_is_closed_is_told_nothing_more(tmp_path: Path) -> None:
    async with a_bot(tmp_path) as bot:
        pass
    bot.dispatch("ready")  # as discord.py does, up to two seconds after READY came


async def test_a_discord_out_of_reach_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(self: object, token: str) -> None:
        raise aiohttp.ClientConnectionError("no such host")

    monkeypatch.setattr(Bot, "start", start)
    with pytest.raises(LoginRefused, match="online"):
        await a_bot(tmp_path).serve("token")


async def test_what_a_start_has_made_is_no_garbage_to_look_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, before = a_bot(tmp_path), gc.get_freeze_count()

    async def start(self: Bot, token: str) -> None:
        self._at_work.set()
        await asyncio.sleep(0.05)

    monkeypatch.setattr(Bot, "start", start)
    monkeypatch.setattr(Bot, "broken", asyncio.Event().wait)
    try:
        await bot.serve("token")
        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()


def test_a_stand_in_for_discord_takes_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discord.http.Route, "BASE", "")
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", None)
    monkeypatch.setattr(discord.asset.Asset, "BASE", "")
    point_at("http://127.0.0.1:5000/api/v10")
    assert discord.http.Route.BASE == "http://127.0.0.1:5000/api/v10"
    assert str(discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY) == "ws://127.0.0.1:5000/gateway/"
    assert discord.asset.Asset.BASE == "http://127.0.0.1:5000"


def test_importing_the_package_loads_neither_discord_nor_torch() -> None:
    code = "import sys, bot, bot.config, bot.orders; sys.exit(bool({'discord', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
