"""A token that ends in the middle: some of the cases of tests.faults.expiry."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.orders import JobState

from .expiry import cases, expire

pytestmark = pytest.mark.slow

SOME = [case for number, case in enumerate(cases()) if number % 7 == 3]


@pytest.mark.parametrize(("state", "place", "mode", "when"), SOME)
async def test_a_token_that_ends_leaves_one_end_in_its_place(
    tmp_path: Path, state: JobState, place: str, mode: str, when: str
) -> None:
    """Where it was ordered and nowhere else, for its member, once; the first answer is gone."""
    assert await expire(tmp_path, state, place, mode, when) == []
