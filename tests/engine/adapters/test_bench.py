"""What the bench compares: each way with what it is to be compared with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.adapters import bench
from engine.adapters.bench import Bench, bench_pipeline


def test_each_step_through_peft_is_compared_with_one_of_its_own_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is measured once, on the smallest model; then steps get times whose ratios are known."""
    monkeypatch.setattr(bench, "ROUNDS", 1)
    device = torch.device("cpu")
    measured = Bench(bench_pipeline("small", device), device, tmp_path)
    measured.measure_merged()
    measured.measure_peft()
    assert all(took > 0 for took in measured.medians.values())
    steps = {"none beside one": 10.0, "one": 20.0, "none beside two": 100.0, "two": 300.0}
    times = {f"UNet step: {name} through PEFT": took for name, took in steps.items()}
    assert times.keys() <= measured.medians.keys()
    measured.medians |= times
    one, two = measured.table().splitlines()[-2:]
    assert one.startswith("one adapter: ")
    assert one.endswith("2.000x through PEFT")
    assert two.startswith("two adapters: ")
    assert two.endswith("3.000x through PEFT")
