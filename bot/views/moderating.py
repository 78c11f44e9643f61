"""The moderators' queue: one report on a card, what can be decided of it, and the ways to its neighbours.

A button carries the number of its report alone. Who may press it, and what may be decided, is asked when it is pressed.
"""

from __future__ import annotations

import asyncio
import io
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import say
from ..orders.moderation import Decision
from ..orders.verdicts import Outcome, Turn
from ..replies import border
from . import asking
from .cards import Card, note
from .judging import reason_label
from .text import block, code

if TYPE_CHECKING:
    from .asking import Interaction

WORDS_SHOWN = 1000


class Verb(StrEnum):
    """What a button of the queue does."""

    DISMISS = "dismiss"
    HIDE = "hide"
    TAKE_DOWN = "takedown"
    DELETE = "delete"
    PREVIOUS = "previous"
    NEXT = "next"


OUTCOMES = {
    Verb.DISMISS: Outcome.DISMISSED,
    Verb.HIDE: Outcome.HIDDEN,
    Verb.TAKE_DOWN: Outcome.TAKEN_DOWN,
    Verb.DELETE: Outcome.DELETED,
}
_STYLES = {Verb.DISMISS: ButtonStyle.primary, Verb.PREVIOUS: ButtonStyle.secondary, Verb.NEXT: ButtonStyle.secondary}


class ReportButton(
    ui.DynamicItem[ui.Button[ui.LayoutView]],
    template=rf"loom:report:(?P<verb>{'|'.join(Verb)}):(?P<report>\d{{1,18}})",
):
    """One deed on one report."""

    def __init__(self, verb: Verb, report_id: int) -> None:
        style = _STYLES.get(verb, ButtonStyle.danger)
        super().__init__(ui.Button(label=_label(verb), style=style, custom_id=f"loom:report:{verb}:{report_id}"))
        self.verb = verb
        self.report_id = report_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(Verb(match["verb"]), int(match["report"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await interaction.response.defer()  # a picture may take longer to send than Discord waits
            if self.verb in OUTCOMES:
                await _decide(interaction, self.report_id, OUTCOMES[self.verb])
            else:
                await _show(interaction, self.report_id, back=self.verb is Verb.PREVIOUS)


async def open_queue(interaction: Interaction) -> None:
    """The oldest open report is the answer, which was deferred."""
    await _show(interaction, 0)


def report_card(turn: Turn, file: discord.File | None, *, owner: bool, said: str = "") -> Card:
    """One report: what of, why, in whose words, by whom, with a hidden picture; and the buttons.

    `owner`: they run this bot and may take down everywhere. `said` is what the last press did.
    """
    report = turn.report
    what = say("Adapter {name}", name=code(report.subject, 80)) if report.is_of_adapter else say("A picture")
    by = say("somebody who has left") if report.member_id is None else f"<@{report.member_id}>"
    when = discord.utils.format_dt(report.created_at, "R")
    head = say("Report {number} of {total}", number=turn.number, total=turn.total)
    lines = [
        *([said] if said else []),
        f"-# {head}",
        f"{what}: **{reason_label(report.reason)}**",
        say("reported by {name}, {when}", name=by, when=when),
        *([block(report.words, WORDS_SHOWN)] if report.words.strip() else []),
    ]
    sample = [] if file is None else [ui.MediaGallery[Any](discord.MediaGalleryItem(file, spoiler=True))]
    verbs = [verb for verb, outcome in OUTCOMES.items() if outcome in report.choices(owner=owner)]
    turns = [Verb.PREVIOUS, Verb.NEXT] if turn.total > 1 else []
    rows = [ui.ActionRow[Any](*(ReportButton(verb, report.id) for verb in row)) for row in (verbs, turns) if row]
    return Card(ui.TextDisplay[Any]("\n".join(lines)), *sample, *rows)


async def _show(interaction: Interaction, after: int, *, back: bool = False, said: str = "") -> None:
    """The answer shows the next open report, or that there is none."""
    who = asking.who(interaction)
    turn = await interaction.client.moderation.reports(who, after, back=back)
    if turn is None:
        nothing = say("Nothing is reported here.")
        await interaction.edit_original_response(view=note(f"{said}\n{nothing}".strip()), attachments=[])
        return
    file = await asyncio.to_thread(_file, turn.picture)
    card = report_card(turn, file, owner=who.owner, said=said)
    await interaction.edit_original_response(view=card, attachments=[] if file is None else [file])


async def _decide(interaction: Interaction, report_id: int, outcome: Outcome) -> None:
    decision = await interaction.client.moderation.decide(asking.who(interaction), report_id, outcome)
    if decision.job is not None:
        await asking.remove_message(interaction, decision.job)
    await _show(interaction, report_id, said=_done(decision))


def _done(decision: Decision) -> str:
    name = code(decision.report.subject, 80)
    return {
        Outcome.DISMISSED: say("Dismissed."),
        Outcome.HIDDEN: say("{name} is taken down here. `/moderate restore` takes that back.", name=name),
        Outcome.TAKEN_DOWN: say("{name} is taken down everywhere. `/moderate restore` takes that back.", name=name),
        Outcome.DELETED: say("The picture is deleted."),
    }[decision.outcome]


def _label(verb: Verb) -> str:
    return {
        Verb.DISMISS: say("Dismiss"),
        Verb.HIDE: say("Hide here"),
        Verb.TAKE_DOWN: say("Take down everywhere"),
        Verb.DELETE: say("Delete the picture"),
        Verb.PREVIOUS: say("Previous"),
        Verb.NEXT: say("Next"),
    }[verb]


def _file(picture: Path | None) -> discord.File | None:
    if picture is None or not picture.is_file():
        return None
    return discord.File(io.BytesIO(picture.read_bytes()), filename=f"reported{picture.suffix}", spoiler=True)
