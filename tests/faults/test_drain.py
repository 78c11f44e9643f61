"""Ended in order, the bot loses nothing: a short run of tests.faults.drain."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .crowd import BROKEN
from .drain import MOST, end

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could hear"),
]


async def test_sigterm_at_any_moment_ends_it_well_and_loses_nothing(tmp_path: Path) -> None:
    """Five ends, while members order and things are drawn; no job is blamed for them."""
    seen = await end(tmp_path, ends=5, seed=1, life=0.8, drawing=0.3)
    assert {name: seen.found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert seen.found["ended as failed"] == 0
    assert set(seen.statuses) == {0}
    assert max(seen.seconds) <= MOST
