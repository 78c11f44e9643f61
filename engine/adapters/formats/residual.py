"""LoRA with a residual: D = s * (up @ down + B), B of the weight's own shape, sparse or dense.

LyCORIS' extraction writes what the low rank left over as `bias_indices`, `bias_values`, `bias_size` (coordinates;
it is no bias of the layer, despite its name); the WebUI reads the dense form `bias`. lora_formats.md §1.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ...errors import AdapterInvalid
from .base import Settings, Stored, Tensors, complete, scale_of
from .lora import LowRank

SPARSE = ("bias_indices", "bias_values", "bias_size")


@dataclass(frozen=True, slots=True)
class Residual(Stored):
    """`places` are flat positions in a weight of `shape`, all of them where None; `values` what is added, scaled."""

    inner: LowRank
    places: torch.Tensor | None
    values: torch.Tensor
    shape: tuple[int, ...]

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Residual | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        extra = {"bias", *SPARSE} & tensors.keys()
        inner = LowRank.load(name, {k: v for k, v in tensors.items() if k not in extra}, settings) if extra else None
        if inner is None:
            return None
        scale = scale_of(name, tensors, tensors["down"].shape[0], settings)
        places, values, shape = _dense(tensors["bias"]) if extra == {"bias"} else _sparse(name, tensors)
        return cls(inner, places, values * scale, shape)

    def fits(self, weight: torch.Tensor) -> bool:
        same = self.shape[0] == weight.shape[0] and math.prod(self.shape) == weight.numel()
        return same and self.inner.fits(weight)

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * s * (up @ down + B)."""
        self.inner.add_to(total, pristine, strength)
        if self.places is None:
            total.view(-1).add_(self.values, alpha=strength)
        else:
            total.view(-1).index_add_(0, self.places, self.values, alpha=strength)


def _dense(bias: torch.Tensor) -> tuple[None, torch.Tensor, tuple[int, ...]]:
    return None, bias.float().flatten(), tuple(bias.shape)


def _sparse(name: str, tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    for role in SPARSE:
        if role not in tensors:
            raise AdapterInvalid(f"Layer {name} of the adapter has no {role}: the file is incomplete.")
    complete(name, tensors, "bias_indices")
    indices, values = tensors["bias_indices"].long(), tensors["bias_values"].float().flatten()
    shape = tuple(tensors["bias_size"].long().flatten().tolist())
    sizes = torch.tensor(shape)[:, None]
    fitting = indices.shape == (len(shape), values.numel()) and min(shape) > 0
    if not fitting or bool((indices < 0).any()) or bool((indices >= sizes).any()):
        raise AdapterInvalid(f"Layer {name}: its sparse residual lies outside of its own size {shape}.")
    strides = torch.tensor([math.prod(shape[i + 1 :]) for i in range(len(shape))])
    return (indices * strides[:, None]).sum(0), values, shape
