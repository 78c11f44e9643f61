"""No start on damage: a short run of tests.faults.corruption."""

from __future__ import annotations

import asyncio

from .corruption import WRONG, damaged


async def test_a_damaged_folder_is_refused_or_whole() -> None:
    """Forty damages to database, journal and log: no other error, no row lost, and always a way out."""
    found = await asyncio.to_thread(damaged, 3, 40)
    assert {name: found[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    assert found["refused"] >= 10
    assert found["as it was"] >= 5
