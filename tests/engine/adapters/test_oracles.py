"""The formats against the packages that define them, where the table says these are right (lora_formats.md §6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lycoris.functional import boft, diag_oft, locon, loha, lokr
from peft import LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model

from engine.adapters.formats import load_change
from engine.adapters.naming import ROLES

from . import cases
from .cases import CASES, Random

SHAPES = {"linear": (64, 96), "square": (64, 64), "1x1": (64, 32, 1, 1), "3x3": (64, 32, 3, 3)}
Tensors = dict[str, torch.Tensor]
Oracle = Callable[[torch.Tensor, Tensors], torch.Tensor]


def ours(weight: torch.Tensor, tensors: Tensors, **settings: Any) -> torch.Tensor:
    change = load_change("layer", {ROLES[role]: tensor for role, tensor in tensors.items()}, settings)
    assert change.fits(weight)
    total = torch.zeros(weight.shape).flatten(1)
    change.add_to(total, weight, 1.0)
    return total.view(weight.shape)


def with_locon(weight: torch.Tensor, t: Tensors) -> torch.Tensor:
    rank = t["lora_down.weight"].shape[0]
    return locon.diff_weight(
        t["lora_down.weight"], t["lora_up.weight"], t.get("lora_mid.weight"), gamma=t["alpha"].item() / rank
    )


def with_loha(weight: torch.Tensor, t: Tensors) -> torch.Tensor:
    parts = [t.get(f"hada_{part}") for part in ("w1_b", "w1_a", "w2_b", "w2_a", "t1", "t2")]
    return loha.diff_weight(*parts, gamma=torch.tensor(t["alpha"].item() / t["hada_w1_b"].shape[0]))


def with_lokr(weight: torch.Tensor, t: Tensors) -> torch.Tensor:
    """Its gamma is alpha, and a convolution's w2_b carries the kernel."""
    t = dict(t)
    if "lokr_w2_b" in t and "lokr_t2" not in t:
        t["lokr_w2_b"] = t["lokr_w2_b"].reshape(t["lokr_w2_b"].shape[0], -1, *weight.shape[2:])
    parts = [t.get(f"lokr_{part}") for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")]
    full = "lokr_w1" in t and "lokr_w2" in t
    return lokr.diff_weight(*parts, gamma=1.0 if full else t["alpha"].item())


def with_oft(weight: torch.Tensor, t: Tensors) -> torch.Tensor:
    limit = t["alpha"].item() * weight.shape[0] if "alpha" in t else None
    return diag_oft.diff_weight(weight, t["oft_blocks"], t.get("rescale"), constraint=limit)


def with_boft(weight: torch.Tensor, t: Tensors) -> torch.Tensor:
    return boft.diff_weight(weight, t["oft_blocks"], t.get("rescale"), constraint=t["alpha"].item() * weight.shape[0])


LYCORIS: dict[str, Oracle] = {
    "LoRA": with_locon,
    "LoCon Tucker": with_locon,
    "LoHa": with_loha,
    "LoHa Tucker": with_loha,
    "LoKr full": with_lokr,
    "LoKr w2 factored": with_lokr,
    "OFT": with_oft,
    "OFT alpha 0": with_oft,
    "OFT constrained": with_oft,
    "OFT rescaled": with_oft,
    "BOFT": with_boft,
    "BOFT constrained": with_boft,
    "BOFT rescaled": with_boft,
}


@pytest.mark.parametrize(("name", "layer"), [(name, layer) for name in LYCORIS for layer in CASES[name].layers])
def test_lycoris_functional_gives_the_same_change(name: str, layer: str) -> None:
    """The trainer's own function and our change of the same tensors agree within 2e-5 of the largest change."""
    rand = Random(torch.Generator().manual_seed(1))
    weight = rand(*SHAPES[layer])
    tensors = CASES[name].make(SHAPES[layer], rand)
    if CASES[name].alpha:
        tensors["alpha"] = torch.tensor(3.0)
    wanted = LYCORIS[name](weight, tensors).reshape(weight.shape)
    assert (ours(weight, tensors) - wanted).abs().max() <= 2e-5 * wanted.abs().max()


FULL = {
    "linear": [(320, 768), (1280, 768), (2560, 320)],
    "square": [(320, 320), (1280, 1280)],
    "1x1": [(320, 320, 1, 1), (640, 320, 1, 1)],
    "3x3": [(320, 320, 3, 3), (640, 320, 3, 3)],
}


@st.composite
def full_layers(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    name = draw(st.sampled_from(sorted(LYCORIS)))
    return name, draw(st.sampled_from(FULL[draw(st.sampled_from(CASES[name].layers))]))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(full_layers(), st.integers(1, 64), st.sampled_from([0.5, 1.0, 3.0, 64.0]), st.integers(0, 2**16))
def test_lycoris_gives_the_same_change_of_layers_of_full_size(
    drawn: tuple[str, tuple[int, ...]], rank: int, alpha: float, seed: int
) -> None:
    """Of Stable Diffusion's own sizes, at any rank, alpha and numbers."""
    name, shape = drawn
    rand = Random(torch.Generator().manual_seed(seed))
    weight = rand(*shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "RANK", rank)
        tensors = CASES[name].make(shape, rand)
    if CASES[name].alpha:
        tensors["alpha"] = torch.tensor(alpha)
    wanted = LYCORIS[name](weight, tensors).reshape(weight.shape)
    assert (ours(weight, tensors) - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def layer_of(layer: str) -> torch.nn.Sequential:
    model = torch.nn.Sequential()
    out, inner, *kernel = SHAPES[layer]
    model.it = torch.nn.Conv2d(inner, out, kernel[0], bias=False) if kernel else torch.nn.Linear(inner, out, bias=False)
    return model


def state_of(layer: torch.nn.Module) -> Tensors:
    """The layer's adapter tensors as PEFT's save_pretrained names them."""
    state = layer.state_dict()
    return {key.replace(".default", ""): value for key, value in state.items() if not key.startswith("base_layer")}


PEFT = [
    (LoraConfig(r=4, lora_alpha=6, target_modules=["it"], init_lora_weights=False), {"lora_alpha": 6}),
    (
        LoraConfig(r=4, lora_alpha=6, target_modules=["it"], init_lora_weights=False, use_rslora=True),
        {"lora_alpha": 6, "use_rslora": True},
    ),
    (
        LoraConfig(r=4, lora_alpha=6, target_modules=["it"], init_lora_weights=False, use_dora=True),
        {"lora_alpha": 6},
    ),
    # alpha = r: these two save their alpha in another file, so a file by itself means scale 1
    (LoHaConfig(r=4, alpha=4, target_modules=["it"], init_weights=False), {}),
    (LoHaConfig(r=4, alpha=4, target_modules=["it"], init_weights=False, use_effective_conv2d=True), {}),
    (LoKrConfig(r=4, alpha=4, target_modules=["it"], init_weights=False), {}),
    (LoKrConfig(r=2, alpha=2, target_modules=["it"], init_weights=False, decompose_both=True), {}),
    (LoKrConfig(r=9, alpha=9, target_modules=["it"], init_weights=False), {}),
]


@pytest.mark.parametrize("layer", ["linear", "square", "3x3"])
@pytest.mark.parametrize(("config", "settings"), PEFT)
def test_peft_makes_the_same_change(config: Any, settings: dict[str, Any], layer: str) -> None:
    """What PEFT saved, by PEFT's names and header, changes the layer as PEFT's own merge does."""
    torch.manual_seed(3)
    model = layer_of(layer)
    pristine = model.it.weight.detach().clone()
    inject_adapter_in_model(config, model)
    for key, value in model.it.named_parameters():
        if "magnitude" in key:
            value.data *= torch.rand_like(value) + 0.5
    tensors = state_of(model.it)
    if getattr(config, "use_dora", False):  # not its get_delta_weight: that is D0
        model.it.merge()
        wanted = model.it.base_layer.weight.detach() - pristine
    else:
        wanted = model.it.get_delta_weight("default").detach()
    assert (ours(pristine, tensors, **settings) - wanted).abs().max() <= 2e-5 * wanted.abs().max()
