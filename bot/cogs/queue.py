"""/queue: how long the line is, and where one's own jobs stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.ext import commands

from ..views import asking, lists

if TYPE_CHECKING:
    from ..client import Bot


class QueueCog(commands.Cog):
    @app_commands.command(description="Shows how long the line is, and where your pictures are in it.")
    async def queue(self, interaction: asking.Interaction) -> None:
        line = await interaction.client.orders.queue(asking.who(interaction))
        await interaction.response.send_message(view=lists.queue(line), ephemeral=True)


async def setup(bot: Bot) -> None:
    await bot.add_cog(QueueCog())
