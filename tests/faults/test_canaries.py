"""Twelve secrets in a talkative bot that is used while Discord fails: none is where it does not belong (B16)."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from bot.logs import Json, Text, redacted
from tests.wire.server import Server

from . import canaries


@pytest.mark.slow
async def test_none_of_the_twelve_is_where_it_does_not_belong(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with Server(canaries.TOKEN) as server:
        found = await canaries.gathered(server, tmp_path, port)
    assert len(found) == 12
    assert {what: places for what, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "text",
    [
        f"PATCH https://discord.com/api/v10/webhooks/1/{canaries.DROP}/messages/@original responded with 429",
        f"POST https://discord.com/api/v10/interactions/1/{canaries.DROP}/callback",
        f"Webhook {canaries.WEBHOOK}",
        f"GET http://127.0.0.1:8780/drop/{canaries.DROP} 200",
        f"GET https://civitai.com/x?token={canaries.DROP}&a=b",
        f"Authorization: Bearer {canaries.CIVITAI}",
        f"huggingface_hub sent {canaries.HUGGING_FACE}",
    ],
)
def test_what_looks_like_a_secret_is_hidden_whoever_logs_it(text: str) -> None:
    assert "kanarien" not in redacted(text)
    assert "[hidden]" in redacted(text)


@pytest.mark.parametrize("kind", [Text, Json])
def test_a_secret_of_the_configuration_is_hidden_in_tracebacks_too(kind: type[Text]) -> None:
    try:
        raise ValueError(canaries.CIVITAI)
    except ValueError as error:
        record = logging.LogRecord("bot", logging.ERROR, "", 0, "%s", (canaries.TOKEN,), (ValueError, error, None))
    said = kind((canaries.TOKEN, canaries.CIVITAI)).format(record)
    assert "kanarien" not in said
