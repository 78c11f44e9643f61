"""What members say of an adapter or a picture: the forms, and what they read in answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import discord
from discord import ui

from ..language import say
from ..orders import CatalogEntry
from ..orders.judging import STARS, WORDS
from ..orders.verdicts import Outcome, Reason, Report
from . import asking
from .adapter import AdapterAction, adapter_deed
from .asking import Interaction
from .cards import Card, note
from .forms import Form
from .reviews import ReviewsButton, standing, star_line
from .text import code, shortened

if TYPE_CHECKING:
    from ..client import Bot


def reason_label(reason: Reason) -> str:
    """The reason as members read it."""
    return {
        Reason.MINORS: say("Sexual, with minors"),
        Reason.PERSON: say("Shows a real person"),
        Reason.STOLEN: say("Shared without its maker's leave"),
        Reason.MATURE: say("Not for everybody, and not marked so"),
        Reason.HATE: say("Insults or threatens people"),
        Reason.BROKEN: say("Does not work"),
        Reason.OTHER: say("Something else"),
    }[reason]


def rated(entry: CatalogEntry, stars: int) -> Card:
    """The answer to a rating: what it is now, and the way to what others said."""
    name = code(entry.name, 60)
    if stars:
        said = say("You give {name} {stars}.", name=name, stars=star_line(stars))
    else:
        said = say("You say nothing of {name} any more.", name=name)
    row = ui.ActionRow[Any](ReviewsButton(entry.id))
    return Card(ui.TextDisplay[Any](f"{said}\n-# {standing(entry)}"), row)


def filed(report: Report, *, is_new: bool) -> str:
    """What whoever reported reads: that it waits, or what became of it."""
    if is_new and report.guild_id is None:
        return say(
            "Thank you. The people who run this bot will look at it. Send the same again to see what became of it."
        )
    if is_new:
        return say("Thank you. The moderators here will look at it. Send the same again to see what became of it.")
    return {
        Outcome.OPEN: say("You have reported this; it still waits for a moderator."),
        Outcome.DISMISSED: say("You have reported this; a moderator looked at it and left it as it is."),
        Outcome.HIDDEN: say("You have reported this; a moderator has taken it down here."),
        Outcome.TAKEN_DOWN: say("You have reported this; it was taken down everywhere."),
        Outcome.DELETED: say("You have reported this; a moderator has deleted the picture."),
    }[report.outcome]


class RateForm(Form):
    """Sent, it is the member's rating of the entry in place of the one before, or takes that back."""

    def __init__(self, entry: CatalogEntry) -> None:
        super().__init__(shortened(say("Rate {name}", name=entry.name), 45))
        self.short_id = entry.short_id
        options = [discord.SelectOption(label=star_line(stars), value=str(stars)) for stars in range(STARS, 0, -1)]
        options.append(discord.SelectOption(label=say("take my rating back"), value="0"))
        self.stars: ui.Select[Any] = ui.Select(custom_id="stars", options=options)
        self.words = _words_field()
        self.add_item(ui.Label(text=say("Stars"), component=self.stars))
        self.add_item(ui.Label(text=say("What would you tell others about it?"), component=self.words))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        judging, who, stars = interaction.client.judging, asking.who(interaction), int(self.stars.values[0])
        if stars:
            entry = await judging.rate(who, self.short_id, stars, self.words.value)
        else:
            entry = await judging.unrate(who, self.short_id)
        await interaction.edit_original_response(view=rated(entry, stars))


class ReportForm(Form):
    """Sent, the job or the adapter (`short_id`) that it is about is in the moderators' queue."""

    def __init__(self, title: str, *, job_id: str = "", short_id: str = "") -> None:
        super().__init__(shortened(title, 45))
        self.job_id = job_id
        self.short_id = short_id
        options = [discord.SelectOption(label=reason_label(reason), value=reason) for reason in Reason]
        self.reason: ui.Select[Any] = ui.Select(custom_id="reason", options=options)
        self.words = _words_field()
        self.add_item(ui.Label(text=say("What is wrong with it?"), component=self.reason))
        self.add_item(ui.Label(text=say("What should the moderators know?"), component=self.words))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        judging, who = interaction.client.judging, asking.who(interaction)
        reason, words = Reason(self.reason.values[0]), self.words.value
        if self.job_id:
            report, is_new = await judging.report_job(who, self.job_id, reason, words)
        else:
            report, is_new = await judging.report(who, self.short_id, reason, words)
        await interaction.response.send_message(view=note(filed(report, is_new=is_new)), ephemeral=True)


@adapter_deed(AdapterAction.RATE)
async def _rate(interaction: Interaction, short_id: str) -> None:
    entry = await interaction.client.orders.adapter(asking.who(interaction), short_id)
    await RateForm(entry).show(interaction)


@adapter_deed(AdapterAction.REPORT)
async def _report(interaction: Interaction, short_id: str) -> None:
    entry = await interaction.client.orders.adapter(asking.who(interaction), short_id)
    await ReportForm(say("Report {name}", name=entry.name), short_id=short_id).show(interaction)


def _words_field() -> ui.TextInput[Any]:
    style = discord.TextStyle.paragraph
    return ui.TextInput(custom_id="words", style=style, required=False, max_length=WORDS)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(ReviewsButton)
