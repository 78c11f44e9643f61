"""A database that fails at any call leaves all or nothing: a short run of tests.faults.sqlite."""

from __future__ import annotations

from pathlib import Path

import pytest

from .sqlite import sweep

pytestmark = pytest.mark.slow


async def test_a_fault_at_any_call_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Every way to write, at each of its first calls; the sentence is clear, and afterwards all works."""
    found = await sweep(tmp_path, calls=2)
    assert (found["wrong"], found["slow to recover"]) == (0, 0)
    assert found["tried"] > 150
    assert found["tried for real"] == 32
