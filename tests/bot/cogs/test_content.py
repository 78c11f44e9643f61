"""Content rules, seen from a channel: age-restricted and not, and one that changes in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord
import pytest

from bot.orders import Job, JobState
from tests.bot.worlds import World, buttons, items, texts, world


def restrict(w: World, adult: bool) -> None:
    """The channel is for adults from now on, or no longer."""
    channel = w.bot.get_channel(w.channel.id)
    assert isinstance(channel, discord.TextChannel)
    channel.nsfw = adult


async def drawn(w: World, prompt: str, *, flagged: bool = False, adult_then: bool = True) -> Job:
    number = len(w.fleet.attempts) + 1
    await w.alice.slash(w.channel, "imagine", prompt=prompt)
    job_id = await w.dispatched(number)
    restrict(w, adult_then)
    await w.fleet.finish(job_id, flagged=flagged)
    return await w.ended(job_id)


def spoilers(message: Any) -> list[bool]:
    return [item.spoiler for gallery in items(message) if hasattr(gallery, "items") for item in gallery.items]


async def test_a_mature_word_is_refused_by_name_and_for_the_asker_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        said = await w.alice.slash(w.channel, "imagine", prompt="nude")
        assert said.response.ephemeral
        assert "age-restricted" in said.response.content
        assert w.fleet.attempts == []


@pytest.mark.parametrize(("prompt", "flagged"), [("nude", False), ("a flower", True)])
async def test_a_mature_picture_is_posted_behind_a_spoiler_among_adults(
    tmp_path: Path, prompt: str, flagged: bool
) -> None:
    async with world(tmp_path) as w:
        restrict(w, True)
        job = await drawn(w, prompt, flagged=flagged)
        assert job.state is JobState.POSTED
        assert spoilers(w.channel.last_message) == [True]


async def test_a_picture_for_everybody_has_no_spoiler(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn()
        assert spoilers(w.channel.last_message) == [False]


async def test_a_mature_picture_is_not_shown_once_the_channel_is_for_all_nor_by_history_there(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        restrict(w, True)
        job = await drawn(w, "nude", adult_then=False)
        card = w.channel.last_message
        assert "not fit for everybody" in texts(card)
        assert (card.attachments, spoilers(card)) == ([], [])
        assert "Again" in buttons(card)
        shown = await _opened(w, job)
        assert (shown.attachments, spoilers(shown)) == ([], [])
        assert "age-restricted" in texts(shown)
        restrict(w, True)
        assert spoilers(await _opened(w, job)) == [True]


async def _opened(w: World, job: Job) -> Any:
    page = await w.alice.slash(w.channel, "history")
    await w.alice.select(page.response.message, [job.id])
    return page.response.message
