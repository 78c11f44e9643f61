"""Words of members, made harmless: they cannot mention, link, format, or break out of where they stand."""

from __future__ import annotations

import discord


def safe(text: str, limit: int) -> str:
    """One line of plain text for a sentence."""
    line = shortened(" ".join(text.split()), limit)
    return discord.utils.escape_markdown(discord.utils.escape_mentions(line)).replace("://", ":\u200b//")


def code(text: str, limit: int) -> str:
    """An inline code span."""
    return f"`{shortened(' '.join(text.split()), limit).replace('`', 'ˋ') or ' '}`"


def block(text: str, limit: int) -> str:
    """A code block, which keeps line breaks and can be copied."""
    return f"```\n{shortened(text.strip(), limit).replace('`', 'ˋ') or ' '}\n```"


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def weight(value: float) -> str:
    """1.0 as "1", 0.5 as "0.5"."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
