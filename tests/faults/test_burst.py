"""Many members at once are all answered in time: a short run of tests.faults.burst."""

from __future__ import annotations

from pathlib import Path

import pytest

from .burst import burst

pytestmark = pytest.mark.slow


async def test_everyone_is_answered_and_the_bound_is_kept(tmp_path: Path) -> None:
    """120 orders in a second where 30 fit: 30 are taken and shown, 90 refused with a sentence, and nobody is left."""
    seen = await burst(tmp_path, members=120, within=1.0, bound=30)
    assert (seen.unanswered, seen.broken) == (0, 0)
    assert (seen.taken, seen.refused) == (30, 90)
