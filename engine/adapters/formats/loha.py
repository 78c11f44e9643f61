"""LoHa: D = s * (w1_a @ w1_b) .* (w2_a @ w2_b), the Hadamard product of two low ranks (FedPara, arXiv 2108.06098).

With Tucker cores t1, t2 (r, r, kh, kw) each factor is einsum('ijkl,jr,ip->prkl', t, w_b, w_a), where w_a is (r, out):
transposed against the plain form. s = alpha / r with r = w1_b.shape[0]. LyCORIS: arXiv 2309.14859.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Settings, Stored, Tensors, complete, matrix, meet, scale_of, with_core

FACTORS = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
CORES = ("hada_t1", "hada_t2")


@dataclass(frozen=True, slots=True)
class Hadamard(Stored):
    """Two pairs of factors (out, r) and (r, in * kernel); the scale is folded into the first."""

    up1: torch.Tensor
    down1: torch.Tensor
    up2: torch.Tensor
    down2: torch.Tensor

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Hadamard | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        if not tensors.keys() <= {*FACTORS, *CORES, "alpha", "scale"} or not {*FACTORS, *CORES} & tensors.keys():
            return None
        complete(name, tensors, *FACTORS, *(CORES if CORES[0] in tensors or CORES[1] in tensors else ()))
        up1, down1 = _pair(name, tensors, "1")
        up2, down2 = _pair(name, tensors, "2")
        meet(name, up1.T, up2, "w1_a and w2_a")
        meet(name, down1, down2.T, "w1_b and w2_b")
        return cls(up1 * scale_of(name, tensors, tensors["hada_w1_b"].shape[0], settings), down1, up2, down2)

    def fits(self, weight: torch.Tensor) -> bool:
        return self.up1.shape[0] == weight.shape[0] and self.down1.shape[1] == weight[0].numel()

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * s * (w1_a @ w1_b) .* (w2_a @ w2_b)."""
        total.addcmul_(self.up1 @ self.down1, self.up2 @ self.down2, value=strength)

    def rows(self, start: int, stop: int) -> Hadamard:
        return Hadamard(self.up1[start:stop], self.down1, self.up2[start:stop], self.down2)


def _pair(name: str, tensors: Tensors, number: str) -> tuple[torch.Tensor, torch.Tensor]:
    core = tensors.get(f"hada_t{number}")
    up, down = tensors[f"hada_w{number}_a"], tensors[f"hada_w{number}_b"]
    up = matrix(up) if core is None else matrix(up).T.contiguous()
    down = with_core(name, down, core)
    meet(name, up, down, f"w{number}_a and w{number}_b")
    return up, down
