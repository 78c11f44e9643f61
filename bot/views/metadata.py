"""What a picture's metadata say, and the button that draws it again.

The card carries what it would draw as a small text file, an infotext; the button reads the file of its own message. So
it needs no memory, works after a restart, and finds the adapters by their content whatever they are called by then.
"""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Self

import aiohttp
import discord
from discord import ButtonStyle, ui

from engine import BadRequest, MetadataUnreadable, Reading, Request, read_infotext

from ..language import said, say, say_many, unsaid
from ..orders import Replay, Ticket
from ..replies import border
from . import asking
from .cards import Card, words
from .forms import Form
from .text import code, lines, safe, weight

FILE = "infotext.txt"
MOST = 200_000  # bytes of such a file: two prompts of 6000 characters, twice, and 16 adapters are less
PASTED = 4000  # characters, the most that Discord takes in a form
ROOM = 1400  # characters for adapters and notes, of the 4000 that Discord gives one message
_SAME = unsaid("{name} {weight}: here as {own}, the same file")
_NAMED = unsaid("{name} {weight}: here by its name, {own}")
_GONE = unsaid("The file of this message is gone; read the picture's metadata once more.")


class MakeAgain(ui.DynamicItem[ui.Button[ui.LayoutView]], template=r"loom:replay"):
    """Orders what the file of its message says."""

    def __init__(self) -> None:
        super().__init__(ui.Button(label=say("Make again"), style=ButtonStyle.primary, custom_id="loom:replay"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls()

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await asking.place(interaction, _ordered(interaction))


class InfotextForm(Form):
    """Reads what other tools copy in place of a picture."""

    def __init__(self) -> None:
        super().__init__(say("How a picture was made"))
        self.text: ui.TextInput[Any] = ui.TextInput(
            custom_id="text",
            style=discord.TextStyle.paragraph,
            max_length=PASTED,
            placeholder=say("Steps: 20, Seed: 7…"),
        )
        hint = say("As the WebUI writes it and Civitai copies it, or the JSON of another tool.")
        self.add_item(ui.Label(text=say("The picture's metadata"), description=hint, component=self.text))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await show(interaction, await asyncio.to_thread(read_infotext, self.text.value))


async def show(interaction: asking.Interaction, reading: Reading) -> None:
    """The answer, which was deferred, shows the reading and what of it can be made here."""
    found = await _replayed(interaction, reading)
    file = discord.File(io.BytesIO(found.infotext.encode()), FILE)
    await interaction.edit_original_response(view=metadata_card(found), attachments=[file])


def metadata_card(found: Replay) -> Card:
    """Words, settings, adapters found and missing, notes; the file and the button."""
    request = found.request
    listed = lines(
        [*_adapters(found), *(f"-# {safe(said(note), 200)}" for note in found.notes)], say("And more."), ROOM
    )
    head = say("Made with {tool}.", tool=found.source)
    texts = [f"{head}\n{words(request)}", _settings(request), listed]
    return Card(
        *(ui.TextDisplay[Any](text) for text in texts if text),
        ui.File(f"attachment://{FILE}"),
        ui.ActionRow[Any](MakeAgain()),
    )


def _settings(request: Request) -> str:
    hires = request.hires
    facts = [
        say("seed {seed}", seed=request.seed) if request.seed is not None else say("no seed"),
        f"{request.width}×{request.height}" if request.width else "",
        say_many("{n} step", "{n} steps", request.steps),
        f"{request.sampler} {request.schedule}".strip(),
        say("cfg {cfg:g}", cfg=request.cfg) if request.cfg is not None else "",
        say("clip skip {n}", n=request.clip_skip) if request.clip_skip > 1 else "",
        say("hires ×{scale:g} at {strength:g}", scale=hires.scale, strength=hires.strength) if hires else "",
        code(request.model, 60) if request.model else "",
        code(request.vae, 60) if request.vae else "",
    ]
    return " · ".join(filter(None, facts))


def _adapters(found: Replay) -> list[str]:
    """A line an adapter: what it is called here, or that it is not here and how to look for it."""
    here = [
        say(
            _SAME if one.same else _NAMED,
            name=code(one.use.name, 60),
            weight=weight(one.use.weight),
            own=code(one.entry.name, 60),
        )
        for one in found.found
    ]
    gone = [
        say("{name}: not here, hash {hash}", name=code(name, 60), hash=code(digest, 64))
        if digest
        else say("{name}: not here", name=code(name, 60))
        for name, digest in found.missing
    ]
    return [f"- {line}" for line in here + gone]


async def _replayed(interaction: asking.Interaction, reading: Reading) -> Replay:
    who = asking.who(interaction)
    models = (await interaction.client.settings.of(who)).models or ()
    return await interaction.client.orders.replay(reading, who, models, interaction.client.config.engine.vaes)


async def _ordered(interaction: asking.Interaction) -> Ticket:
    message = interaction.message
    files = message.attachments if message is not None else []
    file = next((file for file in files if file.filename == FILE and file.size <= MOST), None)
    if file is None:
        raise MetadataUnreadable(_GONE)
    try:
        text = (await file.read()).decode("utf-8")
    except (discord.HTTPException, aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
        raise MetadataUnreadable(_GONE) from error
    found = await _replayed(interaction, await asyncio.to_thread(read_infotext, text))
    if not found.request.prompt and not found.request.adapters:
        raise BadRequest("The metadata hold no prompt, so there is nothing to draw.")
    return await interaction.client.orders.imagine(asking.order(interaction, found.request))
