"""Every error ends as one answer, seen by nobody but the one who asked."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from discord import app_commands

from bot import orders
from bot.orders import OrderError
from bot.replies import answer_error, border, reply_to
from engine import Cancelled, EngineError, EngineFault
from tests.bot.worlds import world


def family(error: type[Exception]) -> list[type[Exception]]:
    return [error, *(one for child in error.__subclasses__() for one in family(child))]


@pytest.mark.parametrize("kind", [Cancelled, *family(EngineError), *family(OrderError)])
def test_every_error_of_engine_and_orders_has_a_reply(kind: type[Exception]) -> None:
    assert reply_to(kind("It is too large."))


@pytest.mark.parametrize("kind", [*family(EngineError), orders.QueueFull, orders.TooLate, orders.NotInMix])
def test_the_reply_holds_what_the_error_says(kind: type[Exception]) -> None:
    assert "It is too large." in (reply_to(kind("It is too large.")) or "")


def test_an_error_that_nobody_foresaw_has_none() -> None:
    assert reply_to(ZeroDivisionError()) is None


def test_the_most_special_reply_is_taken() -> None:
    assert reply_to(app_commands.NoPrivateMessage()) != reply_to(app_commands.CheckFailure())


def test_what_an_error_quotes_of_a_member_is_made_harmless() -> None:
    reply = reply_to(EngineError("'@everyone [x](https://evil.example) **b**' is no model")) or ""
    assert "@everyone" not in reply
    assert "https://" not in reply
    assert "**" not in reply


async def broken(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("secret detail")


async def test_an_unforeseen_error_is_an_apology_with_a_reference_that_the_log_has_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        monkeypatch.setattr(w.bot.orders, "queue", broken)
        result = await w.alice.slash(w.channel, "queue")
    assert result.response.ephemeral
    assert "secret detail" not in result.response.content
    reference = re.search(r"`([0-9a-f]{8})`", result.response.content)
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert reference is not None
    assert reference[1] in logged[0].getMessage()
    assert logged[0].exc_info is not None


@pytest.mark.parametrize("label", ["Again", "Weights…"])
async def test_an_unforeseen_error_of_a_button_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        monkeypatch.setattr(w.bot.orders, "open_job", broken)
        result = await w.alice.click(w.channel.last_message, label=label)
    assert "Sorry" in result.response.content
    assert result.response.ephemeral


async def test_an_unforeseen_error_of_a_form_is_answered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        await w.drawn(lora="ink")
        shown = await w.alice.click(w.channel.last_message, label="Weights…")
        monkeypatch.setattr(w.bot.orders, "again", broken)
        result = await w.alice.submit_modal(shown, {"weight-0": "1"})
    assert "Sorry" in result.response.content
    assert result.response.ephemeral


async def test_a_second_error_of_one_interaction_is_not_answered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:

        async def fails_twice(interaction: Any, *args: Any) -> None:
            await answer_error(interaction, EngineError("first"))
            async with border(interaction):
                raise EngineError("second")

        command: Any = w.bot.tree.get_command("queue")
        monkeypatch.setattr(command, "_do_call", fails_twice)
        result = await w.alice.slash(w.channel, "queue")
    assert result.response.content == "first"
    assert result.followups == []


async def test_an_error_after_the_answer_follows_it_in_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as w:
        monkeypatch.setattr(w.bot.orders, "acked", broken)
        result = await w.alice.slash(w.channel, "imagine", prompt="x")
    assert not result.response.ephemeral
    assert [answer.ephemeral for answer in result.followups] == [True]


async def test_an_answer_that_discord_refuses_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as w:
        w.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
        await w.alice.slash(w.channel, "lora info", adapter="nobody")
    assert "Could not answer" in caplog.text


@pytest.mark.parametrize("failure", [aiohttp.ServerDisconnectedError(), ConnectionResetError(104, "reset")])
async def test_an_outage_of_discord_is_no_defect_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    async def outage(*args: Any, **kwargs: Any) -> Any:
        raise failure

    async with world(tmp_path) as w:
        monkeypatch.setattr(w.bot.orders, "queue", outage)
        result = await w.alice.slash(w.channel, "queue")
    assert "try again" in result.response.content
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


@pytest.mark.parametrize("kind", [EngineFault, OrderError])
def test_every_reply_fits_one_message(kind: type[Exception]) -> None:
    """Escaping doubles what it escapes, and Discord takes 2000 characters or nothing."""
    assert len(reply_to(kind("*" * 9000)) or "") <= 2000
