"""The buttons of /lora add, apart from Discord."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.orders.additions import Offer
from bot.views.adding import EVERY, ITEMS, AddButton, NamedMenu, SentButton, VisibilityMenu, _Meter
from bot.views.cards import Card
from bot.views.offers import progress_card

NUMBER = "x" * 22


@dataclass
class Answer:
    """An interaction whose answer is edited, as slowly as the test likes."""

    edits: list[Card] = field(default_factory=list)
    slow: asyncio.Event = field(default_factory=asyncio.Event)

    async def edit_original_response(self, *, view: Card) -> None:
        await self.slow.wait()
        self.edits.append(view)


async def test_a_card_is_edited_now_and_then_and_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("bot.views.adding.time.monotonic", lambda: now)
    answer: Any = Answer()
    async with _Meter(answer, lambda done, total: progress_card(Offer(), done, total)) as meter:
        meter.note(1, 10)  # too soon after the first card
        now += EVERY
        for done in range(2, 9):
            meter.note(done, 10)
        now += EVERY
        meter.note(9, 10)  # the last edit is still under way
        answer.slow.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now += EVERY
        meter.note(10, 10)
    assert [next(words for words in ("20 %", "every byte") if words in str(_texts(card))) for card in answer.edits] == [
        "20 %",
        "every byte",
    ]


def _texts(card: Card) -> list[str]:
    return [getattr(item, "content", "") for item in card.walk_children()]


def test_every_button_has_an_id_that_discord_takes() -> None:
    made: list[Any] = [AddButton(verb, NUMBER) for verb in ("yes", "no", "stop")]
    made += [SentButton(NUMBER), VisibilityMenu(NUMBER), NamedMenu(NUMBER)]
    for item in made:
        assert item.template.fullmatch(item.custom_id), item.custom_id
        assert len(item.custom_id) <= 100
    assert {type(item) for item in made} == set(ITEMS)
