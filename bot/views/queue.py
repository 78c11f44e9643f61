"""The line, where one's own jobs stand in it, and the menu that cancels one; it holds ids, so it needs no memory."""

from __future__ import annotations

import re
from typing import Any, Self

import discord
from discord import ui

from ..language import say
from ..orders import Job, JobState, Queue, Ticket
from ..replies import border
from . import asking
from .cards import Card
from .text import code, lines, shortened

PROMPT_SHOWN = 80
MOST = 25  # choices of one menu


class CancelJob(ui.DynamicItem[ui.Select[ui.LayoutView]], template=r"loom:queue:cancel"):
    """Cancels the job that is chosen. Whether whoever chooses may do it is decided by the use-case."""

    def __init__(self, line: Queue | None = None) -> None:
        mine = [(job, ticket) for job, ticket in (line.mine if line else ()) if _may_be_cancelled(job)]
        options = [
            discord.SelectOption(label=_label(job), value=job.id, description=_standing(ticket)[:100])
            for job, ticket in mine[:MOST]
        ]
        select: ui.Select[ui.LayoutView] = ui.Select(
            custom_id="loom:queue:cancel", placeholder=say("Cancel one…"), options=options
        )
        super().__init__(select)

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls()

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await asking.acknowledge(interaction)
            orders, who = interaction.client.orders, asking.who(interaction)
            await orders.cancel(self.item.values[0], who)
            await interaction.edit_original_response(view=queue_card(await orders.queue(who)))


def queue_card(line: Queue) -> Card:
    """How long the line is, one's own jobs with what each will take, and the menu that cancels them."""
    head = [
        say("{waiting} waiting, {running} running.", waiting=line.waiting, running=line.running)
        if line.waiting
        else say("Nothing waits, {running} running.", running=line.running)
    ]
    if line.left is not None:
        head.append(say("You may order {seconds:.0f} s more of drawing today.", seconds=line.left))
    mine = [f"- {_standing(ticket)}: {code(job.request.prompt, PROMPT_SHOWN)}" for job, ticket in line.mine]
    text = ui.TextDisplay[Any](lines([" ".join(head), *mine], say("And more of yours.")))
    menu = [ui.ActionRow[Any](CancelJob(line))] if any(_may_be_cancelled(job) for job, _ in line.mine) else []
    return Card(text, *menu)


def _may_be_cancelled(job: Job) -> bool:
    """Whether its pictures are still to be drawn."""
    return not job.state.final and job.state not in (JobState.RENDERED, JobState.POSTING)


def _standing(ticket: Ticket) -> str:
    """The place, the wait, and how much of it the job itself costs, as far as they are known."""
    if ticket.wait is None:
        return say("place {place}", place=ticket.place)
    seconds = max(1, round(ticket.wait))
    if ticket.cost is None:
        return say("place {place}, about {seconds} s", place=ticket.place, seconds=seconds)
    cost = max(1, round(ticket.cost))
    return say(
        "place {place}, about {seconds} s, {cost} s of it to draw", place=ticket.place, seconds=seconds, cost=cost
    )


def _label(job: Job) -> str:
    return shortened(" ".join(job.request.prompt.split()), 100) or job.id
