"""LoKr: D = s * kron(w1, w2), each factor full or a product of two (KronA: arXiv 2212.10650, LyCORIS: 2309.14859).

s = alpha / r with r = w2_b.shape[0], else w1_b.shape[0]; s = 1 when both factors are full, whatever alpha says, because
LyCORIS then writes alpha = dim without meaning it. As a matrix (out, in * kernel) a convolution is the same product:
the kernel is the innermost part of w2's rows. With a core t2: w2 = einsum('ijkl,ip,jr->prkl', t2, w2_a, w2_b).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Settings, Stored, Tensors, bounded, complete, matrix, meet, number, scale_of, with_core

FACTORS = {f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")}


@dataclass(frozen=True, slots=True)
class Kronecker(Stored):
    """`left` (out1, in1) with the scale folded in, `right` (out2, in2 * kernel)."""

    left: torch.Tensor
    right: torch.Tensor

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Kronecker | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        if not tensors.keys() <= FACTORS | {"alpha", "scale"} or not FACTORS & tensors.keys():
            return None
        left, right = _factor(name, tensors, "lokr_w1"), _factor(name, tensors, "lokr_w2")
        return cls(left * _scale(name, tensors, settings), right)

    def fits(self, weight: torch.Tensor) -> bool:
        rows, columns = self.left.shape[0] * self.right.shape[0], self.left.shape[1] * self.right.shape[1]
        return rows == weight.shape[0] and columns == weight[0].numel() and weight.shape[1] % self.left.shape[1] == 0

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * s * kron(w1, w2), without the product in memory."""
        (out1, in1), (out2, in2) = self.left.shape, self.right.shape
        blocks = total.view(out1, out2, in1, in2)
        blocks.addcmul_(self.left[:, None, :, None], self.right[None, :, None, :], value=strength)


def _factor(name: str, tensors: Tensors, role: str) -> torch.Tensor:
    if role in tensors:
        complete(name, tensors, role)
        return matrix(tensors[role])
    complete(name, tensors, f"{role}_a", f"{role}_b")
    core = tensors.get("lokr_t2") if role == "lokr_w2" else None
    first = matrix(tensors[f"{role}_a"])
    first = first if core is None else first.T
    second = with_core(name, tensors[f"{role}_b"], core)
    meet(name, first, second, f"{role}_a and {role}_b")
    bounded(name, first.shape[0], second.shape[1])
    return first @ second


def _scale(name: str, tensors: Tensors, settings: Settings) -> float:
    for role in ("lokr_w2_b", "lokr_w1_b"):
        if role in tensors:
            return scale_of(name, tensors, tensors[role].shape[0], settings)
    stated = number(name, tensors, "scale")
    return 1.0 if stated is None else stated
