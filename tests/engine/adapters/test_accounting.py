"""What becomes of every key: applied, metadata, ignored for a reason, or unknown; and what is no proper layer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine import AdapterInvalid, AdapterMismatch, inspect_adapter
from engine.adapters.bank import AdapterBank
from engine.adapters.file import read_adapter

from ..layouts import SimplePipeline

SQUARE = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"  # (64, 64), no bias
OTHER = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k"
BIASED = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0"
NORM = "lora_unet_down_blocks_1_attentions_0_norm"
Tensors = dict[str, torch.Tensor]


def lora(module: str, rank: int = 2) -> Tensors:
    return {f"{module}.lora_up.weight": torch.randn(64, rank), f"{module}.lora_down.weight": torch.randn(rank, 64)}


def read(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> Any:
    save_file(tensors, path / "a.safetensors", metadata=metadata)
    return read_adapter(path / "a.safetensors")


def test_the_four_sets_partition_the_file(bank: AdapterBank, tmp_path: Path) -> None:
    """Applied, metadata, ignored and unknown: together all names of the file, and no name in two of them."""
    tensors = lora(SQUARE) | lora("lora_unet_no_such_layer") | lora("lora_unet_mid_block_no")
    tensors |= {f"{SQUARE}.alpha": torch.tensor(1.0), f"{SQUARE}.diff_b": torch.zeros(64)}
    tensors |= {"bundle_emb.me.clip_l": torch.ones(1, 8), "<s1>": torch.ones(8), "strange": torch.ones(1)}
    tensors |= {"bundle_emb.me.t5": torch.ones(1, 8), "bundle_emb.long.clip_l": torch.ones(76, 8)}
    tensors |= {f"{NORM}.w_norm": torch.ones(64), "a.model.weight": torch.ones(2)}
    adapter = read(tmp_path, tensors, {"ss_output_name": "x", "<s1>": "<embed>"})
    found = bank.bind(adapter)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        keys = sorted(file.keys())
        assert sorted(found.metadata) == sorted(file.metadata())
    assert sorted([*found.applied, *found.report.ignored, *found.report.unknown]) == keys
    assert set(found.report.ignored) == {"bundle_emb.me.t5", "bundle_emb.long.clip_l", f"{SQUARE}.diff_b"}
    assert {"bundle_emb.me.clip_l", "<s1>"} <= set(found.applied)
    assert all(found.report.ignored.values())
    unknown = {*lora("lora_unet_no_such_layer"), *lora("lora_unet_mid_block_no"), "strange", "a.model.weight"}
    assert set(found.report.unknown) == unknown
    said = str(found.report)
    assert said.startswith("a: 2 of 4 layers, embeddings <s1>, me, 3 keys ignored (")
    assert said.endswith(" and more), 6 keys unknown")


def test_an_alpha_counts_for_its_own_layer_only(bank: AdapterBank, tmp_path: Path) -> None:
    """One layer with alpha and one without in one file: alpha / rank there, 1 here."""
    tensors = lora(SQUARE) | lora(OTHER) | {f"{SQUARE}.alpha": torch.tensor([0.5])}
    weights = [bank._table[module].parameter for module in (SQUARE, OTHER)]
    before = [weight.detach().clone() for weight in weights]
    bank.set([(read(tmp_path, tensors), 1.0)])
    for module, scale, weight, old in zip((SQUARE, OTHER), (0.25, 1.0), weights, before, strict=True):
        change = scale * tensors[f"{module}.lora_up.weight"] @ tensors[f"{module}.lora_down.weight"]
        assert torch.allclose(weight - old, change, atol=1e-5)


def test_a_scale_tensor_is_taken_instead_of_alpha_over_rank(bank: AdapterBank, tmp_path: Path) -> None:
    """As in the WebUI: `scale` wins over alpha."""
    tensors = lora(SQUARE) | {f"{SQUARE}.alpha": torch.tensor(1.0), f"{SQUARE}.scale": torch.tensor(0.125)}
    weight = bank._table[SQUARE].parameter
    before = weight.detach().clone()
    bank.set([(read(tmp_path, tensors), 1.0)])
    change = 0.125 * tensors[f"{SQUARE}.lora_up.weight"] @ tensors[f"{SQUARE}.lora_down.weight"]
    assert torch.allclose(weight - before, change, atol=1e-5)


@pytest.mark.parametrize(("module", "roles"), [(BIASED, ("diff", "diff_b")), (NORM, ("w_norm", "b_norm"))])
def test_a_bias_is_changed_beside_its_weight_and_restored(
    module: str, roles: tuple[str, str], bank: AdapterBank, tmp_path: Path
) -> None:
    """bias += m * diff_b, whatever changes the weight; without an adapter both are pristine again."""
    target = bank._table[module]
    assert target.bias is not None
    parameters = (target.parameter, target.bias.parameter)
    before = [p.detach().clone() for p in parameters]
    changes = [torch.randn(p.shape) for p in parameters]
    adapter = read(tmp_path, {f"{module}.{role}": change for role, change in zip(roles, changes, strict=True)})
    report = bank.set([(adapter, 0.5)])[0]
    assert (report.applied, report.layers) == (1, 1)
    for parameter, old, change in zip(parameters, before, changes, strict=True):
        assert torch.allclose(parameter, old + 0.5 * change, atol=1e-6)
    bank.set([])
    assert all(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))


def test_a_norm_file_may_lack_the_bias(bank: AdapterBank, tmp_path: Path) -> None:
    """w_norm alone is a whole layer (the WebUI refuses that)."""
    assert bank.set([(read(tmp_path, {f"{NORM}.w_norm": torch.ones(64)}), 1.0)])[0].applied == 1


def test_a_lora_layer_may_change_its_bias_too(bank: AdapterBank, tmp_path: Path) -> None:
    """ComfyUI's extraction writes lora_up, lora_down and diff_b for one layer."""
    bias = bank._table[BIASED].bias
    assert bias is not None
    before = bias.parameter.detach().clone()
    bank.set([(read(tmp_path, lora(BIASED) | {f"{BIASED}.diff_b": torch.ones(64)}), 1.0)])
    assert torch.allclose(bias.parameter, before + 1)


