"""Where a result is shown: the first answer while its token lives, else the channel; and what errors mean."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest

from bot.jobs import Undeliverable, Unreachable
from bot.orders import JobState
from bot.views.poster import DiscordPoster
from engine import Progress
from tests.bot.worlds import texts, world


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
        job = await w.drawn()
        await w.env.advance_time(15 * 60)
        w.env.inject_error("POST", "/channels/*", status=status, code=code, times=None)
        with pytest.raises(meaning):
            await DiscordPoster(w.bot).post(job, job.nonce)


async def test_a_channel_that_is_closed_to_the_bot_is_given_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        await w.env.advance_time(15 * 60)
        w.env.inject_error("POST", "/channels/*", status=403, code=50013, times=None)
        with pytest.raises(Undeliverable):
            await DiscordPoster(w.bot).close(job)


async def test_a_dropped_connection_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()

        async def broken(*args: object, **kwargs: object) -> None:
            raise ConnectionResetError("gone")

        monkeypatch.setattr(discord.PartialMessageable, "send", broken)
        await w.env.advance_time(15 * 60)
        with pytest.raises(Unreachable):
            await DiscordPoster(w.bot).post(job, job.nonce)
