"""The script of engine faults, small."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .engine import FOUND_WITHIN, KINDS, STALL, Script


@pytest.mark.slow
async def test_every_kind_of_engine_fault_costs_its_victim_at_most_and_nobody_else(tmp_path: Path) -> None:
    """One outcome each, the right one; the next picture to the byte, the base model to the bit."""
    figures = await Script(tmp_path, seed=1).run(len(KINDS))
    assert figures.wrong == []
    assert figures.faults == Counter(kind.name for kind in KINDS)
    assert figures.outcomes.total() == len(KINDS)
    assert max(figures.found) < STALL + FOUND_WITHIN
