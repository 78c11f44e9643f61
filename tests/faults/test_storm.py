"""A Discord in distress gets every result once: a short run of tests.faults.storm."""

from __future__ import annotations

from pathlib import Path

import pytest

from .crowd import KEPT
from .storm import MOST_INVALID, weather_out

pytestmark = pytest.mark.slow


async def test_results_are_shown_once_through_a_storm(tmp_path: Path) -> None:
    """Twelve results through 429, 5xx, resets and replies that never come."""
    found, log = await weather_out(tmp_path, results=12, seed=1, longest=1.0)
    assert {name: found[name] for name in KEPT} == dict.fromkeys(KEPT, 0)
    assert found["breaches of Discord's rules"] == 0
    assert found["ended as posted"] + found["cancelled"] >= found["acknowledged"] >= 12
    assert found["answered with 429"] > 0
    assert found["invalid requests"] < MOST_INVALID
    assert "Traceback" not in log
