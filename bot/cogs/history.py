"""/history: what one has made, to open and to make again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from ..views import asking
from ..views.history import OpenJob, TurnPage, history_card

if TYPE_CHECKING:
    from ..client import Bot


class History(commands.Cog):
    @app_commands.command(description="Shows the pictures you have made; only you see the answer.")
    @app_commands.describe(page="Which page, counted from the newest.")
    async def history(self, interaction: asking.Interaction, page: Range[int, 1, 100000] = 1) -> None:
        found = await interaction.client.orders.history(asking.who(interaction), page)
        await interaction.response.send_message(view=history_card(found), ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(OpenJob, TurnPage)
    await bot.add_cog(History())
