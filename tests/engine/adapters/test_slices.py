"""Layers that a model has fused: q, k and v are slices of one weight, and a file changes each by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine import AdapterInvalid, AdapterMismatch, read_adapter
from engine.adapters import bank as banks
from engine.adapters.bank import AdapterBank, Weights
from engine.adapters.binding import bind
from engine.adapters.blocks import Work, write_sums
from engine.adapters.file import Adapter
from engine.adapters.table import Target, key_table

from ..conftest import same
from ..files import write_kohya
from ..layouts import SimplePipeline
from .cases import CASES, Random

BLOCK = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1"
WIDTH = 64
FAMILY = "built-in"  # no file of this width says another
DORA = "DoRA (LoRA), out"


def sliced(weight: torch.Tensor, bias: torch.Tensor | None = None) -> dict[str, Target]:
    """q, k and v as the rows of one weight."""
    table = {}
    for i, part in enumerate("qkv"):
        rows = (0, i * WIDTH, WIDTH)
        own = None if bias is None else Target("unet", "attn1.to_qkv.bias", bias, slice=rows)
        table[f"{BLOCK}_to_{part}"] = Target("unet", "attn1.to_qkv", weight, own, rows)
    return table


def written(path: Path, kinds: tuple[str, str, str]) -> tuple[Adapter, list[dict[str, torch.Tensor]]]:
    """A file with layers of these formats for q, k and v, with alphas of their own."""
    rand = Random(torch.Generator().manual_seed(0))
    layers = [CASES[kind].make((WIDTH, WIDTH), rand) | {"alpha": torch.tensor(i + 1.0)} for i, kind in enumerate(kinds)]
    save_file(
        {f"{BLOCK}_to_{part}.{role}": t for part, made in zip("qkv", layers, strict=True) for role, t in made.items()},
        path,
    )
    return read_adapter(path), layers


def summed(adapter: Adapter, table: dict[str, Target], strength: float) -> dict[str, torch.Tensor]:
    bound = bind(adapter, table, FAMILY, None)
    weights = {target.name: target.parameter for target in table.values()}
    weights |= {target.bias.name: target.bias.parameter for target in table.values() if target.bias is not None}
    works = [
        Work(name, weights[name], weights[name].clone(), [(change, strength)]) for name, change in bound.changes.items()
    ]
    write_sums(works)
    assert len(bound.applied) == sum(len(keys) for keys in adapter.keys.values())
    assert str(bound.report).startswith(f"{adapter.name}: 3 of 3 layers")
    return {work.name: work.weight for work in works}


@pytest.mark.parametrize("kinds", [("LoRA",) * 3, ("LoHa",) * 3, (DORA,) * 3, ("LoRA", DORA, "OFT")], ids=str)
def test_three_loras_are_three_parts_of_a_fused_weight(kinds: tuple[str, str, str], tmp_path: Path) -> None:
    """W' = W + m * [Dq; Dk; Dv], each D the closed form of its own rows."""
    adapter, layers = written(tmp_path / "x.safetensors", kinds)
    weight = torch.randn(3 * WIDTH, WIDTH, generator=torch.Generator().manual_seed(1))
    before = weight.double()
    rows = zip(kinds, before.split(WIDTH), layers, strict=True)
    wanted = torch.cat([CASES[kind].change(own, tensors) for kind, own, tensors in rows])
    summed(adapter, sliced(weight), 0.7)
    assert torch.allclose(weight - before, 0.7 * wanted, atol=1e-5)


