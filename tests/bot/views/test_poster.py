"""Where a result is shown: the first answer while its token lives, else the channel; and what errors mean."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord
import pytest
from PIL import Image
from sqlalchemy import update

from bot.jobs import Undeliverable, Unreachable
from bot.orders import Job, JobState
from bot.store.models import JobRow
from bot.views.pictures import webp
from bot.views.poster import DiscordPoster
from engine import Progress, read_picture
from tests.bot.worlds import World, texts, world


async def unseen(w: World) -> Job:
    """A job that is drawn, whose token is dead and whose answer is gone."""
    job = await w.drawn()
    await w.molly.delete(w.channel.last_message)
    await w.env.advance_time(15 * 60)
    return job


async def test_after_a_restart_the_job_ends_on_its_first_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="a red flower")
        job_id = await w.dispatched()
        await w.restart()
        assert await w.dispatched() == job_id
        await w.fleet.finish(job_id)
        assert (await w.ended(job_id)).state is JobState.POSTED
        assert len(w.channel.history()) == 1
        assert w.channel.last_message.attachments


async def test_after_14_minutes_a_message_that_mentions_only_the_asker_replaces_the_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt=f"<@{w.bob.id}> @everyone")
        first = w.channel.last_message.id
        job_id = await w.dispatched()
        await w.env.advance_time(14 * 60)
        await w.fleet.finish(job_id)
        job = await w.ended(job_id)
        assert [message.id for message in w.channel.history()] == [job.message_id]
        assert job.message_id != first
        sent = next(entry for entry in reversed(w.env.http_requests) if entry.method == "POST")
        assert sent.json["allowed_mentions"] == {"parse": [], "users": [w.alice.id]}
        assert sent.json["nonce"] == job.nonce
        assert sent.json["enforce_nonce"] is True
        assert len(job.nonce) <= 25


async def test_a_failure_after_14_minutes_is_told_in_the_channel(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.env.advance_time(15 * 60)
        await w.fleet.fail(job_id, "It does not fit.")
        await w.ended(job_id)
        assert "It does not fit." in texts(w.channel.last_message)
        assert w.alice.mention in texts(w.channel.last_message)


async def test_an_answer_that_was_deleted_is_replaced_by_a_message(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.molly.delete(w.channel.last_message)
        await w.env.advance_time(10)
        await w.fleet.finish(job_id)
        assert (await w.ended(job_id)).state is JobState.POSTED
        assert w.channel.last_message.attachments


async def test_progress_that_cannot_be_shown_is_let_go(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        w.env.inject_error("PATCH", "/webhooks/*", status=500, times=None)
        await DiscordPoster(w.bot).progress(job, Progress(1, 20))


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [(429, 0, Unreachable), (401, 0, Unreachable), (400, 50035, Undeliverable), (413, 40005, Undeliverable)],
)
async def test_errors_mean_try_again_or_give_up(
    tmp_path: Path, status: int, code: int, meaning: type[Exception]
) -> None:
    async with world(tmp_path) as w:
        job = await unseen(w)
        w.env.inject_error("POST", "/channels/*", status=status, code=code, times=None)
        with pytest.raises(meaning):
            await DiscordPoster(w.bot).post(job, job.nonce)


async def test_a_channel_that_is_closed_to_the_bot_is_given_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await unseen(w)
        w.env.inject_error("POST", "/channels/*", status=403, code=50013, times=None)
        with pytest.raises(Undeliverable):
            await DiscordPoster(w.bot).close(job)


async def test_a_dropped_connection_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        job = await unseen(w)

        async def broken(*args: object, **kwargs: object) -> None:
            raise ConnectionResetError("gone")

        monkeypatch.setattr(discord.PartialMessageable, "send", broken)
        with pytest.raises(Unreachable):
            await DiscordPoster(w.bot).post(job, job.nonce)


async def test_what_the_channel_shows_already_is_not_posted_again(tmp_path: Path) -> None:
    """A process that died between post and row leaves a job in posting; Discord has long forgotten its nonce."""
    async with world(tmp_path) as w:
        job = await w.drawn()
        await w.env.advance_time(15 * 60)
        assert await DiscordPoster(w.bot).post(job, "another nonce") == (w.channel.id, job.message_id)
        await DiscordPoster(w.bot).close(job)
        assert len(w.channel.history()) == 1


async def test_pictures_that_discord_finds_too_large_go_out_smaller(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        w.env.inject_error("PATCH", "/webhooks/*", status=413, code=40005, times=1)
        await w.fleet.finish(job_id)
        assert (await w.ended(job_id)).state is JobState.POSTED
        (file,) = w.channel.last_message.attachments
        assert file.filename.endswith("-1.webp")


async def test_of_pictures_that_do_not_fit_together_history_has_the_rest(tmp_path: Path) -> None:
    """The channel has one message with as many as fit, which says so; /history shows each of them once."""
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x", count=4)
        job_id = await w.dispatched()
        w.env.inject_error("PATCH", "/webhooks/*", status=413, code=40005, times=2)
        await w.fleet.finish(job_id)
        assert (await w.ended(job_id)).state is JobState.POSTED
        (message,) = w.channel.history(viewer=w.bob)
        assert _places(message) == [1, 2]
        assert "2 more pictures are too large for this message: `/history` shows them." in texts(message)
        shown = await w.alice.slash(w.channel, "history")
        w.env.inject_error("PATCH", "/webhooks/*", status=413, code=40005, times=3)
        opened = await w.alice.select(shown.response.message, [job_id])
        assert [_places(one) for one in (shown.response.message, *opened.followups)] == [[1], [2], [3], [4]]
        assert all(one.ephemeral for one in opened.followups)


async def test_a_single_picture_gets_smaller_until_discord_takes_it(tmp_path: Path) -> None:
    """And nothing is said to be missing."""
    async with world(tmp_path) as w:
        job = await unseen(w)
        w.env.inject_error("POST", "/channels/*", status=413, code=40005, times=4)
        channel_id, message_id = await DiscordPoster(w.bot).post(job, job.nonce)
        assert (channel_id, message_id) == (w.channel.id, w.channel.last_message.id)
        assert _places(w.channel.last_message) == [1]
        assert "too large" not in texts(w.channel.last_message)


def _places(message: Any) -> list[int]:
    """Which pictures of their job a message shows, from 1."""
    return [int(re.findall(r"-(\d+)\.(?:png|webp)$", file.filename)[0]) for file in message.attachments]


async def test_a_picture_is_made_small_enough_and_keeps_its_infotext(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.effect_noise((256, 256), 90).convert("RGB").save(path)
    data = webp(path, "a réd flower\nSteps: 9, Seed: 7, RNG: CPU", 14_000)
    assert len(data) <= 14_000
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (128, 128)
    request = read_picture(data).request
    assert (request.prompt, request.seed) == ("a réd flower", 7)


async def test_whether_a_place_is_for_adults_is_asked_of_discord_as_it_is_now(tmp_path: Path) -> None:
    """Of a thread its channel says so; a direct message and a place that is not known are for everybody."""
    async with world(tmp_path) as w:
        job = await w.drawn()
        poster = DiscordPoster(w.bot)
        channel = w.bot.get_channel(w.channel.id)
        assert isinstance(channel, discord.TextChannel)
        assert not await poster.adult(job)
        channel.nsfw = True
        assert await poster.adult(job)
        thread = discord.Thread(guild=channel.guild, state=channel._state, data=_thread(channel))
        channel.guild._add_thread(thread)
        assert await poster.adult(_in(job, thread.id))
        channel.nsfw = False
        assert not await poster.adult(_in(job, thread.id))
        assert not await poster.adult(_in(job, 1))


def _in(job: Job, channel_id: int) -> Job:
    who = replace(job.order.who, channel_id=channel_id)
    return replace(job, order=replace(job.order, who=who))


def _thread(channel: discord.TextChannel) -> Any:
    archived = {"archived": False, "auto_archive_duration": 60, "archive_timestamp": "2026-01-01T00:00:00+00:00"}
    return {
        "id": "4242",
        "parent_id": str(channel.id),
        "owner_id": "1",
        "name": "a thread",
        "type": 11,
        "message_count": 0,
        "member_count": 1,
        "thread_metadata": archived,
    }


async def test_an_answer_whose_id_was_never_learned_is_tidied_away_too(tmp_path: Path) -> None:
    """The reply that named it was lost; its button tells whose promise it is."""
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        async with w.bot.orders._store.connections.write() as session:
            await session.execute(update(JobRow).values(message_id=None))
        await w.env.advance_time(15 * 60)
        await w.fleet.finish(job_id)
        job = await w.ended(job_id)
        assert [message.id for message in w.channel.history()] == [job.message_id]


@pytest.mark.parametrize(
    ("status", "code", "answered"), [(404, 10015, False), (404, 10008, True), (401, 50027, True), (403, 50001, True)]
)
async def test_whether_an_order_was_answered_is_asked_of_discord(
    tmp_path: Path, status: int, code: int, answered: bool
) -> None:
    """An interaction that Discord does not know had no answer; one whose message or token is gone may have had one."""
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job = await w.job(await w.dispatched())
        assert await DiscordPoster(w.bot).answered(job)
        w.env.inject_error("GET", "/webhooks/*", status=status, code=code, times=1)
        assert await DiscordPoster(w.bot).answered(job) is answered
        w.env.inject_error("GET", "/webhooks/*", status=429, code=0, times=None)
        with pytest.raises(Unreachable):
            await DiscordPoster(w.bot).answered(job)
        await w.env.advance_time(15 * 60)
        assert await DiscordPoster(w.bot).answered(job)


async def test_an_end_is_found_behind_everything_that_was_said_since(tmp_path: Path) -> None:
    """A bot that was away for long comes back to a busy channel, and still posts nothing twice."""
    async with world(tmp_path) as w:
        job = await w.drawn()
        for number in range(120):
            await w.bob.send(w.channel, str(number))
        await w.env.advance_time(15 * 60)
        assert await DiscordPoster(w.bot).post(job, "another nonce") == (w.channel.id, job.message_id)
