"""Words of members on a card: harmless, and never more than Discord takes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from discord import ui

from bot.orders import CatalogEntry
from bot.views import lists
from bot.views.text import block, code, lines, safe
from engine import AdapterInfo

NASTY = (
    "https://x**bold**", "[free](https://evil.example)", "@everyone", "<#123>", "</imagine:1>", "# big", "||hidden||",
    "a\u202eb", "\x1b[31m",
)  # fmt: skip


@pytest.mark.parametrize("text", NASTY)
def test_a_sentence_has_no_power(text: str) -> None:
    said = safe(text, 100)
    for power in ("://", "@everyone", "**", "||", "\u202e", "\x1b"):
        assert power not in said.replace("\\*", "").replace("\\|", "")
    assert not said.startswith(("<", "# "))
    assert len(safe(text * 1000, 900)) <= 1900


def test_code_keeps_lines_but_nothing_that_turns_what_follows_around() -> None:
    assert code("a\u202e`b`\n c", 50) == "`aˋbˋ c`"
    assert block("a\n\u2066b", 50) == "```\na\nb\n```"
    assert code("👩\u200d🎨", 50) == "`👩\u200d🎨`"


def test_lines_that_do_not_fit_are_said_to_be_there() -> None:
    assert lines(["a", "b"], "more") == "a\nb"
    assert lines(["a" * 10, "b" * 10], "more", 12) == "a" * 10 + "\n-# more"


def test_a_long_list_of_adapters_fits_one_message_and_says_that_there_are_more() -> None:
    info = AdapterInfo("x", "ab" * 32, "ab" * 32, 1, "LoRA", "SD 1.5", (4,), {"unet": 1}, ("w" * 50,) * 9)
    entry = CatalogEntry(1, "n" * 200, 7, None, "everyone", info, datetime(2026, 1, 1, tzinfo=UTC))
    (said,) = _said(lists.adapters([entry] * 100, ""))
    assert len(said) <= 4000
    assert said.endswith(lists.MORE)


def _said(card: ui.LayoutView) -> list[str]:
    return [item.content for item in card.walk_children() if isinstance(item, ui.TextDisplay)]