def test_a_change_of_a_bias_that_the_model_has_not_is_refused(bank: AdapterBank, tmp_path: Path) -> None:
    """It cannot be merged, so the picture would not be the trainer's."""
    with pytest.raises(AdapterMismatch, match=r"bias of \S+attn1_to_q, which has none"):
        bank.set([(read(tmp_path, lora(SQUARE) | {f"{SQUARE}.diff_b": torch.ones(64)}), 1.0)])


def test_pefts_alpha_pattern_counts_for_the_modules_that_it_names(bank: AdapterBank, tmp_path: Path) -> None:
    """alpha_pattern wins over lora_alpha where it names the end of the module's path."""
    path = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    up, down = torch.randn(64, 2), torch.randn(2, 64)
    metadata = {"lora_adapter_metadata": '{"unet.lora_alpha": 2, "unet.alpha_pattern": {"attn1.to_q": 3, "to_k": 7}}'}
    weight = bank._table[SQUARE].parameter
    before = weight.detach().clone()
    bank.set([(read(tmp_path, {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}, metadata), 1.0)])
    assert torch.allclose(weight - before, 1.5 * up @ down, atol=1e-5)


@pytest.mark.parametrize("dora", [False, True])
def test_an_inpainting_model_takes_a_change_of_four_channels(dora: bool, builtin: Any, tmp_path: Path) -> None:
    """conv_in with nine input channels: the first four change as the plain model's would, the other five stay."""
    plain = copy.deepcopy(builtin.unet)
    wide = copy.deepcopy(builtin.unet)
    rest = torch.randn(32, 5, 3, 3)
    wide.conv_in.weight = torch.nn.Parameter(torch.cat([plain.conv_in.weight.detach(), rest], dim=1))
    tensors = {"lora_up.weight": torch.randn(32, 2, 1, 1), "lora_down.weight": torch.randn(2, 4, 3, 3)}
    if dora:
        tensors["dora_scale"] = torch.rand(32, 1, 1, 1)
    adapter = read(tmp_path, {f"lora_unet_conv_in.{role}": tensor for role, tensor in tensors.items()})
    for unet in (plain, wide):
        AdapterBank(SimplePipeline(unet=unet)).set([(adapter, 0.5)])
    assert torch.allclose(wide.conv_in.weight[:, :4], plain.conv_in.weight, atol=1e-6)
    assert not torch.allclose(plain.conv_in.weight, builtin.unet.conv_in.weight, atol=1e-3)
    assert torch.equal(wide.conv_in.weight[:, 4:], rest)


