"""/lora add: an adapter from elsewhere becomes a member's own."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
from discord import app_commands, ui
from discord.app_commands import Choice, Range
from discord.ext import commands

from engine import BadRequest, read_picture

from ...importing import megabytes
from ...language import say
from ...orders.additions import EVERYONE, GUILD, PRIVATE
from ...views import asking
from ...views.adding import SentButton, show_named, show_offer
from ...views.forms import Form
from ...views.offers import link_card
from ..options import IMAGE_TYPES, read_image

TYPED = 2000  # characters of a source


class Add(commands.Cog):
    @app_commands.command(description="Adds an adapter: from Civitai, Hugging Face, the web, a file, or a picture.")
    @app_commands.describe(
        source="Its page or address, a Civitai AIR or hash, or a Hugging Face repository.",
        file="A .safetensors file; or a picture whose metadata name adapters.",
        name="What to call it here.",
        visibility="Who sees it; only you, if you do not say.",
        large="Gives you a link for a file that is too large for Discord.",
    )
    @app_commands.choices(
        visibility=[
            Choice(name="only me", value=PRIVATE),
            Choice(name="this server", value=GUILD),
            Choice(name="everyone on this bot", value=EVERYONE),
        ]
    )
    async def add(
        self,
        interaction: asking.Interaction,
        source: Range[str, 0, TYPED] = "",
        file: discord.Attachment | None = None,
        name: Range[str, 0, 100] = "",
        visibility: str = PRIVATE,
        large: bool = False,
    ) -> None:
        if large:
            await _give_link(interaction, name, visibility)
        elif source.strip() or file is not None:
            await _look(interaction, source, file, name, visibility)
        else:
            await AddForm(name, visibility).show(interaction)


class AddForm(Form):
    """The same by a form: a text, or a file."""

    def __init__(self, name: str, visibility: str) -> None:
        super().__init__(say("Add an adapter"))
        self.name = name
        self.visibility = visibility
        hint = say("A Civitai or Hugging Face page, an AIR, a hash, an https address")
        self.source: ui.TextInput[Any] = ui.TextInput(
            custom_id="source", required=False, max_length=TYPED, placeholder=hint
        )
        self.file: ui.FileUpload[Any] = ui.FileUpload(custom_id="file", required=False)
        self.add_item(ui.Label(text=say("Where it is"), component=self.source))
        description = say("A .safetensors file, or a picture whose metadata name adapters.")
        self.add_item(ui.Label(text=say("Or a file"), description=description, component=self.file))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        files = self.file.values
        await _look(interaction, self.source.value, files[0] if files else None, self.name, self.visibility)


async def _look(
    interaction: asking.Interaction, source: str, file: discord.Attachment | None, name: str, visibility: str
) -> None:
    """The member sees what they have named or sent, before anything of it is kept."""
    source = source.strip()
    if bool(source) == (file is not None):
        raise BadRequest("Say where the adapter is, or send a file; one of the two.")
    await interaction.response.defer(ephemeral=True, thinking=True)
    who, intake = asking.who(interaction), interaction.client.intake
    if file is None:
        await show_offer(interaction, await intake.look(who, source, name=name, visibility=visibility))
    elif (file.content_type or "").split(";")[0] in IMAGE_TYPES:
        await _look_at_picture(interaction, file, visibility)
    else:
        offer = await intake.look_at_upload(who, file.url, file.filename, file.size, name=name, visibility=visibility)
        await show_offer(interaction, offer)


async def _look_at_picture(interaction: asking.Interaction, file: discord.Attachment, visibility: str) -> None:
    reading = await asyncio.to_thread(read_picture, await read_image(interaction, file))
    if not reading.request.adapters:
        raise BadRequest("The metadata of this picture name no adapter.")
    who = asking.who(interaction)
    models = (await interaction.client.settings.of(who)).models or ()
    found = await interaction.client.orders.replay(reading, who, models, ())
    await show_named(interaction, found, visibility)


async def _give_link(interaction: asking.Interaction, name: str, visibility: str) -> None:
    drop, intake, who = interaction.client.drop, interaction.client.intake, asking.who(interaction)
    if drop is None:
        raise BadRequest("Whoever runs this bot has set up no page for large files; /lora add source: takes addresses.")
    number = await intake.invite(who, name=name, visibility=visibility)
    address, minutes = drop.link(who.member_id, who.guild_id, number), interaction.client.config.drop.minutes
    card = link_card(address, megabytes(intake.cap), minutes, SentButton(number))
    await interaction.response.send_message(view=card, ephemeral=True)
