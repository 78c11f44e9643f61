"""The connection to Discord: loads the commands, keeps Discord's list of them current, and closes in order."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.ext import commands

from engine import Fleet

from .breaker import Breaker
from .cogs.rights import declare_rights
from .compose import Parts, open_parts
from .config import BotConfig
from .importing import DropServer
from .jobs import Runner
from .language import Languages, unsaid
from .orders import (
    Forbidden,
    Judging,
    Models,
    Moderation,
    Orders,
    Oversight,
    Privacy,
    SettingsDesk,
    Shelf,
    Stock,
    Who,
)
from .orders.intake import Intake
from .orders.rights import require_command
from .replies import answer_error
from .views import asking
from .views.attachments import Attachments
from .views.grid import Questions
from .views.poster import DiscordPoster
from .views.translator import CommandTranslator, listed

log = logging.getLogger(__name__)

BAD_TOKEN = 4004  # why Discord closes a connection
DRAIN = 30.0  # seconds that what is being drawn has to end before the bot does
RESTARTING = unsaid("The bot is about to restart. What is in line stays there; order again in a minute.")
EXTENSIONS = (
    "bot.cogs.adapter",
    "bot.cogs.admin",
    "bot.cogs.imagine",
    "bot.cogs.grid",
    "bot.cogs.history",
    "bot.cogs.lora",
    "bot.cogs.metadata",
    "bot.cogs.model",
    "bot.cogs.moderate",
    "bot.cogs.privacy",
    "bot.cogs.queue",
    "bot.cogs.report",
    "bot.cogs.settings",
    "bot.views.adapter_deeds",
    "bot.views.deeds",
    "bot.views.judging",
)


class LoginRefused(Exception):
    """Discord did not let the bot in; the sentence says what to do."""


class TokenRefused(LoginRefused):
    """It will not let it in with this token, however often it is asked."""


class EngineBroken(Exception):
    """Nothing can be drawn in this process any more; a new one goes on where it was."""


class Tree(app_commands.CommandTree["Bot"]):
    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        """Discord asks servers who may use what; here it is asked again, whatever they have answered."""
        await self.client.speak_to(interaction)
        if interaction.command is None:
            return True
        try:
            require_command(asking.who(interaction), interaction.command.qualified_name)
        except Forbidden as error:
            if interaction.type is discord.InteractionType.autocomplete:
                await interaction.response.autocomplete([])
            else:
                await answer_error(interaction, error)
            return False
        return True

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /) -> None:
        await answer_error(interaction, error)


class Bot(commands.Bot):
    """`simulated`: it runs inside SimCord, which forgets commands, and whose driver calls `start_work` itself."""

    def __init__(self, config: BotConfig, fleet: Fleet | None = None, *, simulated: bool = False) -> None:
        self.breaker = Breaker()
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            tree_cls=Tree,
            http_trace=self.breaker.trace,
        )
        self.config = config
        self.simulated = simulated
        self.questions = Questions()
        self.languages = Languages()
        self.owners: frozenset[int] = frozenset(config.discord.owners)
        self._fleet = fleet
        self._open = AsyncExitStack()
        self._parts: Parts | None = None
        self._at_work = asyncio.Event()

    @property
    def working(self) -> bool:
        """Whether the parts are there, from `setup_hook` on."""
        return self._parts is not None

    @property
    def orders(self) -> Orders:
        return self._opened.orders

    @property
    def judging(self) -> Judging:
        return self._opened.judging

    @property
    def moderation(self) -> Moderation:
        return self._opened.moderation

    @property
    def privacy(self) -> Privacy:
        return self._opened.privacy

    @property
    def runner(self) -> Runner:
        return self._opened.runner

    @property
    def intake(self) -> Intake:
        return self._opened.intake

    @property
    def drop(self) -> DropServer | None:
        """The page for large files, where there is one."""
        return self._opened.drop

    @property
    def shelf(self) -> Shelf:
        return self._opened.shelf

    @property
    def settings(self) -> SettingsDesk:
        return self._opened.settings

    @property
    def models(self) -> Models:
        return self._opened.models

    @property
    def stock(self) -> Stock:
        return self._opened.stock

    @property
    def oversight(self) -> Oversight:
        return self._opened.oversight

    async def setup_hook(self) -> None:
        poster = DiscordPoster(self, self.languages)
        parts = open_parts(self.config, poster, self._fleet, Attachments(self).pieces)
        self._parts = await self._open.enter_async_context(parts)
        await self.tree.set_translator(CommandTranslator())
        self.languages.choice = self._language
        for extension in EXTENSIONS:
            await self.load_extension(extension)
        declare_rights(self.tree)
        self.owners |= await self._owners()
        await self.sync_if_changed()
        if not self.simulated:
            await self.start_work()

    async def speak_to(self, interaction: asking.Interaction) -> None:
        """Whatever answers this interaction from here on is in the language of whoever made it."""
        await self.languages.speak_to(asking.who(interaction))

    async def _language(self, who: Who) -> str | None:
        """What this person, or the place they are in, has chosen."""
        return (await self.settings.of(who)).language

    async def _owners(self) -> frozenset[int]:
        """Whom Discord names as the application's owners: a person, or the members of its team who may govern it."""
        application = await self.application_info()
        if application.team is None:
            return frozenset({application.owner.id})
        governing = (discord.TeamMemberRole.admin, discord.TeamMemberRole.developer)
        members = (member for member in application.team.members if member.role in governing)
        return frozenset({application.team.owner_id or application.owner.id, *(member.id for member in members)})

    async def serve(self, token: str) -> None:
        """Connected to Discord until cancelled; then nothing new is taken and what runs is drawn to its end.

        Raises LoginRefused, or EngineBroken when only a new process can go on; every job that was taken is kept.
        """
        connection, breakage = asyncio.create_task(self.start(token)), asyncio.create_task(self.broken())
        settling = asyncio.create_task(self._settle())
        try:
            await asyncio.wait({connection, breakage}, return_when=asyncio.FIRST_COMPLETED)
            if breakage.done():
                raise EngineBroken(f"The engine cannot go on: {breakage.result()}.")
        except asyncio.CancelledError:
            await self.drain()  # still connected: who orders now is told to wait
            raise
        finally:
            settling.cancel()
            breakage.cancel()
            connection.cancel()
            await self._ended(connection)

    async def _settle(self) -> None:
        """What a start has made stays to the end, half a million objects: the garbage collector lets them be.

        It would look through all of them now and then, and everything stands still for a quarter of a second.
        """
        await self._at_work.wait()
        gc.collect()
        gc.freeze()

    async def broken(self) -> str:
        """Waits until nothing can be drawn in this process any more, and gives the reason."""
        await self._at_work.wait()
        return await self.runner.broken()

    async def drain(self) -> None:
        """Nothing new is taken, and what runs has ended if it could within DRAIN seconds."""
        if self._parts is not None:
            self.orders.close(RESTARTING)
            await self.runner.drain(DRAIN)

    async def _ended(self, connection: asyncio.Task[None]) -> None:
        try:
            await connection
        except asyncio.CancelledError:
            pass
        except discord.LoginFailure as error:
            raise TokenRefused("Discord refuses the token; copy it again from the application's Bot page.") from error
        except aiohttp.ClientConnectionError as error:  # only of the login: later ones are tried again
            raise LoginRefused(f"Discord cannot be reached ({error}); is this machine online? Start again.") from error
        except discord.ConnectionClosed as error:
            if error.code == BAD_TOKEN:
                raise TokenRefused(
                    "Discord no longer takes the token; put the new one into the configuration."
                ) from error
            raise LoginRefused(f"Discord ended the connection for good ({error}). Start again.") from error

    async def start_work(self) -> None:
        """Jobs are drawn from here on, also those that an earlier process left."""
        await self.runner.start()
        self._opened.samples.start()
        self._at_work.set()

    async def sync_if_changed(self) -> None:
        """Discord knows the commands as they are. It is asked only when they changed, for it counts the asking."""
        payload = await listed(self.tree, self.tree.translator)
        text = json.dumps([self.application_id, payload], sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        known = self.config.folder / "commands.sha256"
        if not self.simulated and known.is_file() and known.read_text(encoding="ascii") == fingerprint:
            return
        await self.tree.sync()
        known.write_text(fingerprint, encoding="ascii")
        log.info("Told Discord about %d commands", len(payload))

    async def on_ready(self) -> None:
        log.info("Ready as %s (ID %s)", self.user, self.user and self.user.id)

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """As discord.py does, which tells a bot that it is ready two seconds late, even one that is closed by then."""
        if not self.is_closed():
            super().dispatch(event_name, *args, **kwargs)

    async def close(self) -> None:
        """No job runs, nothing is sent, and the database is closed, in this order."""
        try:
            await self._open.aclose()
        finally:
            await super().close()

    @property
    def _opened(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("The bot is not logged in yet; its parts are made in setup_hook.")
        return self._parts


def point_at(api: str) -> None:
    """discord.py talks to a stand-in for Discord on this machine; load_config has checked the address."""
    url = urlsplit(api)
    discord.http.Route.BASE = api
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(f"ws://{url.netloc}/gateway/")
    discord.asset.Asset.BASE = f"http://{url.netloc}"
