"""The zero-token start: the same bot inside SimCord, and a page on this machine that looks and works like Discord.

SimCord publishes what a page shows when its visitor does something. Here pictures appear long after the command that
ordered them, so `_keep_current` publishes whenever the bot has sent something, and `_forgive` lets a visitor press a
button or type on while that happens. Both reach into SimCord, which is why its version is pinned exactly.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import discord
import simcord

from engine import Fleet

from .client import Bot
from .config import BotConfig, Data

PORTS_TRIED = 20
LOOK_EVERY = 0.25  # seconds; the page itself asks every half second
SETTLE = 30.0  # seconds in which an answer to a command must be there, on a slow machine too
HINT = "/imagine a red flower <lora:ink:0.5>"
WELCOME = """Welcome! Type `/imagine`, choose it, and describe a picture: `a red flower <lora:ink:0.5>`.
`ink`, `neon` and `light` are the adapters that come with the bot; `/lora browse` shows them, `/lora add` brings more.
You run this server and this bot; `friend`, whom you can be too, is a member like any other.
The built-in model is small: it has seen flowers, houses, trees, boats, fish, suns and simple shapes."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox. `url` opens the page; whoever knows it can use the bot."""

    env: Any
    preview: Any
    bot: Bot
    url: str


async def run_sandbox(config: BotConfig, say: Callable[[str], None] = print) -> None:
    """The sandbox, until it is cancelled or ended from the page."""
    say("No Discord token: starting the sandbox. It forgets everything when it ends.")
    async with open_sandbox(config) as sandbox:
        say(f"\nOpen   {sandbox.url}\nType   {HINT}\nEnd it with Ctrl-C.\n")
        await sandbox.preview.wait_closed()


@asynccontextmanager
async def open_sandbox(config: BotConfig, fleet: Fleet | None = None) -> AsyncIterator[Sandbox]:
    """A small server with two members, a channel, and the bot at work; its page stays current by itself."""
    with tempfile.TemporaryDirectory(prefix="loraloom-", ignore_cleanup_errors=True) as folder:
        bot = Bot(replace(config, data=Data(folder=Path(folder))), fleet, simulated=True)
        async with simcord.run(bot, settle_timeout=SETTLE, check_errors=False) as env:
            # SimCord takes errors of the command tree for defects and calls the visitor's action failed. Ours has
            # answered each of them by then, and has logged those that it did not expect (bot/replies).
            env._record_error = lambda error: None
            try:
                channel, viewers = await _furnish(env, bot)
                await bot.start_work()
                async with _served(env, channel, viewers, config.sandbox.port) as preview:
                    keeping = asyncio.create_task(_keep_current(env, preview), name="sandbox page")
                    try:
                        yield Sandbox(env, preview, bot, preview.url)
                    finally:
                        keeping.cancel()
                        await asyncio.wait({keeping})
            finally:
                await bot.close()


async def _furnish(env: Any, bot: Bot) -> tuple[Any, list[Any]]:
    """A server with a channel, its owner to be, a member to be, and a first message that says what to do."""
    if bot.user is not None:
        await bot.user.edit(username="Loraloom")
    guild = env.create_guild(name="Loraloom")
    channel = guild.create_text_channel("pictures", topic=f"Type {HINT}")
    ruling = guild.create_role("owners", permissions=discord.Permissions(administrator=True))
    you = guild.add_member(env.create_user("you"), roles=[ruling])
    friend = guild.add_member(env.create_user("friend"))
    bot.owners |= {you.id}
    guide = guild.add_member(env.create_user("guide", bot=True))
    await guide.send(channel, WELCOME)
    return channel, [you, friend]


@asynccontextmanager
async def _served(env: Any, channel: Any, viewers: list[Any], port: int) -> AsyncIterator[Any]:
    """The page at `port`, or at the next one that is free."""
    async with contextlib.AsyncExitStack() as stack:
        for candidate in range(port, port + PORTS_TRIED):
            preview = env.preview(channel, viewers=viewers, layout="channel", port=candidate)
            _forgive(preview)
            try:
                await stack.enter_async_context(preview)
            except simcord.SetupError:
                if candidate == port + PORTS_TRIED - 1:
                    raise
            else:
                break
        yield preview


async def _keep_current(env: Any, preview: Any) -> None:
    """The page shows what the bot has sent, soon after. Publishing awaits nothing, so it disturbs no action."""
    shown = len(env.http_requests)
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if len(env.http_requests) != shown and preview._active_action is None:
            shown = len(env.http_requests)
            preview._advance_presentation_time()
            preview._publish_message_pages(reason="refresh")


def _forgive(preview: Any) -> None:
    """An action made on a page that was published again a moment ago counts; SimCord checks its target anyway."""
    admit = preview._action

    async def action(context_id: str | None, body: Any) -> Any:
        page = preview._pages.get(context_id)
        if page is not None and isinstance(body, dict) and "published_revision" in body:
            body = {**body, "published_revision": page.revision}
        return await admit(context_id, body)

    preview._action = action
