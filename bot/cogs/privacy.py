"""/privacy: everything the bot holds of a person, for that person to have or to have gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from ..language import say, say_many
from ..views import asking
from ..views.privacy import AnswerForget, forget_card

if TYPE_CHECKING:
    from ..client import Bot

SMALLEST = 10 << 20  # bytes that Discord takes everywhere; it tells where it takes more
ROOM = 64 << 10  # bytes of a message beside its file


class PrivacyCog(commands.GroupCog, name="privacy", description="What the bot holds of you."):
    @app_commands.command(description="Sends you everything the bot holds of you, as files that only you see.")
    async def export(self, interaction: asking.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        about = say(
            "This is everything that the bot holds of you. Each .json file is one table of its database; times are "
            "UTC. pictures/ are those that you have made and are still kept, sent/ those that you sent along, "
            "adapters/ and previews/ the adapters that you have added and their sample pictures. `/privacy delete` "
            "removes all of it."
        )
        most = max(interaction.filesize_limit, SMALLEST) - ROOM
        async with interaction.client.privacy.export(asking.who(interaction), most, about) as export:
            for number, path in enumerate(export.parts, start=1):
                words = say("Part {n} of {all}.", n=number, all=len(export.parts)) if len(export.parts) > 1 else ""
                await interaction.followup.send(words, file=discord.File(path, path.name), ephemeral=True)
            if export.left_out:
                words = say_many(
                    "One more file does not fit into what Discord takes; ask the people who run this bot for it.",
                    "{n} more files do not fit into what Discord takes; ask the people who run this bot for them.",
                    len(export.left_out),
                )
                await interaction.followup.send(words, ephemeral=True)

    @app_commands.command(description="Deletes everything the bot holds of you, after asking once.")
    async def delete(self, interaction: asking.Interaction) -> None:
        number, holdings = await interaction.client.privacy.ask(asking.who(interaction))
        await interaction.response.send_message(view=forget_card(number, holdings), ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(AnswerForget)
    await bot.add_cog(PrivacyCog())
