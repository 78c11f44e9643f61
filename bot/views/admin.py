"""The cards of /admin: a server's unfinished jobs, and its audit by pages."""

from __future__ import annotations

import json
import re
from typing import Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import say
from ..orders import AuditEntry, AuditPage, Job, JobState, Overview, Ticket
from ..replies import border
from . import asking
from .cards import Card
from .text import code, lines, safe

PROMPT_SHOWN = 80
DETAILS_SHOWN = 160


class OlderEntries(
    ui.DynamicItem[ui.Button[ui.LayoutView]], template=r"loom:audit:(?P<where>here|everywhere):(?P<before>\d{1,18})"
):
    """Goes on to older entries of the audit. Who may see them is asked again."""

    def __init__(self, before: int, *, everywhere: bool) -> None:
        where = "everywhere" if everywhere else "here"
        super().__init__(
            ui.Button(label=say("Older"), style=ButtonStyle.secondary, custom_id=f"loom:audit:{where}:{before}")
        )
        self.before = before
        self.everywhere = everywhere

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["before"]), everywhere=match["where"] == "everywhere")

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            oversight, who = interaction.client.oversight, asking.who(interaction)
            page = await oversight.audit(who, self.before, everywhere=self.everywhere)
            await interaction.response.edit_message(view=audit_card(page, everywhere=self.everywhere))


def overview_card(found: Overview) -> Card:
    """A line a job; words that are not for whoever looks are left out."""
    head = say("{waiting} waiting and {running} running in all.", waiting=found.waiting, running=found.running)
    paused = [say("Orders are refused now: {why}", why=safe(found.paused, 300))] if found.paused else []
    listed = [_job(job, ticket) for job, ticket in found.jobs] or [say("Nothing of this server is unfinished.")]
    return Card(ui.TextDisplay(lines([head, *paused, *listed], say("And more."))))


def audit_card(page: AuditPage, *, everywhere: bool) -> Card:
    """A line an entry, newest first, and the way to older ones."""
    listed = [_entry(entry) for entry in page.entries] or [say("Nothing was done here yet.")]
    text = ui.TextDisplay[Any](lines(listed, say("And more.")))
    if page.older is None:
        return Card(text)
    return Card(text, ui.ActionRow[Any](OlderEntries(page.older, everywhere=everywhere)))


def _job(job: Job, ticket: Ticket) -> str:
    state = say("running") if job.state is JobState.RUNNING else say("place {place}", place=ticket.place)
    wait = "" if ticket.wait is None else say("about {n} s", n=max(1, round(ticket.wait)))
    when = discord.utils.format_dt(job.created_at, "R")
    words = code(job.request.prompt, PROMPT_SHOWN) if job.request.prompt else ""
    facts = (f"<@{job.order.who.member_id}>", f"<#{job.order.who.channel_id}>", state, wait, when, words)
    return "- " + " · ".join(filter(None, facts))


def _entry(entry: AuditEntry) -> str:
    by = f"<@{entry.actor_id}>" if entry.actor_id else say("the bot, or somebody forgotten")
    details = code(json.dumps(dict(entry.details), ensure_ascii=False), DETAILS_SHOWN) if entry.details else ""
    when = discord.utils.format_dt(entry.at, "f")
    return "- " + " · ".join(filter(None, (when, by, safe(entry.action, 40), code(entry.subject, 60), details)))
