"""IA3: W' = W .* (1 + m * w), w along the inputs or along the outputs (arXiv 2205.05638; LyCORIS, arXiv 2309.14859).

`on_input` says which. A convolution's vector is stored (1, n, 1, 1) on either side; there is no alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Settings, Stored, Tensors, as_base, number


@dataclass(frozen=True, slots=True)
class Gains(Stored):
    """`gains` has one number an input or an output channel."""

    gains: torch.Tensor
    on_input: bool

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Gains | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        if tensors.keys() != {"weight", "on_input"}:
            return None
        return cls(tensors["weight"].float().flatten(), bool(number(name, tensors, "on_input")))

    def fits(self, weight: torch.Tensor) -> bool:
        return weight.dim() > 1 and self.gains.numel() == weight.shape[1 if self.on_input else 0]

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * W .* w."""
        gains = self.gains[:, None]
        if self.on_input:
            gains = self.gains.repeat_interleave(total.shape[1] // self.gains.numel())[None]
        total.addcmul_(as_base(pristine, total), gains, value=strength)
