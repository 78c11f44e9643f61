"""What is logged, for people or for machines, with every secret taken out."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Literal

TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
HIDDEN = "[hidden]"
OWN = ("bot", "engine")
_SECRETS = (  # what is in front of the secret is kept
    re.compile(r"()[A-Za-z0-9_-]{23,30}\.[A-Za-z0-9_-]{6,8}\.[A-Za-z0-9_-]{27,50}"),  # a Discord token
    re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s\"']+"),  # an interaction's token
    re.compile(r"(/drop/)[^/\s\"'?]+"),  # a link by which somebody may send a file
    re.compile(r"()\bhf_[A-Za-z0-9]{16,}"),
    re.compile(r"(?i)([?&](?:token|api_key|key|signature|sig)=)[^&\s\"']+"),
    re.compile(r"(?i)\b((?:bearer|bot) )[A-Za-z0-9._~+/=-]{16,}"),
)


def set_up(level: int, form: Literal["text", "json"] = "text", secrets: tuple[str, ...] = ()) -> None:
    """Our own doings are logged at `level`; of other libraries what they warn of; of discord.py no details.

    `secrets` are hidden wherever they occur, as is everything that looks like a token.
    """
    handler = logging.StreamHandler()
    handler.setFormatter((Json if form == "json" else Text)(secrets))
    handler.addFilter(_worth_it)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    logging.getLogger("discord").setLevel(logging.INFO)


def _worth_it(record: logging.LogRecord) -> bool:
    """Details of other libraries are never logged, whoever asks for them: they hold prompts, names and tokens."""
    return record.levelno >= logging.INFO or record.name.partition(".")[0] in OWN


def redacted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without secrets: the given ones, and what looks like a token."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(
            lambda found: (found[1] if found.lastindex and found[1].endswith("/") else "") + HIDDEN, text
        )
    return text


class Text(logging.Formatter):
    """One line a record, and the traceback below it."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(TEXT)
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record), self._secrets)


class Json(Text):
    """One object a line: time (UTC), level, logger, message, and error where there is a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps({key: redacted(value, self._secrets) for key, value in said.items()}, ensure_ascii=False)
