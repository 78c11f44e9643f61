"""The pages of /history. Pages and choices carry their number in their ids, so they need no memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import said, say, unsaid
from ..orders import Job, JobState, Page, StoredPicture
from ..replies import border
from . import asking, cards, pictures
from .text import code, safe, shortened

PROMPT_SHOWN = 90
_ENDS = {
    JobState.FAILED: unsaid("failed"),
    JobState.CANCELLED: unsaid("cancelled"),
    JobState.DEAD: unsaid("not delivered"),
}


class TurnPage(ui.DynamicItem[ui.Button[ui.LayoutView]], template=r"loom:page:(?P<page>\d{1,6}):[pnb]"):
    """Goes to a page of one's own history; `mark` keeps the ids of one card apart: previous, next, back."""

    def __init__(self, page: int, label: str, mark: str) -> None:
        button: ui.Button[ui.LayoutView] = ui.Button(
            label=label, style=ButtonStyle.secondary, custom_id=f"loom:page:{page}:{mark}"
        )
        super().__init__(button)
        self.page = page

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["page"]), "", match[0][-1])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            page = await interaction.client.orders.history(asking.who(interaction), self.page)
            await interaction.response.edit_message(view=history_card(page), attachments=[])


class OpenJob(ui.DynamicItem[ui.Select[ui.LayoutView]], template=r"loom:open:(?P<page>\d{1,6})"):
    """Opens one job of a page of one's own history."""

    def __init__(self, page: Page | int) -> None:
        number = page if isinstance(page, int) else page.number
        jobs = () if isinstance(page, int) else page.jobs
        options = [discord.SelectOption(label=_label(job), value=job.id, description=_about(job)) for job in jobs]
        select: ui.Select[ui.LayoutView] = ui.Select(
            custom_id=f"loom:open:{number}", placeholder=say("Open one…"), options=options
        )
        super().__init__(select)
        self.page = number

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["page"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await interaction.response.defer()  # sending pictures may take longer than Discord waits
            orders, who = interaction.client.orders, asking.who(interaction)
            job = await orders.open_job(self.item.values[0], who)
            withheld = await orders.withheld(job, who) if job.pictures else ""
            if withheld:
                card = cards.note(safe(said(withheld), 500))
                card.add_item(ui.ActionRow(TurnPage(self.page, say("Back"), "b")))
                await interaction.edit_original_response(view=card, attachments=[])
                return

            async def show(files: list[discord.File], left: Sequence[StoredPicture]) -> Sequence[StoredPicture]:
                card = _card(job, files)
                card.add_item(ui.ActionRow(TurnPage(self.page, say("Back"), "b")))
                await interaction.edit_original_response(view=card, attachments=files)
                return left

            for picture in await pictures.sent(job, show):
                await _follow(interaction, replace(job, pictures=(picture,)))


def history_card(page: Page) -> cards.Card:
    """One page: a line for each job, a menu to open one, and the ways to its neighbours."""
    if not page.jobs:
        return cards.Card(ui.TextDisplay(say("You have not made any pictures yet. `/imagine` makes the first.")))
    lines = [f"- {code(job.request.prompt, PROMPT_SHOWN)} · {code(_about(job), 100)}" for job in page.jobs]
    turns = []
    if page.number > 1:
        turns.append(TurnPage(page.number - 1, say("Newer"), "p"))
    if page.number < page.pages:
        turns.append(TurnPage(page.number + 1, say("Older"), "n"))
    head = ui.TextDisplay[Any](say("Your pictures, page {page} of {pages}", page=page.number, pages=page.pages))
    body = ui.TextDisplay[Any]("\n".join(lines))
    rows = [ui.ActionRow[Any](OpenJob(page)), *([ui.ActionRow[Any](*turns)] if turns else [])]
    return cards.Card(head, body, *rows)


async def _follow(interaction: discord.Interaction[Any], job: Job) -> None:
    """One more picture, in a message of its own."""

    async def show(files: list[discord.File], _: Sequence[StoredPicture]) -> None:
        await interaction.followup.send(view=_card(job, files), files=files, ephemeral=True)

    await pictures.sent(job, show)


def _card(job: Job, files: list[discord.File]) -> cards.Card:
    if not job.state.final:
        return cards.unfinished(job)
    if job.pictures:
        return cards.finished(job, files)
    return cards.note(say("Deleted.")) if job.state is JobState.POSTED else cards.closed(job)


def _label(job: Job) -> str:
    return shortened(" ".join(job.request.prompt.split()), 100) or job.id


def _about(job: Job) -> str:
    """The seed and mix of a picture, or how its job ended."""
    if job.state in _ENDS:
        return say(_ENDS[job.state])
    if not job.pictures:
        return say("in the making")
    used = cards.mix(job)
    seed = say("seed {seed}", seed=job.pictures[0].seed)
    return shortened(seed + (f" · {used}" if used else ""), 100)