def test_biases_of_fused_layers_are_slices_too(tmp_path: Path) -> None:
    """Full differences of weight and bias, of which the bias has one dimension."""
    made = {f"{BLOCK}_to_{part}.diff": torch.full((WIDTH, WIDTH), i + 1.0) for i, part in enumerate("qkv")}
    made |= {f"{BLOCK}_to_{part}.diff_b": torch.full((WIDTH,), 4.0 * i) for i, part in enumerate("qkv")}
    save_file(made, tmp_path / "x.safetensors")
    table = sliced(torch.zeros(3 * WIDTH, WIDTH), torch.zeros(3 * WIDTH))
    found = summed(read_adapter(tmp_path / "x.safetensors"), table, 0.5)
    assert torch.equal(found["unet.attn1.to_qkv"][:, 0], torch.tensor([0.5, 1.0, 1.5]).repeat_interleave(WIDTH))
    assert torch.equal(found["unet.attn1.to_qkv.bias"], torch.tensor([0.0, 2.0, 4.0]).repeat_interleave(WIDTH))


def test_a_slice_that_a_file_changes_twice_is_still_refused(tmp_path: Path) -> None:
    """Two spellings of q that disagree; two of different slices are two layers."""
    adapter, _ = written(tmp_path / "x.safetensors", ("LoRA",) * 3)
    table = sliced(torch.zeros(3 * WIDTH, WIDTH))
    table[f"{BLOCK}_to_k"] = table[f"{BLOCK}_to_q"]
    with pytest.raises(AdapterInvalid, match="twice"):
        bind(adapter, table, FAMILY, None)


def test_a_slice_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A fused weight of q and k alone has no rows for v."""
    adapter, _ = written(tmp_path / "x.safetensors", ("LoRA",) * 3)
    with pytest.raises(AdapterMismatch, match="does not fit"):
        bind(adapter, sliced(torch.zeros(2 * WIDTH, WIDTH)), FAMILY, None)


def test_the_bank_does_to_a_fused_model_what_it_does_to_the_same_one_unfused(
    builtin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The built-in UNet with diffusers' fused projections, all of its attention trained, and back, bit for bit."""
    plain, fused = copy.deepcopy(builtin.unet), copy.deepcopy(builtin.unet)
    fused.fuse_qkv_projections()
    spelled = {name: f"lora_unet_{name.replace('.', '_')}" for name, _ in plain.named_modules() if is_projection(name)}
    weights = [(spelling, plain.get_submodule(name).weight) for name, spelling in spelled.items()]
    adapter = read_adapter(write_kohya(tmp_path / "x.safetensors", weights))
    monkeypatch.setattr(banks, "key_table", fused_table(spelled))
    bank = AdapterBank(SimplePipeline(unet=fused))
    monkeypatch.undo()
    other = AdapterBank(SimplePipeline(unet=plain))
    before = {name: value.clone() for name, value in fused.state_dict().items()}
    table = fused_table(spelled)(SimplePipeline(unet=fused))
    for weight in (0.8, Weights(0.5, 0.5, rank=2)):
        assert str(bank.set([(adapter, weight)])[0]) == str(other.set([(adapter, weight)])[0])
        for name, spelling in spelled.items():
            target = table[spelling]
            rows = target.parameter if target.slice is None else target.parameter.narrow(*target.slice)
            assert torch.allclose(rows, plain.get_submodule(name).weight, atol=1e-6), name
        assert not same(dict(fused.state_dict()), before)
    bank.set([])
    assert same(dict(fused.state_dict()), before)


def is_projection(name: str) -> bool:
    return name.endswith((".to_q", ".to_k", ".to_v"))


def fused_table(spelled: dict[str, str]) -> Callable[[Any], dict[str, Target]]:
    def table(pipeline: Any) -> dict[str, Target]:
        found = key_table(pipeline)
        for name, spelling in spelled.items():
            attention, part = name.rsplit(".to_", 1)
            own = pipeline.unet.get_submodule(attention)
            layer = "qkv" if hasattr(own, "to_qkv") else "kv"
            if part in layer:
                weight = getattr(own, f"to_{layer}").weight
                length = weight.shape[0] // len(layer)
                rows = (0, layer.index(part) * length, length)
                found[spelling] = Target("unet", f"{attention}.to_{layer}", weight, slice=rows)
        return found

    return table
