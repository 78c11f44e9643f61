"""A change of a part of a weight: `length` of its rows (dimension 0) or input channels (1), from `start` on.

Inpainting models have a first convolution of nine input channels; a file for the plain model means the first four (as
the WebUI has it). Fused layers (q, k and v in one) are parts of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .base import Change, Stored


@dataclass(frozen=True, slots=True)
class Part(Stored):
    """`inner` is the change of the part as if it were a weight by itself; the rest is left as it is."""

    inner: Change
    dimension: int
    start: int
    length: int

    def fits(self, weight: torch.Tensor) -> bool:
        inside = weight.dim() > self.dimension and weight.shape[self.dimension] >= self.start + self.length
        return inside and self.inner.fits(self._of(weight))

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total[part] += strength * D."""
        view = self._of(total.view(pristine.shape))
        part = view.reshape(view.shape[0], -1).contiguous()
        self.inner.add_to(part, self._of(pristine).contiguous(), strength)
        view.copy_(part.view(view.shape))

    def ranked(self, rank: int) -> Part | None:
        inner = self.inner.ranked(rank)
        return None if inner is None else replace(self, inner=inner)

    def _of(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.narrow(self.dimension, self.start, self.length)
