"""A small discord.py bot that uses everything the loopback Discord has; the server's own tests run it."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from typing import Any, TypeAlias

import discord
from discord import app_commands

Interaction: TypeAlias = "discord.Interaction[ExampleBot]"


def png(width: int = 2, height: int = 2) -> bytes:
    """A small grey PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head, rows = (
        struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0),
        zlib.compress((b"\0" + b"\x80" * width) * height),
    )
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Card(discord.ui.LayoutView):
    """A gallery with one picture, a line of text and two buttons."""

    def __init__(self, line: str = "a card") -> None:
        super().__init__(timeout=None)
        gallery = discord.ui.MediaGallery[Any](discord.MediaGalleryItem("attachment://grey.png"))
        row = discord.ui.ActionRow[Any]()
        row.add_item(discord.ui.Button(label="Again", custom_id="again"))
        row.add_item(discord.ui.Button(label="Weights…", custom_id="weights"))
        self.add_item(discord.ui.Container[Any](gallery, discord.ui.TextDisplay(line), row))


class Weights(discord.ui.Modal, title="Weights"):
    ink: discord.ui.TextInput[Any] = discord.ui.TextInput(label="ink", custom_id="ink", default="0.5")

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(f"ink is {self.ink.value}", ephemeral=True)


class ExampleBot(discord.Client):
    def __init__(self) -> None:
        super().__init__(intents=discord.Intents.default(), guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.tree.add_command(pic)
        self.tree.add_command(note)
        self.tree.add_command(late)
        self.errors: list[discord.HTTPException] = []
        self.resumed = 0

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Without discord.py's pause of 5 s before it identifies anew."""

    async def on_resumed(self) -> None:
        self.resumed += 1

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        data: Any = interaction.data or {}
        name = data.get("custom_id")
        if interaction.type is discord.InteractionType.component and name == "weights":
            await interaction.response.send_modal(Weights())
        elif interaction.type is discord.InteractionType.component and name == "again":
            await interaction.response.edit_message(view=Card("pressed"))


@app_commands.command(description="Draws")
@app_commands.describe(text="what", size="how large")
async def pic(interaction: Interaction, text: str, size: app_commands.Range[int, 1, 64] = 2) -> None:
    await interaction.response.defer()
    await interaction.edit_original_response(content="drawing")
    file = discord.File(io.BytesIO(png(size, size)), "grey.png")
    await interaction.edit_original_response(content=None, attachments=[file], view=Card(text))


@app_commands.command(description="Says")
@app_commands.describe(text="what", picture="to measure")
async def note(interaction: Interaction, text: str, picture: discord.Attachment | None = None) -> None:
    await interaction.response.defer(ephemeral=True)
    if picture is not None:
        text += f" {len(await picture.read())} bytes"
    await interaction.followup.send(text, file=discord.File(io.BytesIO(png()), "grey.png"))
    await interaction.followup.send("second", ephemeral=True)


@note.autocomplete("text")
async def texts(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=f"{typed}!", value=typed)]


@app_commands.command(description="Answers late, or twice")
@app_commands.describe(seconds="how late", twice="as two processes with one token would")
async def late(interaction: Interaction, seconds: float = 0.0, twice: bool = False) -> None:
    await asyncio.sleep(seconds)
    try:
        await interaction.response.send_message("here")
        if twice:
            interaction.response._response_type = None
            await interaction.response.send_message("again")
    except discord.HTTPException as error:
        interaction.client.errors.append(error)
