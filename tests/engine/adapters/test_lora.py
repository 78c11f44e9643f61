"""LoRA and LoCon files in the spellings of kohya and PEFT: alphas, shapes, cores, data types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file

from engine import AdapterInvalid, AdapterUnsupported
from engine.adapters.bank import AdapterBank
from engine.adapters.file import read_adapter
from engine.adapters.formats.lora import LowRank

CONV = "lora_unet_mid_block_resnets_0_conv1"
LINEAR = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def delta(tensors: dict[str, torch.Tensor], shape: tuple[int, ...], **settings: Any) -> torch.Tensor:
    change = LowRank.load("layer", tensors, settings)
    assert change is not None
    total = torch.zeros(shape).flatten(1)
    change.add_to(total, total, 1.0)
    return total.view(shape)


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (4.0, 1.0), (1.0, 0.25), (8.0, 2.0), (0.0, 0.0)])
@pytest.mark.parametrize("dims", [0, 1])
def test_alpha_over_rank_scales_and_a_missing_alpha_means_one(alpha: float | None, scale: float, dims: int) -> None:
    """s = alpha / rank, for alphas with no and with one dimension."""
    up, down = torch.randn(6, 4), torch.randn(4, 5)
    tensors = {"up": up, "down": down} | ({} if alpha is None else {"alpha": torch.full((1,) * dims, alpha)})
    assert torch.allclose(delta(tensors, (6, 5)), scale * up @ down, atol=1e-6)


def test_a_convolution_of_3x3_unfolds_its_kernel() -> None:
    """down carries the kernel, up is 1x1 (LoCon)."""
    up, down = torch.randn(6, 2, 1, 1), torch.randn(2, 5, 3, 3)
    wanted = torch.einsum("or,rikl->oikl", up[..., 0, 0], down)
    assert torch.allclose(delta({"up": up, "down": down}, (6, 5, 3, 3)), wanted, atol=1e-5)


def test_a_tucker_core_is_contracted_as_lycoris_does() -> None:
    """D = einsum('mnkl,im,nj->ijkl', mid, up, down)."""
    up, down, mid = torch.randn(6, 2, 1, 1), torch.randn(2, 5, 1, 1), torch.randn(2, 2, 3, 3)
    wanted = torch.einsum("mnkl,im,nj->ijkl", mid, up[..., 0, 0], down[..., 0, 0])
    assert torch.allclose(delta({"up": up, "down": down, "mid": mid}, (6, 5, 3, 3)), wanted, atol=1e-5)


def test_four_dimensional_factors_fit_a_linear_layer_and_two_dimensional_ones_a_1x1_convolution() -> None:
    """Both spellings of proj_in exist in the wild."""
    up, down = torch.randn(6, 2), torch.randn(2, 5)
    flat = delta({"up": up, "down": down}, (6, 5))
    assert torch.equal(delta({"up": up[..., None, None], "down": down[..., None, None]}, (6, 5)), flat)
    assert torch.equal(delta({"up": up, "down": down}, (6, 5, 1, 1))[..., 0, 0], flat)


def test_rslora_divides_by_the_root_of_the_rank() -> None:
    """PEFT's use_rslora stands in the metadata, not in the tensors."""
    up, down = torch.randn(6, 4), torch.randn(4, 5)
    wanted = 8 / 2 * up @ down
    assert torch.allclose(delta({"up": up, "down": down}, (6, 5), lora_alpha=8, use_rslora=True), wanted, atol=1e-5)


@pytest.mark.parametrize("missing", ["up", "down"])
def test_half_a_pair_is_refused(missing: str) -> None:
    """An up without its down is an incomplete file, not a smaller adapter."""
    tensors = {"up": torch.randn(6, 4), "down": torch.randn(4, 5)}
    del tensors[missing]
    with pytest.raises(AdapterInvalid, match=f"no lora_{missing}"):
        LowRank.load("layer", tensors, {})


