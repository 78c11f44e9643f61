"""/lora list, info: which adapters there are, and what one of them is."""

from __future__ import annotations

from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from ...views import asking, lists
from ..options import AdapterName

LISTED = 100  # more than one message holds, which says that there are more


class Find(commands.Cog):
    @app_commands.command(name="list", description="Lists the adapters you can draw with.")
    @app_commands.describe(search="A part of the name.")
    async def list_(self, interaction: asking.Interaction, search: Range[str, 0, 100] = "") -> None:
        found = await interaction.client.orders.adapters(asking.who(interaction), search.strip(), limit=LISTED)
        await interaction.response.send_message(view=lists.adapters(found, search), ephemeral=True)

    @app_commands.command(description="Shows what an adapter is: its words, its maker, what it fits.")
    @app_commands.describe(name="The adapter.")
    async def info(self, interaction: asking.Interaction, name: Transform[str, AdapterName]) -> None:
        entry = await interaction.client.orders.adapter(asking.who(interaction), name)
        await interaction.response.send_message(view=lists.adapter(entry), ephemeral=True)
