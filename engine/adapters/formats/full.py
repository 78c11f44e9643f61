"""Full differences: D = diff, of a weight, a bias, or a norm's weight or bias. No alpha (LyCORIS full and norm).

A layer's weight takes `diff` or `w_norm`, its bias `diff_b` or `b_norm`; bias and weight are two targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Settings, Stored, Tensors

ROLES = {"diff", "w_norm", "diff_b", "b_norm"}


@dataclass(frozen=True, slots=True)
class Difference(Stored):
    """`diff` in float32, in the file's own shape."""

    diff: torch.Tensor

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Difference | None:
        """The change of one weight or bias, or None when these tensors are of another format."""
        found = ROLES & tensors.keys()
        if len(found) != 1 or not tensors.keys() <= found | {"alpha"}:
            return None
        return cls(tensors[found.pop()].float())

    def fits(self, weight: torch.Tensor) -> bool:
        """The same shape, up to the 1x1 kernel of a convolution."""
        return _plain(self.diff) == _plain(weight)

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * diff."""
        total.add_(self.diff.reshape(total.shape), alpha=strength)

    def rows(self, start: int, stop: int) -> Difference:
        return Difference(self.diff[start:stop])


def _plain(tensor: torch.Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return shape[:2] if shape[2:] == (1, 1) else shape
