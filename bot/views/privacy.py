"""The question whether everything of a person is to be deleted."""

from __future__ import annotations

from typing import Any

import discord
from discord import ButtonStyle, ui

from ..language import say, say_many
from ..orders import Holdings, Shared
from ..replies import border
from . import asking
from .cards import FAULT, Card, note
from .numbered import NUMBER, Numbered

KEEP = "keep"


class AnswerForget(
    Numbered,
    ui.DynamicItem[ui.Button[ui.LayoutView]],
    template=rf"loom:forget:(?P<verb>{'|'.join([*Shared, KEEP])}):{NUMBER}",
):
    """Yes, and what becomes of the adapters that were shared; or no."""

    def __init__(self, verb: str, number: str, label: str = "") -> None:
        style = ButtonStyle.secondary if verb == KEEP else ButtonStyle.danger
        super().__init__(ui.Button(label=label or verb, style=style, custom_id=f"loom:forget:{verb}:{number}"))
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            privacy, who = interaction.client.privacy, asking.who(interaction)
            if self.verb == KEEP:
                await privacy.keep(who, self.number)
                await interaction.response.edit_message(view=note(say("Nothing was deleted.")))
                return
            await interaction.response.defer()
            await privacy.delete(who, self.number, Shared(self.verb))
            await interaction.edit_original_response(
                view=note(
                    say(
                        "Everything the bot held of you is gone. If you use it again, you are somebody new to it; "
                        "backups that its owners keep forget you when they are used."
                    )
                )
            )


def forget_card(number: str, holdings: Holdings) -> Card:
    """What would be deleted, and one button for each way of doing so."""
    held = holdings
    counted = [
        (held.jobs, say_many("{n} order with its words", "{n} orders with their words", held.jobs)),
        (held.pictures, say_many("{n} picture", "{n} pictures", held.pictures)),
        (held.private, say_many("{n} private adapter", "{n} private adapters", held.private)),
        (held.shared, say_many("{n} shared adapter", "{n} shared adapters", held.shared)),
        (held.ratings, say_many("{n} rating", "{n} ratings", held.ratings)),
        (held.favourites, say_many("{n} favourite", "{n} favourites", held.favourites)),
        (held.reports, say_many("your words in {n} report", "your words in {n} reports", held.reports)),
    ]
    said = [
        say("This deletes everything the bot holds of you, for good and within a minute:"),
        *(f"- {words}" for number_of, words in counted if number_of),
        "- " + say("your settings, and your name in the record of what was done"),
        "-# " + say("Pictures that were posted stay in their channels; Delete under them removes them, before this."),
    ]
    if holdings.shared:
        said.append("-# " + say("Adapters that you have shared can stay for the others, without belonging to you."))
    answers = ui.ActionRow[Any](*_buttons(number, holdings))
    return Card(ui.TextDisplay("\n".join(said)), answers, colour=FAULT)


def _buttons(number: str, holdings: Holdings) -> list[AnswerForget]:
    everything = say("Delete everything")
    buttons = [AnswerForget(Shared.REMOVED, number, everything)]
    if holdings.shared:
        buttons.append(AnswerForget(Shared.NAMELESS, number, say("Leave shared adapters")))
    if holdings.credited:
        buttons.append(AnswerForget(Shared.CREDITED, number, say("Leave them, with credit")))
    return [*buttons, AnswerForget(KEEP, number, say("Keep everything"))]
