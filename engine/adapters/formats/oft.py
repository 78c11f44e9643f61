"""OFT and BOFT: W' = rotation(W), computed against the pristine W; strength is a lerp between W and W' (DESIGN §2).

Q = B - B^T and R = (I + Q)(I - Q)^-1 by block (Cayley). OFT (arXiv 2306.07280): W'_k = R_k^T W_k for each of the blocks
of rows; `oft_diag`, the older key, is R itself. BOFT (arXiv 2311.06243): m stages of a butterfly, each multiplying the
permuted rows by R (not R^T). `rescale` multiplies the rows of the result. alpha is the constraint: over all blocks
together ||Q|| <= alpha * out. LyCORIS means "unconstrained" by alpha 0, kohya's own (`oft_unet_...`) means R = I.
lora_formats.md §1.3; lycoris/functional/{diag_oft,boft}.py and sd-scripts networks/oft.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...errors import AdapterInvalid
from .base import Settings, Stored, Tensors, as_base, number

ROLES = {"oft_blocks", "oft_diag", "rescale", "alpha"}
KOHYA = "oft_"  # how kohya's own module names start


@dataclass(frozen=True, slots=True)
class Rotation(Stored):
    """`turn` is R^T - I (blocks, b, b); `rescale` (out, 1) or nothing."""

    turn: torch.Tensor
    rescale: torch.Tensor | None

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Rotation | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        blocks = _blocks(tensors)
        if blocks is None or blocks.dim() == 4:
            return None
        _check(name, blocks, 3)
        rotation = blocks.double() if "oft_diag" in tensors else cayley(blocks, _limit(name, tensors, blocks))
        eye = torch.eye(blocks.shape[-1], dtype=torch.float64)
        return cls((rotation - eye).mT.float().contiguous(), _rescale(name, tensors, blocks))

    def fits(self, weight: torch.Tensor) -> bool:
        return weight.dim() > 1 and self.turn.shape[0] * self.turn.shape[1] == weight.shape[0]

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * (rescale * R^T W - W)."""
        base = as_base(pristine, total)
        change = (self.turn @ base.view(*self.turn.shape[:2], -1)).view(total.shape)
        add_rescaled(total, base, change, self.rescale, strength)


@dataclass(frozen=True, slots=True)
class Butterfly(Stored):
    """`turns` is R - I (stages, blocks, b, b); `rescale` (out, 1) or nothing."""

    turns: torch.Tensor
    rescale: torch.Tensor | None

    @classmethod
    def load(cls, name: str, tensors: Tensors, settings: Settings) -> Butterfly | None:
        """The change of one layer, or None when these tensors are of another format. Raises AdapterInvalid."""
        blocks = _blocks(tensors)
        if blocks is None or blocks.dim() != 4 or "oft_diag" in tensors:
            return None
        _check(name, blocks, 4)
        stages, count, size, _ = blocks.shape
        if size % 2 or (count * size) % (2**stages * (size // 2)):
            raise AdapterInvalid(f"Layer {name}: {tuple(blocks.shape)} makes no butterfly.")
        rotation = cayley(blocks, _limit(name, tensors, blocks))
        turns = rotation - torch.eye(size, dtype=torch.float64)
        return cls(turns.float(), _rescale(name, tensors, blocks))

    def fits(self, weight: torch.Tensor) -> bool:
        return weight.dim() > 1 and self.turns.shape[1] * self.turns.shape[2] == weight.shape[0]

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * (rescale * butterfly(W) - W)."""
        base = as_base(pristine, total)
        change = torch.zeros_like(base)
        for stage, turn in enumerate(self.turns):
            change += self._stage(stage, turn, base + change)
        add_rescaled(total, base, change, self.rescale, strength)

    @staticmethod
    def _stage(stage: int, turn: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """What one stage adds: rows (c, g, k) are taken as (c, k, g), turned by block, and put back."""
        far = 2**stage * (turn.shape[-1] // 2)
        mixed = rows.view(-1, 2, far, rows.shape[1]).transpose(1, 2).reshape(*turn.shape[:2], -1)
        return (turn @ mixed).view(-1, far, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def cayley(blocks: torch.Tensor, limit: float | None) -> torch.Tensor:
    """R = (I + Q)(I - Q)^-1 in float64, Q = B - B^T shrunk to the norm `limit` over all blocks where it is larger."""
    skew = blocks.double() - blocks.double().mT
    norm = float(skew.norm())
    if limit is not None and norm > limit:
        skew = skew * (limit / norm)
    eye = torch.eye(blocks.shape[-1], dtype=torch.float64)
    rotation: torch.Tensor = torch.linalg.solve(eye - skew, eye + skew, left=False)
    return rotation


def add_rescaled(
    total: torch.Tensor, base: torch.Tensor, change: torch.Tensor, rescale: torch.Tensor | None, strength: float
) -> None:
    """total += strength * (rescale * (W + change) - W), without subtracting large numbers from each other."""
    if rescale is None:
        total.add_(change, alpha=strength)
    else:
        total.addcmul_(change, rescale, value=strength).addcmul_(base, rescale - 1, value=strength)


def _blocks(tensors: Tensors) -> torch.Tensor | None:
    if not tensors.keys() <= ROLES or ("oft_blocks" in tensors) == ("oft_diag" in tensors):
        return None
    return tensors.get("oft_blocks", tensors.get("oft_diag"))


def _check(name: str, blocks: torch.Tensor, dimensions: int) -> None:
    if blocks.dim() != dimensions or blocks.shape[-1] != blocks.shape[-2]:
        raise AdapterInvalid(f"Layer {name}: blocks of the shape {tuple(blocks.shape)} are not square.")


def _limit(name: str, tensors: Tensors, blocks: torch.Tensor) -> float | None:
    alpha = number(name, tensors, "alpha")
    if alpha is None or (alpha <= 0 and not name.startswith(KOHYA)):
        return None
    return max(0.0, alpha) * blocks.shape[-3] * blocks.shape[-1]


def _rescale(name: str, tensors: Tensors, blocks: torch.Tensor) -> torch.Tensor | None:
    rescale = tensors.get("rescale")
    if rescale is not None and rescale.numel() != blocks.shape[-3] * blocks.shape[-1]:
        raise AdapterInvalid(f"Layer {name}: rescale {tuple(rescale.shape)} does not fit {tuple(blocks.shape)}.")
    return None if rescale is None else rescale.float().reshape(-1, 1)
