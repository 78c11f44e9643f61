"""Switches leave nothing behind; `python -m engine bench memory` shows it over 1,000 of them, with the process."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from engine.adapters.soak import Sample, adapters_for, bank_with_room_for_a_third, sample, slope


def test_random_switches_among_twenty_adapters_leave_no_tensor_behind(builtin: Any, tmp_path: Path) -> None:
    """Factors come and go; without any, there are as many tensors and bytes as before."""
    adapters = list(adapters_for(builtin, tmp_path))
    bank, rng, samples = bank_with_room_for_a_third(builtin, adapters), random.Random(0), []
    for _ in range(3):
        for _ in range(25):
            bank.set([(adapter, rng.uniform(-1, 1)) for adapter in rng.sample(adapters, rng.randint(0, 3))])
        bank.set([])
        assert bank.factors.figures.evictions > 10
        bank.factors.clear()
        samples.append(sample(len(samples)))
    assert len({(found.tensors, found.tensor_bytes) for found in samples}) == 1, samples


def test_the_slope_is_that_of_the_line_through_the_samples() -> None:
    """Bytes a switch."""
    samples = [Sample(switches, 1000 + 3 * switches, 0, 7) for switches in (0, 10, 50)]
    assert abs(slope(samples, "resident") - 3) < 1e-9
    assert slope(samples, "tensor_bytes") == 0
