"""What members said of an adapter, as a card with pages."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import say, say_many
from ..orders import CatalogEntry
from ..orders.judging import STARS
from ..orders.verdicts import Review, ReviewPage
from ..replies import border
from . import asking
from .cards import Card, note
from .text import block

WORDS_SHOWN = 600


class ReviewsButton(
    ui.DynamicItem[ui.Button[ui.LayoutView]], template=r"loom:reviews:(?P<entry>\d{1,18}):(?P<page>\d{1,6}):[pno]"
):
    """Shows a page of what was said of an entry, to those who see the entry; `mark`: previous, next, opened first."""

    def __init__(self, entry_id: int, page: int = 1, label: str = "", mark: str = "o") -> None:
        button: ui.Button[ui.LayoutView] = ui.Button(
            label=label or say("Reviews"),
            style=ButtonStyle.secondary,
            custom_id=f"loom:reviews:{entry_id}:{page}:{mark}",
        )
        super().__init__(button)
        self.entry_id = entry_id
        self.page = page
        self.mark = mark

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(int(match["entry"]), int(match["page"]), mark=match[0][-1])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            page = await interaction.client.judging.reviews(asking.who(interaction), self.entry_id, self.page)
            files = await asyncio.to_thread(_files, page)
            card = reviews_card(self.entry_id, page, files)
            if self.mark == "o":
                await interaction.response.send_message(view=card, files=list(files.values()), ephemeral=True)
            else:
                await interaction.response.edit_message(view=card, attachments=list(files.values()))


def reviews_card(entry_id: int, page: ReviewPage, files: dict[int, discord.File]) -> Card:
    """One page of reviews, newest first, with the pictures that came with them."""
    if not page.reviews:
        return note(say("Nobody has said anything about this adapter yet. `/lora rate` does."))
    shown: list[ui.Item[Any]] = []
    for number, review in enumerate(page.reviews):
        shown.append(ui.TextDisplay[Any](_review(review)))
        if number in files:
            shown.append(ui.MediaGallery[Any](discord.MediaGalleryItem(files[number])))
    turns = []
    if page.number > 1:
        turns.append(ReviewsButton(entry_id, page.number - 1, say("Newer"), "p"))
    if page.number < page.pages:
        turns.append(ReviewsButton(entry_id, page.number + 1, say("Older"), "n"))
    return Card(*shown, *([ui.ActionRow[Any](*turns)] if turns else []))


def standing(entry: CatalogEntry) -> str:
    """The mean of an entry's ratings, in one line."""
    if not entry.ratings:
        return say("not rated yet")
    mean = f"{entry.stars:.1f}"
    return say_many("{mean} of 5 stars, {n} rating", "{mean} of 5 stars, {n} ratings", entry.ratings, mean=mean)


def star_line(stars: int) -> str:
    return "★" * stars + "☆" * (STARS - stars)


def _files(page: ReviewPage) -> dict[int, discord.File]:
    """The pictures of a page that are still on the disk, by the place of their review."""
    found = {}
    for number, review in enumerate(page.reviews):
        if review.picture is not None and review.picture.is_file():
            data = io.BytesIO(review.picture.read_bytes())
            found[number] = discord.File(data, filename=f"review-{number}.webp")
    return found


def _review(review: Review) -> str:
    by = say("somebody in another server") if review.member_id is None else f"<@{review.member_id}>"
    words = f"\n{block(review.words, WORDS_SHOWN)}" if review.words.strip() else ""
    when = discord.utils.format_dt(review.created_at, "d")
    return f"{star_line(review.stars)} {by} · {when}{words}"
