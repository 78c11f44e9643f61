"""The buttons under a card: what each does, for whom, and after a restart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import discord
import pytest

from bot.orders import JobState
from bot.views.buttons import DEEDS, Action, JobButton
from bot.views.weights import read_weight
from engine import BadRequest
from tests.bot.worlds import buttons, texts, world

STRANGER = "belongs to the one who asked"


def test_every_action_has_a_deed_and_an_id_that_discord_takes() -> None:
    import bot.views.deeds  # noqa: F401  it registers the deeds

    assert set(DEEDS) == set(Action)
    for action in Action:
        assert len(JobButton(action, "x" * 64).custom_id) <= 100


async def test_again_orders_the_same_picture(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn(lora="ink", weight=0.5, seed=42)
        result = await w.alice.click(w.channel.last_message, label="Again")
        assert "Queued" in texts(result.response.message)
        await w.dispatched(2)
        assert w.fleet.attempts[1].request == job.request
        assert (await w.newest()).order.parent_job == job.id


async def test_vary_seed_orders_it_with_another_seed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn(seed=42)
        await w.alice.click(w.channel.last_message, label="Vary seed")
        await w.dispatched(2)
        assert w.fleet.attempts[1].request.seed != 42
        assert w.fleet.attempts[1].request.prompt == job.request.prompt


async def test_weights_asks_for_each_adapter_and_orders_with_the_new_ones(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink", weight=0.5, lora2="light", seed=42)
        shown = await w.alice.click(w.channel.last_message, label="Weights…")
        labels = [row["label"] for row in shown.modal["components"]]
        assert labels == ["ink", "light"]
        await w.alice.submit_modal(shown, {"weight-0": "0,8", "weight-1": "-0.25"})
        await w.dispatched(2)
        request = w.fleet.attempts[1].request
        assert [(use.name, use.weight) for use in request.adapters] == [("ink", 0.8), ("light", -0.25)]
        assert request.seed == 42


@pytest.mark.parametrize(("typed", "words"), [("much", "must be a number"), ("99", "between -10 and 10")])
async def test_a_weight_that_is_none_is_refused_in_private(tmp_path: Path, typed: str, words: str) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        shown = await w.alice.click(w.channel.last_message, label="Weights…")
        result = await w.alice.submit_modal(shown, {"weight-0": typed})
        assert result.response.ephemeral
        assert words in result.response.content
        assert len(w.fleet.attempts) == 1


def test_a_weight_may_have_a_decimal_comma() -> None:
    assert read_weight("ink", " 0,5 ") == 0.5
    with pytest.raises(BadRequest, match="ink"):
        read_weight("ink", "")


async def test_a_job_without_adapters_has_no_weights_to_change(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn()
        assert "Weights…" not in buttons(w.channel.last_message)


async def test_delete_takes_the_card_and_the_pictures_away(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn()
        await w.alice.click(w.channel.last_message, label="Delete")
        assert w.channel.history() == []
        assert not job.pictures[0].path.exists()


async def test_cancel_ends_a_waiting_job_where_it_was_announced(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for prompt in ("one", "two", "three"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt)
        await w.dispatched(2)
        third = await w.newest()
        await w.alice.click(w.channel.last_message, label="Cancel")
        assert (await w.ended(third.id)).state is JobState.CANCELLED
        assert "Cancelled" in texts(w.channel.last_message)
        assert len(w.fleet.attempts) == 2


@pytest.mark.parametrize(("status", "code"), [(400, 40060), (500, 0)])
async def test_a_press_whose_acknowledgement_is_in_doubt_still_cancels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: int
) -> None:
    """Discord may have taken what it did not confirm; its member must not press again."""

    async def failing(*args: object, **kwargs: object) -> None:
        response = SimpleNamespace(status=status, reason="")
        raise (discord.DiscordServerError if status == 500 else discord.HTTPException)(response, {"code": code})

    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        monkeypatch.setattr(discord.InteractionResponse, "defer", failing)
        await w.alice.click(w.channel.last_message, label="Cancel")
        assert (await w.ended(job_id)).state is JobState.CANCELLED


async def test_cancel_ends_a_running_job(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.alice.click(w.channel.last_message, label="Cancel")
        assert (await w.ended(job_id)).state is JobState.CANCELLED
        assert "Cancelled" in texts(w.channel.last_message)


async def test_cancel_that_comes_too_late_says_so_and_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        waiting = w.channel.last_message
        job_id = await w.dispatched()
        old = buttons(waiting)["Cancel"]
        await w.fleet.finish(job_id)
        await w.ended(job_id)
        card = w.env.backend.get_message(w.channel.id, w.channel.last_message.id)
        card.components[0]["components"][-1]["components"][0]["custom_id"] = old
        result = await w.alice.click(w.channel.last_message, custom_id=old)
        assert "already finished" in result.followups[0].content
        assert result.followups[0].ephemeral
        assert (await w.job(job_id)).state is JobState.POSTED


@pytest.mark.parametrize("label", ["Again", "Vary seed", "Weights…", "Delete"])
async def test_buttons_of_someone_else_refuse_politely_in_private(tmp_path: Path, label: str) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        result = await w.bob.click(w.channel.last_message, label=label)
        answer = result.followups[0] if label == "Delete" else result.response
        assert answer.ephemeral
        assert STRANGER in answer.content
        assert len(w.channel.history()) == 1
        assert len(w.fleet.attempts) == 1


async def test_someone_else_cannot_cancel(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        result = await w.bob.click(w.channel.last_message, label="Cancel")
        assert STRANGER in result.followups[0].content
        assert (await w.job(job_id)).state is JobState.RUNNING


async def test_a_moderator_may_delete_but_not_order_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn()
        result = await w.molly.click(w.channel.last_message, label="Again")
        assert STRANGER in result.response.content
        await w.molly.click(w.channel.last_message, label="Delete")
        assert w.channel.history() == []


async def test_nothing_is_remembered_of_cards_and_forms(tmp_path: Path) -> None:
    """A bot that runs for months does not grow with every message it sent."""
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        store = w.bot._connection._view_store
        assert not store._views
        assert not store._synced_message_views
        await w.alice.click(w.channel.last_message, label="Weights…")
        assert [form.timeout for form in store._modals.values()] == [15 * 60]


@pytest.mark.parametrize("label", ["Again", "Weights…", "Delete"])
async def test_buttons_work_after_a_restart(tmp_path: Path, label: str) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        await w.restart()
        result = await w.alice.click(w.channel.last_message, label=label)
        if label == "Again":
            await w.dispatched()
        elif label == "Weights…":
            assert result.modal["title"] == "Weights"
        else:
            assert w.channel.history() == []