BROKEN = {
    "LoHa without its second pair": {"hada_w1_a": torch.ones(64, 2), "hada_w1_b": torch.ones(2, 64)},
    "LoHa with ranks that do not meet": {
        "hada_w1_a": torch.ones(64, 2),
        "hada_w1_b": torch.ones(3, 64),
        "hada_w2_a": torch.ones(64, 2),
        "hada_w2_b": torch.ones(2, 64),
    },
    "LoKr without its second factor": {"lokr_w1": torch.ones(8, 8)},
    "LoKr with half a factor": {"lokr_w1": torch.ones(8, 8), "lokr_w2_a": torch.ones(8, 2)},
    "GLoRA of no layout": {
        f"{role}.weight": torch.ones(n, 5) for role, n in zip(("a1", "a2", "b1", "b2"), (2, 3, 4, 6), strict=True)
    },
    "DoRA on nothing": {"dora_scale": torch.ones(64, 1)},
    "DoRA with a matrix of norms": {
        "lora_up.weight": torch.ones(64, 2),
        "lora_down.weight": torch.ones(2, 64),
        "dora_scale": torch.ones(64, 64),
    },
    "a pair of two formats": {"lora_up.weight": torch.ones(64, 2), "hada_w1_a": torch.ones(64, 2)},
    "an alpha alone": {"alpha": torch.tensor(1.0)},
    "an alpha of two numbers": {
        "lora_up.weight": torch.ones(64, 2),
        "lora_down.weight": torch.ones(2, 64),
        "alpha": torch.ones(2),
    },
    "LoKr of a product that fills the memory": {
        "lokr_w1": torch.ones(8, 8),
        "lokr_w2_a": torch.ones(200_000, 1),
        "lokr_w2_b": torch.ones(1, 200_000),
    },
    "a core that fills the memory": {
        "lora_up.weight": torch.ones(64, 1),
        "lora_mid.weight": torch.ones(1, 1, 500, 500),
        "lora_down.weight": torch.ones(1, 200_000),
    },
    "OFT blocks that are not square": {"oft_blocks": torch.ones(8, 8, 4)},
    "OFT with a rescale of another size": {"oft_blocks": torch.zeros(8, 8, 8), "rescale": torch.ones(32, 1)},
    "BOFT with too many stages": {"oft_blocks": torch.zeros(9, 8, 8, 8)},
    "a residual outside of its size": {
        "lora_up.weight": torch.ones(64, 2),
        "lora_down.weight": torch.ones(2, 64),
        "bias_indices": torch.tensor([[64], [0]]),
        "bias_values": torch.ones(1),
        "bias_size": torch.tensor([64, 64]),
    },
    "a residual without values": {
        "lora_up.weight": torch.ones(64, 2),
        "lora_down.weight": torch.ones(2, 64),
        "bias_indices": torch.tensor([[0], [0]]),
    },
}
MISFITS = {
    "LoHa": {
        f"hada_w{i}_{part}": torch.ones(2, 63).T if part == "a" else torch.ones(2, 64) for i in "12" for part in "ab"
    },
    "LoKr": {"lokr_w1": torch.ones(8, 8), "lokr_w2": torch.ones(8, 9)},
    "IA3": {"weight": torch.ones(63), "on_input": torch.tensor(1)},
    "full": {"diff": torch.ones(32, 128)},
    "OFT": {"oft_blocks": torch.zeros(8, 9, 9)},
    "BOFT": {"oft_blocks": torch.zeros(1, 4, 8, 8)},
    "DoRA": {
        "lora_up.weight": torch.ones(64, 2),
        "lora_down.weight": torch.ones(2, 64),
        "dora_scale": torch.ones(63, 1),
    },
    "GLoRA": {
        "a1.weight": torch.ones(32, 2),
        "a2.weight": torch.ones(2, 32),
        "b1.weight": torch.ones(64, 2),
        "b2.weight": torch.ones(2, 64),
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_incomplete_or_contradictory_layer_is_refused(name: str, bank: AdapterBank, tmp_path: Path) -> None:
    """The file is invalid whatever the model, and the layer is named: by its header alone where shapes tell it."""
    tensors = {f"{SQUARE}.{role}": tensor.contiguous() for role, tensor in BROKEN[name].items()}
    with pytest.raises(AdapterInvalid, match=SQUARE):
        bank.set([(read(tmp_path, tensors), 1.0)])
    if name != "a residual outside of its size":  # its numbers tell, which only reading sees
        with pytest.raises(AdapterInvalid, match=SQUARE):
            inspect_adapter(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", MISFITS)
def test_a_good_layer_of_another_shape_is_refused(name: str, bank: AdapterBank, tmp_path: Path) -> None:
    """Every format checks the weight before anything is written; the sentence gives the layer's shape."""
    adapter = read(tmp_path, {f"{SQUARE}.{role}": tensor.contiguous() for role, tensor in MISFITS[name].items()})
    with pytest.raises(AdapterMismatch, match=r"the layer is \(64, 64\)"):
        bank.set([(adapter, 1.0)])
