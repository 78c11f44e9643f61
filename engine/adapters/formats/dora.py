"""DoRA (arXiv 2402.09353) on any low rank: with V = W + D0, W' = g * V / ||V||, and W + m * (W' - W) at strength m.

The axis of the norm is told by the shape of g: (out, 1[, 1, 1]) is one number a row, (1, in[, 1, 1]) one an input
channel (LyCORIS before 3.2). PEFT's magnitude is always one a row, although a convolution's is stored (1, out, 1, 1).
The norm is that of V, not of W; everything is computed against the pristine W. lora_formats.md §1.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...errors import AdapterInvalid
from .base import Change, Settings, Stored, Tensors, as_base
from .full import Difference
from .glora import Generalized
from .loha import Hadamard
from .lokr import Kronecker
from .lora import LowRank

INNER = (LowRank, Hadamard, Kronecker, Generalized, Difference)
ROLES = {"dora", "magnitude"}


@dataclass(frozen=True, slots=True)
class Decomposed(Stored):
    """`inner` makes D0; `magnitude` is g, flat; `per_input` says along which axis, None: rows if it fits them."""

    inner: Change
    magnitude: torch.Tensor
    per_input: bool | None

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Decomposed | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        found = ROLES & tensors.keys()
        if not found:
            return None
        if len(found) > 1:
            raise AdapterInvalid(f"Layer {name} has two DoRA magnitudes, dora_scale and lora_magnitude_vector.")
        role = found.pop()
        rest = {key: value for key, value in tensors.items() if key != role}
        inner = next((change for kind in INNER if (change := kind.load(name, rest, settings))), None)
        if inner is None:
            raise AdapterInvalid(f"Layer {name} has a DoRA magnitude, but of {', '.join(rest) or 'nothing'} beside it.")
        return cls(inner, tensors[role].float().flatten(), _axis(name, role, tensors[role]))

    def fits(self, weight: torch.Tensor) -> bool:
        if weight.dim() < 2 or not self.inner.fits(weight):
            return False
        return self.magnitude.numel() == weight.shape[1 if self._by_input(weight) else 0]

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * (g * V / ||V|| - W); the norms are summed in float64."""
        base = as_base(pristine, total)
        change = torch.zeros_like(base)
        self.inner.add_to(change, pristine, 1.0)
        by_input = self._by_input(pristine)
        kernel = total.shape[1] // pristine.shape[1]
        moved = (base + change).view(total.shape[0], -1, kernel)
        norm = torch.linalg.vector_norm(moved, dim=(0, 2) if by_input else (1, 2), dtype=torch.float64)
        factor = torch.where(norm > 0, self.magnitude / norm, 0.0)
        factor = factor.repeat_interleave(kernel)[None] if by_input else factor[:, None]
        # g/n * (W + D0) - W, so that a small change is not the difference of two large numbers
        total.addcmul_(base, (factor - 1).float(), value=strength).addcmul_(change, factor.float(), value=strength)

    def ranked(self, rank: int) -> Decomposed | None:
        inner = self.inner.ranked(rank)
        return None if inner is None else replace(self, inner=inner)

    def _by_input(self, weight: torch.Tensor) -> bool:
        if self.per_input is None:
            return self.magnitude.numel() != weight.shape[0]
        return self.per_input


def _axis(name: str, role: str, magnitude: torch.Tensor) -> bool | None:
    """Whether g is one number an input channel, by its shape; None where a shape of one dimension does not tell."""
    if role == "magnitude":
        return False
    if magnitude.dim() < 2:
        return None
    first, second = magnitude.shape[:2]
    if magnitude.numel() == first:
        return False
    if magnitude.numel() == second:
        return True
    raise AdapterInvalid(f"Layer {name}: dora_scale {tuple(magnitude.shape)} is neither a row nor a column.")
