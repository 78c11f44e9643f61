"""A small Discord with the real bot in it: SimCord around `create_bot`, with a fleet that draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import simcord

from bot import create_bot
from bot.client import Bot
from bot.config import BotConfig, Data, Imports
from bot.orders import Job, JobState
from tests.fakes import FakeFleet, until


@dataclass
class World:
    """alice and bob are members, molly may manage messages, anna the server.

    `bot` and `fleet` change with `restart`.
    """

    env: simcord.Env
    bot: Bot
    fleet: FakeFleet
    data: Path
    channel: simcord.ChannelHandle
    alice: simcord.MemberActor
    bob: simcord.MemberActor
    molly: simcord.MemberActor
    anna: simcord.MemberActor
    config: BotConfig

    async def job(self, job_id: str) -> Job:
        job = await self.bot.orders._store.jobs.get(job_id)
        assert job is not None
        return job

    async def newest(self) -> Job:
        page = await self.bot.orders._store.jobs.history(self.alice.id, 1, 10)
        return page.jobs[0]

    async def dispatched(self, number: int = 1) -> str:
        """The id of the job that was the `number`-th to reach the fleet."""
        await until(lambda: len(self.fleet.attempts) >= number)
        return self.fleet.attempts[number - 1].job

    async def ended(self, job_id: str) -> Job:
        """The job once its end is there to be seen."""

        for _ in range(500):
            if (await self.job(job_id)).state.final and not await self._untold(job_id):
                break
            await asyncio.sleep(0.01)
        return await self.job(job_id)

    async def _untold(self, job_id: str) -> bool:
        return any(job.id == job_id for job in await self.bot.orders._store.jobs.untold())

    async def drawn(self, prompt: str = "a red flower", **options: Any) -> Job:
        """alice's finished job, its card the last message of the channel."""
        number = len(self.fleet.attempts) + 1
        await self.alice.slash(self.channel, "imagine", prompt=prompt, **options)
        job_id = await self.dispatched(number)
        await self.fleet.finish(job_id)
        job = await self.ended(job_id)
        assert job.state is JobState.POSTED
        return job

    async def restart(self) -> None:
        """The bot as another process would find things: a new bot on the same data folder."""
        await self.bot.close()
        self.bot, self.fleet = _bot(self.config)
        await self.env.restart_bot(self.bot)
        await self.bot.start_work()


def _bot(config: BotConfig) -> tuple[Bot, FakeFleet]:
    fleet = FakeFleet()
    return create_bot(config, fleet, simulated=True), fleet


@asynccontextmanager
async def world(data: Path, imports: Imports | None = None, **tables: Any) -> AsyncIterator[World]:
    """`tables` are others of the configuration, by their names in BotConfig."""
    config = BotConfig(data=Data(folder=data), imports=imports or Imports(), **tables)
    bot, fleet = _bot(config)
    async with simcord.run(bot, check_errors=False) as env:
        guild = env.create_guild()
        channel = guild.create_text_channel("pictures")
        moderators = guild.create_role("moderators", permissions=discord.Permissions(manage_messages=True))
        alice, bob = (guild.add_member(env.create_user(name)) for name in ("alice", "bob"))
        molly = guild.add_member(env.create_user("molly"), roles=[moderators])
        admins = guild.create_role("admins", permissions=discord.Permissions(manage_guild=True))
        anna = guild.add_member(env.create_user("anna"), roles=[admins])
        for command in await bot.tree.fetch_commands():  # servers may show what they like: what refuses is the bot
            guild.set_command_permissions(command, {guild.default_role: True})
        await bot.start_work()
        here = World(env, bot, fleet, data, channel, alice, bob, molly, anna, config)
        try:
            yield here
        finally:
            await here.bot.close()


def texts(message: Any) -> str:
    """Everything a member reads on a message."""
    return "\n".join([message.content or "", *(item.content for item in items(message) if hasattr(item, "content"))])


def buttons(message: Any) -> dict[str, str]:
    """Button labels and their ids."""
    return {item.label: item.custom_id for item in items(message) if item.type is discord.ComponentType.button}


def items(message: Any) -> Iterator[Any]:
    def walk(components: Any) -> Iterator[Any]:
        for component in components:
            yield component
            yield from walk(getattr(component, "children", ()))

    return walk(message.components)
