"""/moderate: the reports of this server, and taking adapters down and back again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from ..language import say
from ..orders.moderation import REASON
from ..views import asking
from ..views.cards import note
from ..views.moderating import ReportButton, open_queue
from ..views.text import code
from .options import OFFERED, AnyAdapter, Choice

if TYPE_CHECKING:
    from ..client import Bot


class TakenDown(app_commands.Transformer):
    """The name of an adapter that was taken down here, or everywhere where that is asked for."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value.strip()

    async def autocomplete(  # type: ignore[override]  # discord.py types the value of every option at once
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        moderation, everywhere = interaction.client.moderation, bool(interaction.namespace.everywhere)
        bans = await moderation.bans(asking.who(interaction), everywhere=everywhere)
        names = dict.fromkeys(ban.name for ban in bans if value.strip().casefold() in ban.name.casefold())
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in list(names)[:OFFERED]]


class Moderate(commands.GroupCog, name="moderate", description="What members reported, and what follows from it."):
    @app_commands.command(description="Shows what members have reported, one at a time.")
    async def reports(self, interaction: asking.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await open_queue(interaction)

    @app_commands.command(description="Takes an adapter down in this server, under every name and with its forks.")
    @app_commands.describe(
        adapter="The adapter.",
        reason="Why, for its owner to read: it …",
        everywhere="In every server; for the people who run this bot.",
    )
    async def takedown(
        self,
        interaction: asking.Interaction,
        adapter: Transform[str, AnyAdapter],
        reason: Range[str, 1, REASON],
        everywhere: bool = False,
    ) -> None:
        who = asking.who(interaction)
        entry = await interaction.client.moderation.takedown(who, adapter, reason, everywhere=everywhere)
        shown = code(entry.name, 80)
        said = (
            say("{name} is taken down everywhere. `/moderate restore` takes that back.", name=shown)
            if everywhere
            else say("{name} is taken down here. `/moderate restore` takes that back.", name=shown)
        )
        await interaction.response.send_message(view=note(said), ephemeral=True)

    @app_commands.command(description="Lets an adapter be used again that was taken down.")
    @app_commands.describe(
        name="What it was called, or the beginning of its hash.",
        everywhere="What was taken down in every server; for the people who run this bot.",
    )
    async def restore(
        self, interaction: asking.Interaction, name: Transform[str, TakenDown], everywhere: bool = False
    ) -> None:
        ban = await interaction.client.moderation.restore(asking.who(interaction), name, everywhere=everywhere)
        said = say("{name} may be used again.", name=code(ban.name, 80))
        await interaction.response.send_message(view=note(said), ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(ReportButton)
    await bot.add_cog(Moderate())
