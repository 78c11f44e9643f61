"""The promises about jobs under any order of events: a short run of tests.faults.machine."""

from __future__ import annotations

import pytest

from .machine import try_out

pytestmark = pytest.mark.slow


def test_the_promises_hold_in_any_order_of_events() -> None:
    """Twelve orders of at most twenty-five events."""
    try_out(examples=12, steps=25)
