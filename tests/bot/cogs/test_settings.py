"""/settings, and what it makes of /imagine and /grid."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from tests.bot.worlds import World, texts, world


async def said(w: World, by: object, command: str, **options: object) -> str:
    """What whoever asks reads, seen by nobody else."""
    answer = await by.slash(w.channel, command, **options)  # type: ignore[attr-defined]
    assert answer.response.ephemeral
    return answer.response.content or texts(answer.response.message)


async def test_what_is_set_is_what_an_order_without_it_has(tmp_path: Path) -> None:
    """What the order says counts for it alone; what a member has chosen counts before the server's."""
    async with world(tmp_path) as w:
        changed = await said(
            w, w.anna, "settings server", steps=7, cfg=3.5, sampler="Euler", size="128x192", negative="blurry"
        )
        assert "Changed." in changed
        assert "steps: `7` · said by this server" in changed
        await said(w, w.alice, "settings me", steps=9)
        await w.drawn("a fox", cfg=0.0)
        request = w.fleet.attempts[0].request
        assert (request.steps, request.cfg, request.sampler) == (9, 0.0, "Euler")
        assert (request.width, request.height, request.negative) == (128, 192, "blurry")
        asked = await w.bob.slash(w.channel, "grid", prompt="a fox", x="seed: 1-2")
        await w.bob.click(asked.response.message, label="Draw it")
        await w.dispatched(2)
        assert w.fleet.attempts[1].request.steps == 7


async def test_what_counts_is_shown_with_its_source_and_taken_back_one_by_one(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        before = await said(w, w.alice, "settings me")
        assert "jobs_per_member: `10` · from the bot's configuration" in before
        assert "real_people: no · from the bot's configuration" in before
        await said(w, w.anna, "settings channel", steps=7, mature=False)
        shown = await said(w, w.alice, "settings me")
        assert "steps: `7` · said by this channel" in shown
        assert "mature: no · said by this channel" in shown
        await said(w, w.anna, "settings channel", reset="steps")
        assert "steps" not in await said(w, w.alice, "settings me")
        await said(w, w.anna, "settings channel", reset="mature")
        assert await said(w, w.alice, "settings me") == before


@pytest.mark.parametrize("command", ["settings server", "settings channel", "admin limits", "model use"])
async def test_members_and_moderators_do_not_speak_for_a_server(tmp_path: Path, command: str) -> None:
    async with world(tmp_path) as w:
        options = {"name": "builtin"} if command == "model use" else {}
        for by in (w.alice, w.molly):
            assert "manage this server" in await said(w, by, command, **options)


async def test_a_channels_list_of_adapters_holds_for_orders_there(tmp_path: Path) -> None:
    """The list names them; another is refused by name; a member reads the same list."""
    async with world(tmp_path) as w:
        assert "adapters: `ink`" in await said(w, w.anna, "settings channel", allow_adapter="ink")
        await w.drawn("a fox", lora="ink")
        assert "neon is not among" in await said(w, w.alice, "imagine", prompt="a fox", lora="neon")
        assert "adapters: `ink` · said by this channel" in await said(w, w.alice, "settings me")
        refused = await said(w, w.anna, "settings channel", allow_adapter="no such")
        assert "no adapter called" in refused
        await said(w, w.anna, "settings channel", reset="adapters")
        await w.alice.slash(w.channel, "imagine", prompt="a fox", lora="neon")
        await w.dispatched(2)


async def test_a_channel_cannot_allow_more_than_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await said(w, w.anna, "admin limits", jobs_per_member=2)
        refused = await said(w, w.anna, "settings channel", jobs_per_member=3)
        assert "This server does not allow that for jobs" in refused
        refused = await said(w, w.anna, "settings channel", real_people=True)
        assert "This server does not allow that for real" in refused
        assert "jobs_per_member: `2` · said by this server" in await said(w, w.anna, "settings channel")
        shown = await said(w, w.anna, "admin limits", reset=True)
        assert "jobs_per_member: `10`" in shown
        assert "steps" not in shown


async def test_a_language_that_is_chosen_is_answered_in(tmp_path: Path) -> None:
    """At once, by its own name among those that are offered; what nobody speaks here is refused."""
    async with world(tmp_path) as w:
        offered = await w.alice.autocomplete(w.channel, "settings me", "language", "")
        assert "zh-CN" in {choice["value"] for choice in offered}
        await said(w, w.alice, "settings me", language="zh-CN")
        assert "由你选择" in await said(w, w.alice, "settings me")
        assert "This counts for you here:" in await said(w, w.bob, "settings me")
        assert "klingon" in await said(w, w.alice, "settings me", language="klingon")


async def test_only_models_that_may_be_used_are_offered(tmp_path: Path) -> None:
    """And settings that there are to reset."""
    async with world(tmp_path) as w:
        offered = await w.alice.autocomplete(w.channel, "imagine", "model", "")
        assert [choice["value"] for choice in offered] == ["builtin"]
        offered = await w.alice.autocomplete(w.channel, "settings me", "reset", "st")
        assert [choice["value"] for choice in offered] == ["steps"]
        assert "no setting called" in await said(w, w.alice, "settings me", reset="jobs_per_member")


async def test_a_thread_is_no_way_around_its_channel(tmp_path: Path) -> None:
    """What counts in a channel counts in its threads, when a job is ordered and when it begins."""
    async with world(tmp_path) as w:
        await said(w, w.anna, "settings channel", allow_adapter="ink")
        await w.bot.get_channel(w.channel.id).create_thread(name="aside", type=discord.ChannelType.public_thread)  # type: ignore[union-attr]
        (thread,) = w.channel.threads
        refused = await w.alice.slash(thread, "imagine", prompt="a fox", lora="neon")
        assert "neon is not among" in refused.response.content
        await w.alice.slash(thread, "imagine", prompt="a fox", lora="ink")
        job = await w.job(await w.dispatched())
        assert (job.order.who.channel_id, job.order.who.parent_id) == (thread.id, w.channel.id)
