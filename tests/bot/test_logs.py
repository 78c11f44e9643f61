"""What is logged: ours in detail, discord.py's not, and never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from bot.logs import HIDDEN, Json, Text, redacted, set_up

TOKEN = ".".join(("MTE3" + "x" * 20, "Gabcde", "y" * 38))


@pytest.fixture
def restored() -> Iterator[None]:
    """The loggers as they were."""
    names = ("bot", "engine", "discord")
    before = {name: logging.getLogger(name).level for name in names}
    root, handlers = logging.getLogger().level, logging.getLogger().handlers[:]
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().setLevel(root)
    logging.getLogger().handlers[:] = handlers


def test_the_details_of_discord_stay_out_of_the_log(restored: None) -> None:
    set_up(logging.DEBUG)
    wanted = {name: logging.getLogger(name).isEnabledFor(logging.DEBUG) for name in ("bot", "engine", "discord")}
    assert wanted == {"bot": True, "engine": True, "discord": False}


@pytest.mark.parametrize(
    "said",
    [
        f"login with {TOKEN} failed",
        "POST https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb246MTIz/messages",
        "POST /interactions/99/SECRETaW50ZXJhY3Rpb24/callback",
        "GET https://civitai.com/api/download/1?token=SECRETabc&type=Model",
        "Authorization: Bearer SECRETSECRETSECRET",
        "the key of the owner: hunter2",
    ],
)
def test_a_secret_is_hidden_and_the_rest_can_still_be_read(said: str) -> None:
    shown = redacted(said, ("hunter2",))
    assert HIDDEN in shown
    for secret in (TOKEN, "SECRET", "aW50ZXJhY3Rpb24", "hunter2"):
        assert secret not in shown
    assert shown.split()[0] == said.split()[0]


def test_a_traceback_is_redacted_too() -> None:
    try:
        raise ValueError(f"refused: {TOKEN}")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("bot", logging.ERROR, "f", 1, "it %s", ("broke",), info)
    text, line = Text().format(record), Json().format(record)
    assert TOKEN not in text + line
    assert "Traceback" in text
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("ERROR", "bot", "it broke")
    assert "ValueError" in said["error"]
    assert "\n" not in line
