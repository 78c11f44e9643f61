"""LoRA and LoCon: D = s * up @ down, with an optional Tucker core for convolutions.

s = alpha / rank, 1 where the file has no alpha (Hu et al. 2021, arXiv 2106.09685; LoCon and `mid`: LyCORIS, arXiv
2309.14859; rsLoRA alpha / sqrt(rank): arXiv 2312.03732). Formulas: shared/reference/lora_formats.md §1.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import AdapterInvalid

ROLES = {"up", "down", "mid", "alpha"}


@dataclass(frozen=True, slots=True)
class LowRank:
    """`up` (out, r) with the scale folded in and `down` (r, in * kernel), float32, on the device that multiplies."""

    up: torch.Tensor
    down: torch.Tensor

    @classmethod
    def load(cls, name: str, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> LowRank | None:
        """The change of one module, or None when these tensors are of another format. Raises AdapterInvalid."""
        if not tensors.keys() <= ROLES or not {"up", "down"} & tensors.keys():
            return None
        for role in ("up", "down"):
            if role not in tensors:
                raise AdapterInvalid(f"Layer {name} of the adapter has no lora_{role}: the file is incomplete.")
        up, down = tensors["up"].float(), tensors["down"].float()
        rank = down.shape[0]
        if up.dim() < 2 or down.dim() < 2 or up[0].numel() != rank:
            raise AdapterInvalid(
                f"Layer {name}: up {tuple(up.shape)} and down {tuple(down.shape)} do not fit together."
            )
        up, down = up.flatten(1), _with_core(name, down, tensors.get("mid"))
        return cls(up * _scale(name, tensors.get("alpha"), rank, settings), down)

    def fits(self, weight: torch.Tensor) -> bool:
        """Whether D has the shape of `weight`, 2-D on 4-D and 4-D on 2-D included."""
        return self.up.shape[0] == weight.shape[0] and self.down.shape[1] == weight[0].numel()

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * D, in place. `total` (out, in * kernel) float32; `pristine` is W."""
        total.addmm_(self.up, self.down, alpha=strength)

    def to(self, device: torch.device) -> LowRank:
        return LowRank(self.up.to(device), self.down.to(device))

    @property
    def nbytes(self) -> int:
        return self.up.nbytes + self.down.nbytes


def _with_core(name: str, down: torch.Tensor, mid: torch.Tensor | None) -> torch.Tensor:
    """down (r, in[, kh, kw]) as (r, in * kh * kw); with a core (r, r, kh, kw) it is multiplied in once, here."""
    if mid is None:
        return down.flatten(1)
    rank = down.shape[0]
    if mid.dim() != 4 or mid.shape[:2] != (rank, rank) or down[0].numel() != down.shape[1]:
        raise AdapterInvalid(f"Layer {name}: mid {tuple(mid.shape)} and down {tuple(down.shape)} do not fit together.")
    return torch.einsum("mnkl,nj->mjkl", mid.float(), down.flatten(1)).flatten(1)


def _scale(name: str, alpha: torch.Tensor | None, rank: int, settings: Mapping[str, Any]) -> float:
    if alpha is not None:
        if alpha.numel() != 1:
            raise AdapterInvalid(f"Layer {name}: alpha has {alpha.numel()} values instead of one.")
        return float(alpha.float()) / rank
    stated = settings.get("lora_alpha")
    if not isinstance(stated, int | float):
        return 1.0
    return float(stated) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
