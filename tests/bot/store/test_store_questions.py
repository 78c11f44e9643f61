"""Cards that wait for an answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from bot.store import open_store
from tests.fakes import NOW, who

ALICE, BOB = who(1), who(2)


async def test_a_question_is_answered_once_however_many_press(tmp_path: Path) -> None:
    """Of fifty takes at once one gets what the question is about."""
    async with open_store(None, tmp_path) as store:
        number = await store.questions.ask(ALICE, "add", {"source": "x"})
        taken = await asyncio.gather(*(store.questions.take(ALICE, "add", number) for _ in range(50)))
        assert [value for value in taken if value is not None] == [{"source": "x"}]


@pytest.mark.parametrize(
    ("by", "kind"), [(BOB, "add"), (who(1, guild_id=9), "add"), (who(1, guild_id=None), "add"), (ALICE, "other")]
)
async def test_a_question_opens_to_nobody_else(tmp_path: Path, by: object, kind: str) -> None:
    """Another member, the same one in another server or a direct message, and another kind of card get nothing."""
    async with open_store(None, tmp_path) as store:
        number = await store.questions.ask(ALICE, "add", {"source": "x"})
        assert await store.questions.look(by, kind, number) is None  # type: ignore[arg-type]
        assert not await store.questions.amend(by, kind, number, {})  # type: ignore[arg-type]
        assert await store.questions.take(by, kind, number) is None  # type: ignore[arg-type]
        assert await store.questions.look(ALICE, "add", number) == {"source": "x"}


async def test_a_question_can_be_amended_and_outlives_a_restart(tmp_path: Path) -> None:
    """What a card means is what was last written, in the next process too."""
    async with open_store(None, tmp_path) as store:
        number = await store.questions.ask(ALICE, "browse", {"page": 1})
        assert await store.questions.amend(ALICE, "browse", number, {"page": 2})
    async with open_store(None, tmp_path) as store:
        assert await store.questions.take(ALICE, "browse", number) == {"page": 2}


async def test_a_question_that_is_too_old_is_gone(tmp_path: Path) -> None:
    """Past its life it opens to nobody, and the next question sweeps it out."""
    now = NOW
    async with open_store(None, tmp_path, now=lambda: now) as store:
        number = await store.questions.ask(ALICE, "add", {}, timedelta(minutes=5))
        now = NOW + timedelta(minutes=6)
        assert await store.questions.take(ALICE, "add", number) is None
