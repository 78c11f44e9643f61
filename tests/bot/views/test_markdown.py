"""Three hundred texts that members might send, through everything that shows members' words."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from discord import ui

from bot.orders import CatalogEntry, Forbidden
from bot.orders.verdicts import Outcome, Reason, Report, Review, ReviewPage, Turn
from bot.replies import reply_to
from bot.views.judging import filed, rated
from bot.views.moderating import report_card
from bot.views.reviews import reviews_card
from bot.views.text import block, code, safe
from engine import AdapterInfo
from tests.bot.views.markdown import powers

ATTACKS = (
    "@everyone", "@here", "<@1>", "<@!1>", "<@&1>", "<#1>", "</imagine:1>", "<:x:1>", "<a:x:1>", "<t:1:R>",
    "<id:browse>", "https://evil.example", "HTTPS://evil.example", "<https://evil.example>", "discord.gg/evil",
    "[free nitro](https://evil.example)", "[x](<https://evil.example>)", "# System", "## System", "### System",
    "-# small", "> quote", ">>> quote", "- item", "1. item", "**bold**", "__under__", "*it* _it_", "~~no~~", "||hid||",
)  # fmt: skip
WRAPPERS = (
    "{}", "a\n{}", "`{}`", "```{}```", "`` {} ``", "\\{}", "\\`{}", "\u202e{}\u202c", "\u200b{}", "{}\u0000\u2028{}",
)  # fmt: skip
CORPUS = tuple(wrapper.format(attack, attack) for wrapper, attack in itertools.product(WRAPPERS, ATTACKS))
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_the_model_knows_power_when_it_sees_it() -> None:
    """Every attack as it stands has one, and none of them inside code."""
    assert len(CORPUS) == 300
    for attack in ATTACKS:
        assert list(powers(attack)), attack
        assert not list(powers(f"`{attack}`")), attack


@pytest.mark.parametrize("text", CORPUS)
def test_words_of_members_are_only_words(text: str) -> None:
    """In a sentence, at the beginning of a line, in a span and in a block."""
    for shown in (
        safe(text, 500),
        f"By {safe(text, 500)}.",
        code(text, 500),
        f"- {code(text, 500)} x",
        block(text, 500),
    ):
        assert list(powers(shown.removeprefix("- "))) == []
    assert list(powers(reply_to(Forbidden(text)) or "")) == []


def test_cards_of_judging_show_them_as_words() -> None:
    """Names, reviews and reports; the only mention is of the member that the bot names."""
    for text in CORPUS:
        info = AdapterInfo("x", "ab" * 32, "ab" * 32, 1, "LoRA", "SD 1.5", (4,), {"unet": 1})
        entry = CatalogEntry(1, text, 7, None, "everyone", info, NOW, stars=4.5, ratings=2)
        report = Report(1, 5, 77, 1, None, text, "ab" * 32, Reason.OTHER, text, NOW)
        page = ReviewPage((Review(77, 5, text, NOW), Review(None, 1, text, NOW)), 1, 2)
        for card in (
            rated(entry, 5),
            rated(entry, 0),
            reviews_card(1, page, {}),
            report_card(Turn(report, 1, 2), None, owner=True, said=""),
        ):
            for said in (item.content for item in card.walk_children() if isinstance(item, ui.TextDisplay)):
                found = set(powers(said)) - {"mention: <@77>"}
                assert {power for power in found if not _is_ours(power)} == set(), said


def _is_ours(power: str) -> bool:
    """What the cards themselves use: a time, a small line, and a reason in bold."""
    return power.startswith(("mention: <t:1", "line: -#", "style: *"))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_told(outcome: Outcome) -> None:
    report = Report(1, 5, 77, 1, None, "x", "ab" * 32, Reason.OTHER, "", NOW)
    assert filed(replace(report, outcome=outcome), is_new=False).startswith("You have reported this;")
