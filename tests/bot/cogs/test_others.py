"""/history, /lora and /queue."""

from __future__ import annotations

import re
from pathlib import Path

import discord

from bot.orders import JobState
from tests.bot import forgery
from tests.bot.worlds import buttons, items, texts, world


async def test_history_shows_only_ones_own_and_only_to_oneself(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn("a red flower", lora="ink")
        mine = await w.alice.slash(w.channel, "history")
        assert mine.response.ephemeral
        assert "a red flower" in texts(mine.response.message)
        assert "ink 1" in texts(mine.response.message)
        theirs = await w.bob.slash(w.channel, "history")
        assert "not made any pictures" in texts(theirs.response.message)


async def test_history_turns_pages(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for number in range(12):
            await w.drawn(f"picture {number}")
        shown = await w.alice.slash(w.channel, "history")
        assert list(buttons(shown.response.message)) == ["Older"]
        await w.alice.click(shown.response.message, label="Older")
        assert "page 2 of 2" in texts(shown.response.message)
        assert "picture 0" in texts(shown.response.message)
        assert list(buttons(shown.response.message)) == ["Newer"]


async def test_history_opens_a_job_with_its_pictures_and_runs_it_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn("a red flower")
        shown = await w.alice.slash(w.channel, "history")
        await w.alice.select(shown.response.message, [job.id])
        opened = shown.response.message
        assert len(opened.attachments) == 1
        assert list(buttons(opened)) == ["Again", "Vary seed", "Delete", "Back"]
        again = await w.alice.click(opened, label="Again")
        assert not again.response.ephemeral
        await w.dispatched(2)
        await w.alice.click(opened, label="Back")
        assert "page 1 of 1" in texts(shown.response.message)
        assert shown.response.message.attachments == []


async def test_history_has_the_pictures_that_could_not_be_shown(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        w.env.inject_error("PATCH", "/webhooks/*", status=400, code=50035, times=1)
        await w.fleet.finish(job_id)
        assert (await w.ended(job_id)).state is JobState.DEAD
        assert "/history has them" in texts(w.channel.last_message)
        shown = await w.alice.slash(w.channel, "history")
        await w.alice.select(shown.response.message, [job_id])
        assert len(shown.response.message.attachments) == 1


async def test_history_says_of_old_pictures_that_they_are_gone(tmp_path: Path) -> None:
    """Those past the keeping time are drawn again from what is known of them; deleted ones are only deleted."""
    async with world(tmp_path) as w:
        job = await w.drawn("a red flower", seed=42)
        job.pictures[0].path.unlink()
        shown = await w.alice.slash(w.channel, "history")
        await w.alice.select(shown.response.message, [job.id])
        assert "no longer kept" in texts(shown.response.message)
        assert "seed 42" in texts(shown.response.message)
        stale = await w.alice.slash(w.channel, "history")
        await w.alice.click(shown.response.message, label="Delete")
        await w.alice.select(stale.response.message, [job.id])
        assert "Deleted." in texts(stale.response.message)
        assert "not made any" in texts((await w.alice.slash(w.channel, "history")).response.message)


async def test_history_deletes_the_message_in_the_channel_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        shown = await w.alice.slash(w.channel, "history")
        await w.alice.select(shown.response.message, [job.id])
        await w.alice.click(shown.response.message, label="Delete")
        assert texts(shown.response.message).strip() == "Deleted."
        assert w.channel.history(viewer=w.bob) == []


async def test_history_still_turns_and_opens_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        shown = await w.alice.slash(w.channel, "history")
        await w.restart()
        await w.alice.select(shown.response.message, [job.id])
        assert shown.response.message.attachments


async def test_history_tells_how_a_job_without_pictures_ended(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="too big")
        job_id = await w.dispatched()
        await w.fleet.fail(job_id, "It does not fit.")
        await w.ended(job_id)
        shown = await w.alice.slash(w.channel, "history")
        assert "failed" in texts(shown.response.message)
        await w.alice.select(shown.response.message, [job_id])
        assert "It does not fit." in texts(shown.response.message)


async def test_history_opens_a_waiting_job_and_can_cancel_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        shown = await w.alice.slash(w.channel, "history")
        await w.alice.select(shown.response.message, [job_id])
        assert list(buttons(shown.response.message)) == ["Cancel", "Back"]
        await w.alice.click(shown.response.message, label="Cancel")
        assert (await w.ended(job_id)).state is JobState.CANCELLED
        assert "Cancelled" in texts(w.channel.last_message)


async def test_lora_list_names_the_built_in_adapters(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora list")
        assert shown.response.ephemeral
        for name in ("ink", "neon", "light"):
            assert f"`{name}`" in texts(shown.response.message)
        fewer = await w.alice.slash(w.channel, "lora list", search="ne")
        assert "ink" not in texts(fewer.response.message)
        none = await w.alice.slash(w.channel, "lora list", search="`nobody`")
        assert "no adapters" in texts(none.response.message)


async def test_lora_info_tells_what_an_adapter_is_and_how_to_use_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora info", adapter="ink")
        said = texts(shown.response.message)
        for words in ("`ink`", "fits: built-in", "layers:", "<lora:ink:1>"):
            assert words in said
        offered = await w.alice.autocomplete(w.channel, "lora info", "adapter", "n")
        assert {choice["name"] for choice in offered} >= {"neon · built-in · 1"}
        missing = await w.alice.slash(w.channel, "lora info", adapter="nobody")
        assert "no adapter called" in missing.response.content
        assert missing.response.ephemeral


async def test_queue_tells_the_line_and_ones_own_place(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        empty = await w.alice.slash(w.channel, "queue")
        assert "Nothing waits, 0 running." in texts(empty.response.message)
        for prompt in ("one", "two", "three"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt)
        await w.dispatched(2)
        shown = await w.alice.slash(w.channel, "queue")
        assert shown.response.ephemeral
        assert "1 waiting, 2 running." in texts(shown.response.message)
        assert "`three`" in texts(shown.response.message)
        theirs = await w.bob.slash(w.channel, "queue")
        assert "three" not in texts(theirs.response.message)


async def test_queue_tells_what_each_job_costs_once_that_is_known(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="one")
        unknown = texts((await w.alice.slash(w.channel, "queue")).response.message)
        assert "- place 1: `one`" in unknown
        job_id = await w.dispatched()
        await w.fleet.finish(job_id)
        await w.ended(job_id)
        for prompt in ("two", "three"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt)
        shown = texts((await w.alice.slash(w.channel, "queue")).response.message)
        assert re.search(r"- place 1, about 3 s, 2 s of it to draw: `three`", shown)


async def test_queue_cancels_the_job_that_is_chosen_also_after_a_restart(tmp_path: Path) -> None:
    """Where it was announced it says so, and the list is without it; the menu is gone with the last one."""
    async with world(tmp_path) as w:
        for prompt in ("one", "two", "three"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt)
        await w.dispatched(2)
        third = await w.newest()
        shown = (await w.alice.slash(w.channel, "queue")).response
        await w.alice.select(shown.message, [third.id])
        assert (await w.ended(third.id)).state is JobState.CANCELLED
        assert "Cancelled" in texts(w.channel.last_message)
        assert "`three`" not in texts(shown.message)
        assert "`two`" in texts(shown.message)
        await w.restart()
        await w.dispatched(2)
        for attempt in list(w.fleet.attempts):
            await w.alice.select(shown.message, [attempt.job])
            assert (await w.ended(attempt.job)).state is JobState.CANCELLED
        assert "Nothing waits" in texts(shown.message)
        assert not [item for item in items(shown.message) if item.type is discord.ComponentType.select]


async def test_queue_cancels_nothing_of_somebody_else_and_nothing_that_is_drawn(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for member, prompt in ((w.alice, "hers"), (w.bob, "his")):
            await member.slash(w.channel, "imagine", prompt=prompt)
        hers, his = await w.dispatched(1), await w.dispatched(2)
        shown = (await w.bob.slash(w.channel, "queue")).response.message
        message = w.env.backend.get_message(w.channel.id, shown.id)
        press = forgery.press(w.env, forgery.actor(w.bob, w.channel), message, "loom:queue:cancel", [hers])
        said = forgery.answers(w.env, await press.over())
        assert any("belongs to the one who asked" in message.content for message in said)
        assert (await w.job(hers)).state is JobState.RUNNING
        await w.fleet.finish(his)
        await w.ended(his)
        late = await w.bob.select(shown, [his])
        assert "already finished" in late.followups[0].content
        assert "`his`" not in texts((await w.bob.slash(w.channel, "queue")).response.message)


async def test_no_answer_has_more_than_discord_takes(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for _ in range(10):
            await w.drawn("`@ " * 2000)
        shown = await w.alice.slash(w.channel, "history")
        for message in (shown.response.message, w.channel.last_message):
            said = [item.content for item in items(message) if hasattr(item, "content")]
            assert sum(map(len, said)) <= 4000
