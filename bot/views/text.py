"""Words of members, made harmless: they cannot mention, link, format, or break out of where they stand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import discord

_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # they reorder what stands around them

_INVITE = re.compile(r"(discord(?:app)?\.(?:gg|com/invite))/", re.IGNORECASE)  # a link without a scheme
_NUMBERED = re.compile(r"^(\d+)([.)])")  # begins a list


def safe(text: str, limit: int) -> str:
    """One line of plain text for a sentence, at most twice as long as `limit`."""
    line = discord.utils.escape_mentions(shortened(_line(text), limit))
    escaped = discord.utils.escape_markdown(line, ignore_links=False)
    escaped = escaped.replace("<", "\\<").replace("://", ":\u200b//")
    return _NUMBERED.sub(r"\1\\\2", _INVITE.sub("\\1\u200b/", escaped))


def code(text: str, limit: int) -> str:
    """An inline code span."""
    return f"`{shortened(_line(text), limit).replace('`', 'ˋ') or ' '}`"


def block(text: str, limit: int) -> str:
    """A code block, which keeps line breaks and can be copied."""
    return f"```\n{shortened(_visible(text).strip(), limit).replace('`', 'ˋ') or ' '}\n```"


def lines(texts: Iterable[str], rest: str, limit: int = 3800) -> str:
    """As many of the texts as Discord takes in one message, one a line; `rest` at the end where some do not fit."""
    shown: list[str] = []
    for text in texts:
        if sum(len(line) + 1 for line in shown) + len(text) > limit:
            return "\n".join([*shown, f"-# {rest}"])
        shown.append(text)
    return "\n".join(shown)


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _line(text: str) -> str:
    return " ".join(_visible(text).split())


def _visible(text: str) -> str:
    """The text without control characters, but for white space."""
    return "".join(
        c
        for c in text
        if c.isspace() or (unicodedata.category(c) != "Cc" and unicodedata.bidirectional(c) not in _TURNS)
    )


def weight(value: float) -> str:
    """1.0 as "1", 0.5 as "0.5"."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