def test_ranks_that_do_not_meet_are_refused() -> None:
    """up (6, 3) and down (4, 5) cannot be multiplied."""
    with pytest.raises(AdapterInvalid, match="do not fit together"):
        LowRank.load("layer", {"up": torch.randn(6, 3), "down": torch.randn(4, 5)}, {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_every_storage_type_is_multiplied_in_float32(
    dtype: torch.dtype, bank: AdapterBank, builtin: Any, tmp_path: Path
) -> None:
    """The stored numbers are taken as they are; only the arithmetic is float32."""
    weight = builtin.unet.mid_block.resnets[0].conv1.weight
    before = weight.detach().clone()
    up, down = (torch.randn(80, 2, 1, 1) * 0.1).to(dtype), torch.randn(2, 80, 3, 3).to(dtype)
    save_file({f"{CONV}.lora_up.weight": up, f"{CONV}.lora_down.weight": down}, tmp_path / "a.safetensors")
    bank.set([(read_adapter(tmp_path / "a.safetensors"), 1.0)])
    wanted = (up.double().flatten(1) @ down.double().flatten(1)).view(weight.shape)
    assert (weight.double() - before.double() - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def test_a_file_that_peft_wrote_gives_pefts_own_weights(bank: AdapterBank, builtin: Any, tmp_path: Path) -> None:
    """`unet.<path>.lora_A.weight` with alpha in the header, as diffusers saves it, equals PEFT's get_delta_weight."""
    layer = torch.nn.Sequential()
    layer.to_q = torch.nn.Linear(80, 80, bias=False)
    inject_adapter_in_model(LoraConfig(r=4, lora_alpha=6, target_modules=["to_q"], init_lora_weights=False), layer)
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {
        f"{path}.lora_A.weight": layer.to_q.lora_A["default"].weight.detach().clone(),
        f"{path}.lora_B.weight": layer.to_q.lora_B["default"].weight.detach().clone(),
    }
    settings = json.dumps({"unet.r": 4, "unet.lora_alpha": 6})
    save_file(tensors, tmp_path / "p.safetensors", metadata={"lora_adapter_metadata": settings})
    weight = builtin.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    before = weight.detach().clone()
    bank.set([(read_adapter(tmp_path / "p.safetensors"), 1.0)])
    assert torch.allclose(weight - before, layer.to_q.get_delta_weight("default"), atol=1e-6)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (f"{LINEAR}.q_layer.weight", "T-LoRA"),
        (f"{LINEAR}.ia3_l", "PEFT IA3"),
        (f"{LINEAR}.oft_r", "PEFT OFT"),
        (f"{LINEAR}.set_weight", "ComfyUI replacement"),
        ("lora_unet_double_blocks_0_img_attn_proj.lora_up.weight", "Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight", "Stable Diffusion 3"),
        ("transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight", "Stable Diffusion 3 or Flux"),
        ("lora_controlnet", "control-LoRA"),
        ("lllite_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.down.0.weight", "ControlNet-LLLite"),
        ("ip_adapter.1.to_k_ip.weight", "IP-Adapter"),
        ("diffusion_model.blocks.0.self_attn.q.lora_A.weight", "video model"),
        ("768.0.linear.0.weight", "hypernetwork"),
        ("model.diffusion_model.out.2.weight", "whole checkpoint"),
        ("some.unheard.key", "some.unheard.key"),
    ],
)
def test_what_cannot_be_applied_exactly_is_refused_by_name(key: str, kind: str, tmp_path: Path) -> None:
    """A kind of file that is not applied is named, never applied in part."""
    tensors = {key: torch.ones(4, 4)}
    if key.startswith(LINEAR):
        tensors |= {f"{LINEAR}.lora_up.weight": torch.ones(80, 2), f"{LINEAR}.lora_down.weight": torch.ones(2, 80)}
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(AdapterUnsupported, match=kind):
        read_adapter(tmp_path / "x.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(bad: float, tmp_path: Path) -> None:
    """One NaN or infinity anywhere in the file is enough, and its tensor is named."""
    down = torch.ones(2, 80)
    down[1, 79] = bad
    save_file(
        {f"{LINEAR}.lora_up.weight": torch.ones(80, 2), f"{LINEAR}.lora_down.weight": down}, tmp_path / "x.safetensors"
    )
    with pytest.raises(AdapterInvalid, match="lora_down"):
        read_adapter(tmp_path / "x.safetensors")


def test_a_file_that_changed_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    """Opened by hash, the bytes must still have it."""
    save_file(
        {f"{LINEAR}.lora_up.weight": torch.ones(80, 2), f"{LINEAR}.lora_down.weight": torch.ones(2, 80)},
        tmp_path / "x.safetensors",
    )
    with pytest.raises(AdapterInvalid, match="changed on disk"):
        read_adapter(tmp_path / "x.safetensors", sha256="0" * 64)
