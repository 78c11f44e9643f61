"""LoRA, LoCon, DyLoRA: D = s * up @ down, with an optional Tucker core for convolutions.

s = alpha / rank, 1 where the file has no alpha (Hu et al. 2021, arXiv 2106.09685; LoCon and `mid`: LyCORIS, arXiv
2309.14859). DyLoRA (arXiv 2210.07558) saves the same tensors at full rank. Formulas: lora_formats.md §1.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Settings, Stored, Tensors, complete, matrix, meet, scale_of, with_core

ROLES = {"up", "down", "mid", "alpha", "scale"}


@dataclass(frozen=True, slots=True)
class LowRank(Stored):
    """`up` (out, r) with the scale folded in and `down` (r, in * kernel), float32, on the device that multiplies."""

    up: torch.Tensor
    down: torch.Tensor
    reach: float  # known once, when loaded

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> LowRank | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        if not tensors.keys() <= ROLES or not {"up", "down"} & tensors.keys():
            return None
        complete(name, tensors, "up", "down")
        up, down = matrix(tensors["up"]), with_core(name, tensors["down"], tensors.get("mid"))
        meet(name, up, down, "up and down")
        up = up * scale_of(name, tensors, tensors["down"].shape[0], settings)
        return cls(up, down, up.shape[1] * float(up.abs().max()) * float(down.abs().max()))

    def fits(self, weight: torch.Tensor) -> bool:
        """Whether D has the shape of `weight`, 2-D on 4-D and 4-D on 2-D included."""
        return self.up.shape[0] == weight.shape[0] and self.down.shape[1] == weight[0].numel()

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * s * up @ down."""
        total.addmm_(self.up, self.down, alpha=strength)

    def rows(self, start: int, stop: int) -> LowRank:
        return LowRank(self.up[start:stop], self.down, self.reach)

    def ranked(self, rank: int) -> LowRank:
        """As DyLoRA is cut, and as the WebUI does at any LoRA: alpha still counts over the full rank."""
        return LowRank(self.up[:, :rank], self.down[:rank], self.reach)
