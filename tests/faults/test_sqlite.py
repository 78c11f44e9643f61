"""A database that fails at any call leaves all or nothing: a short run of tests.faults.sqlite."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.store import open_store

from .sqlite import sweep
from .writes import NOT_TRIED, untried, ways


@pytest.mark.slow
async def test_a_fault_at_any_call_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Every way to write, at each of its first calls; the sentence is clear, and afterwards all works."""
    found = await sweep(tmp_path / "data", calls=6, thorough=False)
    assert (found["wrong"], found["slow to recover"]) == (0, 0)
    assert found["tried"] > 200
    assert found["tried for real"] == 100


async def test_every_way_to_write_is_tried_or_there_is_a_reason(tmp_path: Path) -> None:
    async with open_store(None, tmp_path / "data") as store:
        acts = await ways(store, tmp_path)
        assert untried(store, acts) == set()
        assert untried(store, {}) == acts.keys(), "what is tried is what writes, and is found by its source"
        assert not acts.keys() & NOT_TRIED.keys()
