"""Layers of every format with random numbers, as trainers save them, and the closed form that each one means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from . import closed_forms as forms

Tensors = dict[str, torch.Tensor]
Shape = tuple[int, ...]
RANK = 4


class Case(NamedTuple):
    """`make(shape, rand)` gives the tensors by suffix; `change(W, tensors)` gives W' - W at strength 1."""

    make: Callable[[Shape, Random], Tensors]
    change: Callable[[torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor]
    layers: tuple[str, ...] = ("linear", "square", "1x1", "3x3")
    alpha: bool = True  # whether alpha / rank scales it
    module: str = "lora_unet_"


@dataclass(frozen=True)
class Random:
    """Normal numbers of a size that makes changes about a tenth of a weight."""

    generator: torch.Generator

    def __call__(self, *shape: int, size: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator) * size


LAYERS: Mapping[str, str] = {
    "linear": "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k",  # (64, 96)
    "square": "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",  # (64, 64)
    "1x1": "down_blocks_1_resnets_0_conv_shortcut",  # (64, 32, 1, 1)
    "3x3": "down_blocks_1_resnets_0_conv1",  # (64, 32, 3, 3)
    "norm": "down_blocks_1_attentions_0_norm",  # (64,)
}


def _ones(shape: Shape) -> list[int]:
    return [1] * (len(shape) - 2)


def lora(shape: Shape, rand: Random) -> Tensors:
    out, inner, *kernel = shape
    return {
        "lora_up.weight": rand(out, RANK, *_ones(shape)),
        "lora_down.weight": rand(RANK, inner, *kernel),
    }


def lora_other_dimensions(shape: Shape, rand: Random) -> Tensors:
    """2-D factors of a 1x1 convolution, 4-D ones of a linear layer."""
    ones = [] if len(shape) == 4 else [1, 1]
    return {"lora_up.weight": rand(shape[0], RANK, *ones), "lora_down.weight": rand(RANK, shape[1], *ones)}


def tucker(shape: Shape, rand: Random) -> Tensors:
    out, inner, *kernel = shape
    return {
        "lora_up.weight": rand(out, RANK, 1, 1),
        "lora_mid.weight": rand(RANK, RANK, *kernel),
        "lora_down.weight": rand(RANK, inner, 1, 1),
    }


def sparse(shape: Shape, rand: Random) -> Tensors:
    places = torch.stack([torch.randint(0, n, (50,), generator=rand.generator) for n in shape]).unique(dim=1)
    return lora(shape, rand) | {
        "bias_indices": places.to(torch.int16),
        "bias_values": rand(places.shape[1]),
        "bias_size": torch.tensor(shape, dtype=torch.int16),
    }


def dense(shape: Shape, rand: Random) -> Tensors:
    return lora(shape, rand) | {"bias": rand(*shape)}


def loha(shape: Shape, rand: Random) -> Tensors:
    columns = torch.Size(shape[1:]).numel()
    pairs = {f"hada_w{i}_a": rand(shape[0], RANK) for i in "12"}
    return pairs | {f"hada_w{i}_b": rand(RANK, columns) for i in "12"}


def loha_tucker(shape: Shape, rand: Random) -> Tensors:
    out, inner, *kernel = shape
    found = {f"hada_t{i}": rand(RANK, RANK, *kernel) for i in "12"}
    found |= {f"hada_w{i}_a": rand(RANK, out) for i in "12"}
    return found | {f"hada_w{i}_b": rand(RANK, inner) for i in "12"}


def lokr(shape: Shape, rand: Random, *, first: str = "full", second: str = "full") -> Tensors:
    """The left factor is (4, 8), the right one the rest; each may be full or factored, the right one with a core."""
    out, inner, *kernel = shape[0] // 4, shape[1] // 8, *shape[2:]
    found = {"lokr_w1": rand(4, 8)}
    if first == "factored":
        found = {"lokr_w1_a": rand(4, 3), "lokr_w1_b": rand(3, 8)}
    if second == "full":
        return found | {"lokr_w2": rand(out, inner, *kernel)}
    if second == "core":
        core = {"lokr_t2": rand(RANK, RANK, *kernel)}
        return found | core | {"lokr_w2_a": rand(RANK, out), "lokr_w2_b": rand(RANK, inner)}
    columns = inner * torch.Size(kernel).numel() if kernel else inner
    return found | {"lokr_w2_a": rand(out, RANK), "lokr_w2_b": rand(RANK, columns)}


def ia3(shape: Shape, rand: Random, *, on_input: bool) -> Tensors:
    count = shape[1] if on_input else shape[0]
    gains = rand(1, count, 1, 1) if len(shape) == 4 else rand(count)
    return {"weight": gains, "on_input": torch.tensor(int(on_input))}


def glora(shape: Shape, rand: Random) -> Tensors:
    out, inner, *kernel = shape
    ones = _ones(shape)
    return {
        "a1.weight": rand(inner, RANK, *ones),
        "a2.weight": rand(RANK, inner, *ones),
        "b1.weight": rand(out, RANK, *ones),
        "b2.weight": rand(RANK, inner, *kernel),
    }


def glora_tucker(shape: Shape, rand: Random) -> Tensors:
    core = {"bm.weight": rand(RANK, RANK, *shape[2:]), "b2.weight": rand(RANK, shape[1], 1, 1)}
    return glora(shape, rand) | core


def glora_older(shape: Shape, rand: Random) -> Tensors:
    out, inner = shape
    return {
        "a1.weight": rand(RANK, inner),
        "a2.weight": rand(inner, RANK),
        "b1.weight": rand(RANK, inner),
        "b2.weight": rand(out, RANK),
    }


def full(shape: Shape, rand: Random, *, role: str = "diff") -> Tensors:
    return {role: rand(*shape)}


def oft(
    shape: Shape, rand: Random, *, role: str = "oft_blocks", alpha: float | None = None, rescale: bool = False
) -> Tensors:
    found = {role: rand(8, shape[0] // 8, shape[0] // 8, size=0.1)}
    if alpha is not None:
        found["alpha"] = torch.tensor(alpha)
    if rescale:
        found["rescale"] = 1 + rand(shape[0], *[1] * (len(shape) - 1), size=0.1)
    return found


def boft(shape: Shape, rand: Random, *, alpha: float = 0.0, rescale: bool = False) -> Tensors:
    found = {"oft_blocks": rand(3, shape[0] // 8, 8, 8, size=0.1), "alpha": torch.tensor(alpha)}
    if rescale:
        found["rescale"] = 1 + rand(shape[0], *[1] * (len(shape) - 1), size=0.1)
    return found


def dora(shape: Shape, rand: Random, *, inner: Case, axis: str) -> Tensors:
    out, inputs, ones = shape[0], shape[1], _ones(shape)
    name, size = {
        "out": ("dora_scale", (out, 1, *ones)),
        "out, 1-d": ("dora_scale", (out,)),
        "in": ("dora_scale", (1, inputs, *ones)),
        "peft": ("lora_magnitude_vector", (1, out, 1, 1) if ones else (out,)),
    }[axis]
    return inner.make(shape, rand) | {name: 1 + rand(*size, size=0.2)}


def dora_change(weight: torch.Tensor, tensors: Mapping[str, torch.Tensor], *, inner: Case, axis: str) -> torch.Tensor:
    name = "lora_magnitude_vector" if axis == "peft" else "dora_scale"
    rest = {role: tensor for role, tensor in tensors.items() if role != name}
    return forms.dora_change(weight, inner.change(weight, rest), tensors[name], per_input=axis == "in")


CONV, DENSE = ("3x3",), ("linear", "square")
LOW_RANK: dict[str, Case] = {
    "LoRA": Case(lora, forms.lora_change),
    "LoCon Tucker": Case(tucker, forms.lora_change, CONV),
    "LoHa": Case(loha, forms.loha_change),
    "LoHa Tucker": Case(loha_tucker, forms.loha_change, CONV),
    "LoKr full": Case(lokr, forms.lokr_change),
    "LoKr w1 factored": Case(partial(lokr, first="factored"), forms.lokr_change),
    "LoKr w2 factored": Case(partial(lokr, second="factored"), forms.lokr_change),
    "LoKr both factored": Case(partial(lokr, first="factored", second="factored"), forms.lokr_change),
    "LoKr Tucker": Case(partial(lokr, second="core"), forms.lokr_change, CONV),
    "GLoRA": Case(glora, forms.glora_change),
}
CASES: dict[str, Case] = LOW_RANK | {
    "LoRA, 2-D on 4-D and 4-D on 2-D": Case(lora_other_dimensions, forms.lora_change, ("linear", "square", "1x1")),
    "LoRA and sparse residual": Case(sparse, forms.residual_change),
    "LoRA and dense residual": Case(dense, forms.residual_change),
    "GLoRA Tucker": Case(glora_tucker, forms.glora_change, CONV),
    "GLoRA v1": Case(glora_older, partial(forms.glora_change, older=True), DENSE),
    "IA3 input": Case(partial(ia3, on_input=True), forms.ia3_change, alpha=False),
    "IA3 output": Case(partial(ia3, on_input=False), forms.ia3_change, alpha=False),
    "full": Case(full, forms.full_change, (*LAYERS,), alpha=False),
    "norm": Case(partial(full, role="w_norm"), forms.full_change, ("norm",), alpha=False),
    "OFT": Case(oft, forms.oft_change, alpha=False),
    "OFT alpha 0": Case(partial(oft, alpha=0.0), forms.oft_change, alpha=False),
    "OFT constrained": Case(partial(oft, alpha=0.01), forms.oft_change, alpha=False),
    "OFT rescaled": Case(partial(oft, rescale=True), forms.oft_change, alpha=False),
    "OFT as R": Case(partial(oft, role="oft_diag"), forms.oft_change, alpha=False),
    "OFT of kohya": Case(
        partial(oft, alpha=0.01), partial(forms.oft_change, kohya=True), alpha=False, module="oft_unet_"
    ),
    "OFT of kohya, alpha 0": Case(
        partial(oft, alpha=0.0), partial(forms.oft_change, kohya=True), alpha=False, module="oft_unet_"
    ),
    "BOFT": Case(boft, forms.boft_change, alpha=False),
    "BOFT constrained": Case(partial(boft, alpha=0.01), forms.boft_change, alpha=False),
    "BOFT rescaled": Case(partial(boft, rescale=True), forms.boft_change, alpha=False),
}
CASES |= {
    f"DoRA ({name}), {axis}": Case(
        partial(dora, inner=case, axis=axis), partial(dora_change, inner=case, axis=axis), case.layers
    )
    for name, case in LOW_RANK.items()
    for axis in ("out", "in", "peft", "out, 1-d")
    if name == "LoRA" or axis in ("out", "in")
}


def kind_of(shape: Shape) -> str:
    """Which of LAYERS a weight of this shape is like; "" where the cases have no tensors for it."""
    if len(shape) == 1:
        return "norm"
    if shape[0] % 32 or shape[1] % 8:
        return ""
    if len(shape) == 4:
        return f"{shape[2]}x{shape[3]}"
    return "square" if shape[0] == shape[1] else "linear"


def zoo(layers: Mapping[str, torch.Tensor], seed: int) -> Tensors:
    """A file in which the layers (module without prefix -> weight) take every format in turn, biases included."""
    rand = Random(torch.Generator().manual_seed(seed))
    turns: dict[str, int] = {}
    tensors: Tensors = {}
    for module, weight in layers.items():
        kind = kind_of(tuple(weight.shape))
        fitting = [case for case in CASES.values() if kind in case.layers]
        if not fitting:
            continue
        case = fitting[(turns.get(kind, 0) + seed) % len(fitting)]
        turns[kind] = turns.get(kind, 0) + 1
        made = case.make(tuple(weight.shape), rand)
        if kind == "norm":
            made["b_norm"] = rand(*weight.shape)
        tensors |= {f"{case.module}{module}.{role}": tensor.contiguous() for role, tensor in made.items()}
    return tensors
