"""Cut off in the middle of jobs, the bot loses nothing: a short run of tests.faults.gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from .crowd import KEPT
from .gateway import BREAKS, break_up

pytestmark = pytest.mark.slow


async def test_a_disconnect_of_any_kind_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Each kind once, around running jobs; interactions that come twice are one job."""
    found = await break_up(tmp_path, breaks=len(BREAKS), seed=1)
    assert {name: found[name] for name in KEPT} == dict.fromkeys(KEPT, 0)
    assert found["ended as posted"] + found["cancelled"] >= found["acknowledged"] >= len(BREAKS)
    assert found["shown though never acknowledged"] == 0
    assert found["breaches of Discord's rules"] == 0
    assert found["resumes"] >= 6
    assert found["identifies"] <= len(BREAKS)
