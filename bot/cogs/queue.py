"""/queue: how long the line is, where one's own jobs stand, and the way out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.ext import commands

from ..views import asking
from ..views.queue import CancelJob, queue_card

if TYPE_CHECKING:
    from ..client import Bot


class QueueCog(commands.Cog):
    @app_commands.command(description="Shows how long the line is and where your pictures are in it, and cancels them.")
    async def queue(self, interaction: asking.Interaction) -> None:
        line = await interaction.client.orders.queue(asking.who(interaction))
        await interaction.response.send_message(view=queue_card(line), ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(CancelJob)
    await bot.add_cog(QueueCog())
