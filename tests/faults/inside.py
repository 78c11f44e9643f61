"""The real bot and the loopback Discord in one process: real HTTP and WebSocket, and every part within reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import discord

from bot import create_bot
from bot.client import Bot
from bot.config import BotConfig, Data, Limits
from tests.fakes import FakeFleet
from tests.wire.server import Server


@asynccontextmanager
async def connected(server: Server, folder: Path, fleet: FakeFleet) -> AsyncIterator[Bot]:
    """A bot that is connected to the server; entered again on the same folder it is the bot after a restart."""
    kept = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY, discord.asset.Asset.BASE
    limits = Limits(jobs_per_member=1000, jobs_per_server=100_000, jobs_in_all=100_000)
    config = BotConfig(data=Data(folder=folder), limits=limits, discord_api=server.api)
    for session in server.gateway.sessions:
        session.resumable = False
    try:
        async with create_bot(config, fleet) as bot:
            bot.before_identify_hook = _at_once  # type: ignore[method-assign]
            before = len(server.gateway.sessions)
            running = asyncio.create_task(bot.start(server.token))
            await server.until(lambda: len(server.gateway.sessions) > before or running.done(), 20.0, "a connected bot")
            try:
                yield bot
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
    finally:
        discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY, discord.asset.Asset.BASE = kept


async def _at_once(shard_id: int | None, *, initial: bool = False) -> None:
    """Without discord.py's pause of 5 s before it identifies anew."""
