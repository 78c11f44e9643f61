"""Several changes of one weight by one file: q, k and v, say, where the model has them as three parts of one layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .base import Change, Stored


@dataclass(frozen=True, slots=True)
class Several(Stored):
    """D is the sum of theirs, each computed against the pristine W, so that their order does not matter."""

    changes: tuple[Change, ...]

    @property
    def reach(self) -> float:
        return sum(change.reach for change in self.changes)

    def fits(self, weight: torch.Tensor) -> bool:
        return all(change.fits(weight) for change in self.changes)

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * (D1 + D2 + ...)."""
        for change in self.changes:
            change.add_to(total, pristine, strength)

    def ranked(self, rank: int) -> Several | None:
        """Each cut that has ranks to cut; None where none has."""
        cut = [change.ranked(rank) for change in self.changes]
        whole = zip(cut, self.changes, strict=True)
        return Several(tuple(after or before for after, before in whole)) if any(cut) else None

    def to(self, device: torch.device) -> Several:
        return Several(tuple(change.to(device) for change in self.changes))

    @property
    def nbytes(self) -> int:
        return sum(change.nbytes for change in self.changes)
