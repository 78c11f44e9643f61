"""Every format on every kind of layer, through a file and a bank, against closed forms in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.adapters.bank import AdapterBank
from engine.adapters.file import Adapter, read_adapter

from .cases import CASES, LAYERS, Case, Random

STRENGTHS = (0.0, 0.5, 1.0, -1.0, 2.0)
ALPHAS: Mapping[str, torch.Tensor | None] = {
    "none": None,
    "rank": torch.tensor(4.0),
    "3, 0-d": torch.tensor(3.0),
    "3, 1-d": torch.tensor([3.0]),
    "0": torch.tensor(0.0),
}
GRID = [
    pytest.param(case, layer, alpha, id=f"{name}-{layer}-{alpha}")
    for name, case in CASES.items()
    for layer in case.layers
    for alpha in (ALPHAS if case.alpha else ["none"])
]


@pytest.fixture(scope="module")
def shared(builtin: Any) -> Iterator[AdapterBank]:
    """One bank for the whole grid: every test leaves it without an adapter."""
    bank = AdapterBank(builtin)
    yield bank
    bank.set([])


def tensors_of(case: Case, layer: str, shape: tuple[int, ...], seed: int = 0) -> dict[str, torch.Tensor]:
    return case.make(shape, Random(torch.Generator().manual_seed(seed)))


def write(path: Path, case: Case, layer: str, tensors: Mapping[str, torch.Tensor]) -> Adapter:
    save_file({f"{case.module}{LAYERS[layer]}.{role}": t.contiguous() for role, t in tensors.items()}, path)
    return read_adapter(path)


def parameter(bank: AdapterBank, layer: str) -> torch.Tensor:
    return bank._table["lora_unet_" + LAYERS[layer]].parameter


def assert_exact(
    bank: AdapterBank, case: Case, layer: str, adapter: Adapter, tensors: Mapping[str, torch.Tensor]
) -> None:
    weight = parameter(bank, layer)
    pristine = weight.detach().clone()
    wanted = case.change(pristine.double(), tensors)
    try:
        for strength in STRENGTHS:
            bank.set([(adapter, strength)])
            if strength == 0:
                assert torch.equal(weight, pristine)
                continue
            error = (weight.double() - pristine.double() - strength * wanted).abs().max()
            assert error <= 2e-5 * (strength * wanted).abs().max(), f"{strength}: {error}"
        assert bank.set([(adapter, 1.0)])[0].unknown == ()
    finally:
        bank.set([])
    assert torch.equal(weight, pristine)


@pytest.mark.parametrize(("case", "layer", "alpha"), GRID)
def test_a_format_changes_a_layer_by_its_closed_form(
    case: Case, layer: str, alpha: str, shared: AdapterBank, tmp_path: Path
) -> None:
    """At every strength W' - W is strength times the closed form within 2e-5 of the largest change, at 0 nothing."""
    tensors = tensors_of(case, layer, tuple(parameter(shared, layer).shape))
    value = ALPHAS[alpha]
    if value is not None:
        tensors["alpha"] = value
    adapter = write(tmp_path / "a.safetensors", case, layer, tensors)
    assert_exact(shared, case, layer, adapter, tensors)


STORED = (torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2)


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize(
    ("case", "layer"),
    [
        pytest.param(case, layer, id=f"{name}-{layer}", marks=() if layer == case.layers[-1] else pytest.mark.slow)
        for name, case in CASES.items()
        for layer in case.layers
    ],
)
def test_a_format_stored_in_another_type_is_taken_at_its_stored_numbers(
    case: Case, layer: str, dtype: torch.dtype, shared: AdapterBank, tmp_path: Path
) -> None:
    """The file's rounded numbers, multiplied in float32 or better, give the closed form of the same numbers."""
    tensors = tensors_of(case, layer, tuple(parameter(shared, layer).shape))
    tensors = {role: t.to(dtype) if t.is_floating_point() else t for role, t in tensors.items()}
    if case.alpha:
        tensors["alpha"] = torch.tensor(3.0, dtype=dtype)
    adapter = write(tmp_path / "a.safetensors", case, layer, tensors)
    assert_exact(shared, case, layer, adapter, tensors)
