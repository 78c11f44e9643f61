"""GLoRA: D = s * (W @ a1 @ a2 + b1 @ b2) (arXiv 2306.07967), computed against the pristine W.

LyCORIS >= 2.0 stores a1 (in, r), a2 (r, in), b1 (out, r), b2 (r, in * kernel), and `bm`, a Tucker core, between b1 and
b2; before it was a1 (r, in), a2 (in, r), b1 (r, in * kernel), b2 (out, r) with the products the other way round. Shapes
tell which; where both readings are possible (a square layer) the smaller rank is meant, at equal ranks the newer one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...errors import AdapterInvalid
from .base import Settings, Stored, Tensors, as_base, complete, matrix, scale_of, with_core

FACTORS = ("a1", "a2", "b1", "b2")


@dataclass(frozen=True, slots=True)
class Generalized(Stored):
    """D = W @ into @ out_of + up @ down, the scale folded into `into` and `up`; W's inputs are its second dimension."""

    into: torch.Tensor
    out_of: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Generalized | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        if not tensors.keys() <= {*FACTORS, "bm", "alpha", "scale"} or not {*FACTORS} & tensors.keys():
            return None
        complete(name, tensors, *FACTORS)
        a1, a2, b1, b2 = (matrix(tensors[role]) for role in FACTORS)
        newer = a1.shape[1] == a2.shape[0] and b1.shape[1] == tensors["b2"].shape[0]
        older = a1.shape[0] == a2.shape[1] and tensors["b1"].shape[0] == b2.shape[1] and "bm" not in tensors
        if newer and (not older or a1.shape[1] <= a1.shape[0]):
            scale = scale_of(name, tensors, a2.shape[0], settings)
            return cls(a1 * scale, a2, b1 * scale, with_core(name, tensors["b2"], tensors.get("bm")))
        if older:
            scale = scale_of(name, tensors, a1.shape[0], settings)
            return cls(a2 * scale, a1, b2 * scale, b1)
        shapes = ", ".join(f"{role} {tuple(tensors[role].shape)}" for role in FACTORS)
        raise AdapterInvalid(f"Layer {name}: {shapes} do not fit together.")

    def fits(self, weight: torch.Tensor) -> bool:
        if weight.dim() < 2 or self.up.shape[0] != weight.shape[0] or self.down.shape[1] != weight[0].numel():
            return False
        return self.into.shape[0] == self.out_of.shape[1] == weight.shape[1]

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * s * (W @ a1 @ a2 + b1 @ b2), the first product over W's input channels."""
        total.addmm_(self.up, self.down, alpha=strength)
        inputs = self.into.shape[0]
        rows = as_base(pristine, total).view(total.shape[0], inputs, -1).transpose(1, 2)  # (out, kernel, in)
        change = (rows @ self.into) @ self.out_of
        total.view(total.shape[0], inputs, -1).add_(change.transpose(1, 2), alpha=strength)
