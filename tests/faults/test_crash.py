"""Killed at any moment, the bot keeps every promise: a short run of tests.faults.crash."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .crash import SOON, kill
from .crowd import BROKEN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]


async def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Six named moments and six random ones, with a fifth of Discord's replies lost."""
    seen = await kill(tmp_path, kills=12, seed=1, life=0.6, every=0.15)
    assert {name: seen.found[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    assert seen.found["breaches of Discord's rules"] == 0
    assert seen.found["ended as posted"] > 10
    assert seen.found["ended as posted"] >= seen.found["acknowledged"] / 2
    assert sorted(seen.starts)[len(seen.starts) // 2] < SOON
