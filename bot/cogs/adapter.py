"""/adapter: what of the adapters is in memory and how it does, and what may not be drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from ..language import say
from ..orders import Placed
from ..views import asking
from ..views.cards import note
from ..views.stock import held_card, stats_card
from ..views.text import code, safe
from .options import AdapterName

if TYPE_CHECKING:
    from ..client import Bot

Adapter = Transform[str, AdapterName]
Reason = Range[str, 1, 200]


class AdapterCog(commands.GroupCog, name="adapter", description="The adapters in memory, and those that are kept out."):
    @app_commands.command(name="list", description="Shows which adapters are in memory, and where.")
    async def list_(self, interaction: asking.Interaction) -> None:
        found = await interaction.client.stock.held(asking.who(interaction))
        await interaction.response.send_message(view=held_card(found), ephemeral=True)

    @app_commands.command(description="Shows how memory is used, and how drawing with each adapter went.")
    async def stats(self, interaction: asking.Interaction) -> None:
        found = await interaction.client.stock.stats(asking.who(interaction))
        await interaction.response.send_message(view=stats_card(found), ephemeral=True)

    @app_commands.command(description="Brings an adapter into memory now.")
    @app_commands.describe(name="The adapter.")
    async def load(self, interaction: asking.Interaction, name: Adapter) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)  # a picture may have to be drawn first
        placed = await interaction.client.stock.load(asking.who(interaction), name)
        await _said(interaction, say("{name} is in memory.", name=code(placed.name, 60)))

    @app_commands.command(description="Takes an adapter out of memory now; the file stays.")
    @app_commands.describe(name="The adapter.")
    async def unload(self, interaction: asking.Interaction, name: Adapter) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        placed = await interaction.client.stock.unload(asking.who(interaction), name)
        await _said(interaction, say("{name} is in memory no more.", name=code(placed.name, 60)))

    @app_commands.command(description="Keeps an adapter in memory, also after restarts.")
    @app_commands.describe(name="The adapter.")
    async def pin(self, interaction: asking.Interaction, name: Adapter) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        placed = await interaction.client.stock.pin(asking.who(interaction), name)
        await _said(interaction, say("{name} stays in memory.", name=code(placed.name, 60)) + _later(placed))

    @app_commands.command(description="Lets a pinned adapter leave memory like any other.")
    @app_commands.describe(name="The adapter.")
    async def unpin(self, interaction: asking.Interaction, name: Adapter) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        placed = await interaction.client.stock.unpin(asking.who(interaction), name)
        await _said(interaction, say("{name} may leave memory like any other.", name=code(placed.name, 60)))

    @app_commands.command(description="Loads an adapter at every start and after every change of the base model.")
    @app_commands.describe(name="The adapter.", on="Whether it is to be so; no takes it back.")
    async def warm(self, interaction: asking.Interaction, name: Adapter, on: bool = True) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        stock, who = interaction.client.stock, asking.who(interaction)
        placed = await (stock.warm(who, name) if on else stock.cool(who, name))
        words = say("{name} is loaded at every start from now on.", name=code(placed.name, 60))
        if not on:
            words = say("{name} is loaded when somebody draws with it.", name=code(placed.name, 60))
        await _said(interaction, words + _later(placed))

    @app_commands.command(description="Forbids an adapter, by its content, under whatever name.")
    @app_commands.describe(
        name="The adapter, or the SHA-256 of a file.",
        reason="Why, as the end of a sentence; its owner reads it.",
        everywhere="In every server; for the people who run the bot.",
    )
    async def ban(
        self, interaction: asking.Interaction, name: Adapter, reason: Reason, everywhere: bool = False
    ) -> None:
        called = await interaction.client.moderation.ban(asking.who(interaction), name, reason, everywhere)
        await _said(interaction, say("{name} may not be used any more: {reason}", **_why(called, reason)))

    @app_commands.command(description="Allows an adapter again that was forbidden.")
    @app_commands.describe(
        name="Its name, or the beginning of its hash.", everywhere="In every server; for the people who run the bot."
    )
    async def unban(self, interaction: asking.Interaction, name: Range[str, 1, 200], everywhere: bool = False) -> None:
        ban = await interaction.client.moderation.unban(asking.who(interaction), name, everywhere)
        await _said(interaction, say("{name} may be used again.", name=code(ban.name, 60)))

    @app_commands.command(description="Keeps an adapter from being drawn with until it is released.")
    @app_commands.describe(
        name="The adapter.", reason="Why, as the end of a sentence.", release="Lets it out of quarantine instead."
    )
    async def quarantine(
        self, interaction: asking.Interaction, name: Adapter, reason: Reason | None = None, release: bool = False
    ) -> None:
        moderation, who = interaction.client.moderation, asking.who(interaction)
        if release:
            entry = await moderation.release(who, name)
            await _said(interaction, say("{name} may be drawn with again.", name=code(entry.name, 60)))
            return
        why = reason or say("somebody who runs this bot is looking at it")
        entry = await moderation.quarantine(who, name, why)
        await _said(interaction, say("{name} is in quarantine: {reason}", **_why(entry.name, why)))


def _why(name: str, reason: str) -> dict[str, str]:
    return {"name": code(name, 60), "reason": safe(reason, 200)}


def _later(placed: Placed) -> str:
    if not placed.later:
        return ""
    family = safe(placed.family, 40)
    return " " + say("It will be loaded with the next base model of its kind: {family}.", family=family)


async def _said(interaction: asking.Interaction, words: str) -> None:
    if interaction.response.is_done():
        await interaction.edit_original_response(view=note(words))
    else:
        await interaction.response.send_message(view=note(words), ephemeral=True)


async def setup(bot: Bot) -> None:
    await bot.add_cog(AdapterCog())
