"""/lora remove: the question whether an adapter is to go."""

from __future__ import annotations

from typing import Any

import discord
from discord import ButtonStyle, ui

from ..language import say
from ..orders import CatalogEntry
from ..replies import border
from . import asking
from .cards import Card, note
from .numbered import NUMBER, Numbered
from .text import code


class Decide(Numbered, ui.DynamicItem[ui.Button[ui.LayoutView]], template=rf"loom:remove:(?P<verb>yes|no):{NUMBER}"):
    """Yes or no. What it is about is in the database, under the number."""

    def __init__(self, verb: str, number: str) -> None:
        labels = {"yes": (say("Remove it"), ButtonStyle.danger), "no": (say("Keep it"), ButtonStyle.secondary)}
        label, style = labels[verb]
        super().__init__(ui.Button(label=label, style=style, custom_id=f"loom:remove:{verb}:{number}"))
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            who, shelf = asking.who(interaction), interaction.client.shelf
            if self.verb == "no":
                await shelf.spare(who, self.number)
                await interaction.response.edit_message(view=note(say("It stays.")))
                return
            gone = await shelf.remove(who, self.number)
            said = say("{name} is gone. Forks of it stay with their owners.", name=code(gone.name, 60))
            await interaction.response.edit_message(view=note(said))


def removal_card(number: str, entry: CatalogEntry) -> Card:
    said = say(
        "Remove {name}? Nobody can draw with it under this name any more, and its ratings go with it.",
        name=code(entry.name, 60),
    )
    return Card(ui.TextDisplay(said), ui.ActionRow[Any](Decide("yes", number), Decide("no", number)))
