"""/metadata of a file or a text, "Read metadata" on a message: how a picture was made, and the way to make it again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from engine import EngineError, ImageUnreadable, MetadataUnreadable, Reading, read_infotext, read_picture

from ..views import asking
from ..views.metadata import InfotextForm, MakeAgain, show
from .options import IMAGE_TYPES, read_image

if TYPE_CHECKING:
    from ..client import Bot

MENU = "Read metadata"


class Metadata(commands.Cog):
    @app_commands.command(description="Shows how a picture was made; only you see the answer.")
    @app_commands.describe(
        image="The picture's file as it was saved, with the metadata in it; left out, you paste a text."
    )
    async def metadata(self, interaction: asking.Interaction, image: discord.Attachment | None = None) -> None:
        if image is None:
            await InfotextForm().show(interaction)
            return
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show(interaction, await _reading(interaction, image))


async def read_message(interaction: asking.Interaction, message: discord.Message) -> None:
    """The first of the message's pictures that says how it was made, or else its words."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    await show(interaction, await _first(interaction, message))


async def _first(interaction: asking.Interaction, message: discord.Message) -> Reading:
    refused: EngineError | None = None
    for file in message.attachments:
        if (file.content_type or "").split(";")[0] in IMAGE_TYPES:
            try:
                return await _reading(interaction, file)
            except (ImageUnreadable, MetadataUnreadable) as error:
                refused = refused or error
    if message.content:
        try:
            return await asyncio.to_thread(read_infotext, message.content)
        except MetadataUnreadable as error:
            refused = refused or error
    raise refused or MetadataUnreadable("That message holds no picture's file; save the picture and use /metadata.")


async def _reading(interaction: asking.Interaction, image: discord.Attachment) -> Reading:
    """Off the event loop, for pixels may have to be searched."""
    return await asyncio.to_thread(read_picture, await read_image(interaction, image))


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(MakeAgain)
    await bot.add_cog(Metadata())
    bot.tree.add_command(app_commands.ContextMenu(name=MENU, callback=read_message))


async def teardown(bot: Bot) -> None:
    bot.tree.remove_command(MENU, type=discord.AppCommandType.message)
    bot.remove_dynamic_items(MakeAgain)
