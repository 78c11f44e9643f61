"""A mix whose sums the weights' type cannot hold is refused, and no weight has changed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine import AdapterInvalid
from engine.adapters import blocks
from engine.adapters.bank import AdapterBank
from engine.adapters.file import Adapter, read_adapter

from ..conftest import same, weights_of
from ..layouts import SimplePipeline

LAYER = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
NORM = "lora_unet_mid_block_attentions_0_norm"
WIDE = 80


def lora(path: Path, size: float) -> Adapter:
    """D is `size` everywhere in one layer."""
    factors = {"up": torch.full((WIDE, 1), size), "down": torch.ones(1, WIDE)}
    save_file({f"{LAYER}.lora_{part}.weight": factor for part, factor in factors.items()}, path)
    return read_adapter(path)


def model(builtin: Any, dtype: torch.dtype) -> Any:
    return SimplePipeline(unet=copy.deepcopy(builtin.unet).to(dtype))


@pytest.mark.parametrize("together", [False, True], ids=["by layer", "together"])
@pytest.mark.parametrize("size", [40000.0, -40000.0])
def test_a_sum_that_float16_cannot_hold_is_refused(
    builtin: Any, tmp_path: Path, size: float, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layer and the type are named, the weights are pristine, and the same adapter at less is in force after."""
    if together:
        monkeypatch.setattr(blocks, "write_sum", lambda work, _: blocks.write_together([work], torch.device("cpu")))
    pipeline = model(builtin, torch.float16)
    bank, before = AdapterBank(pipeline), weights_of(pipeline)
    adapter = lora(tmp_path / "huge.safetensors", size)
    with pytest.raises(AdapterInvalid, match=r"unet\.mid_block\S+to_q has numbers that float16 cannot hold"):
        bank.set([(adapter, 2.0)])
    assert bank.mix == ()
    assert same(before, weights_of(pipeline))
    bank.set([(adapter, 0.5)])
    assert pipeline.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight.isfinite().all()
    bank.set([])
    assert same(before, weights_of(pipeline))


def test_two_adapters_that_are_too_much_together_are_refused(builtin: Any, tmp_path: Path) -> None:
    """Each alone fits float16."""
    pipeline = model(builtin, torch.float16)
    bank, before = AdapterBank(pipeline), weights_of(pipeline)
    one, two = lora(tmp_path / "one.safetensors", 40000.0), lora(tmp_path / "two.safetensors", 40001.0)
    bank.set([(one, 1.0)])
    bank.set([(two, 1.0)])
    with pytest.raises(AdapterInvalid, match="Lower the weights"):
        bank.set([(one, 1.0), (two, 1.0)])
    assert same(before, weights_of(pipeline))


def test_large_numbers_that_fit_are_not_refused(builtin: Any, tmp_path: Path) -> None:
    """The sum over a layer is more than float16 holds, none of its numbers is."""
    bank = AdapterBank(model(builtin, torch.float16))
    assert bank.set([(lora(tmp_path / "large.safetensors", 60000.0), 1.0)])[0].applied == 1


def test_a_format_whose_reach_is_not_known_is_looked_at(builtin: Any, tmp_path: Path) -> None:
    """A full difference of a norm, in float16."""
    pipeline = model(builtin, torch.float16)
    before = weights_of(pipeline)
    save_file({f"{NORM}.w_norm": torch.full((WIDE,), 40000.0)}, tmp_path / "norm.safetensors")
    with pytest.raises(AdapterInvalid, match="attentions\\.0\\.norm"):
        AdapterBank(pipeline).set([(read_adapter(tmp_path / "norm.safetensors"), 2.0)])
    assert same(before, weights_of(pipeline))
