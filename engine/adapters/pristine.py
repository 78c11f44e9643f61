"""The weights as they were loaded, kept from their first change on: on their device while it has room, else in RAM."""

from __future__ import annotations

from collections.abc import Callable

import torch

RESERVE = 2 << 30  # bytes of the device that are left to drawing; a batch of SDXL's takes about that
Free = Callable[[torch.device], int | None]  # bytes free on a device; None where a copy is in RAM anyhow


class Pristine:
    """Copies of weights by name. A copy is never written again."""

    def __init__(self, free: Free | None = None) -> None:
        self._free = free or free_bytes
        self._kept: dict[str, torch.Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._kept[name]

    def keep(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """The copy under this name, made of `weight` where there is none yet."""
        kept = self._kept.get(name)
        if kept is None:
            kept = self._kept[name] = _copy(weight.detach(), place(weight, self._free))
        return kept

    def retreat(self) -> None:
        """No copy is on a device that draws; a switch takes longer from here on, and a drawing has more room."""
        for name, kept in self._kept.items():
            if kept.device.type == "cuda":
                self._kept[name] = _copy(kept, torch.device("cpu"))

    @property
    def nbytes(self) -> int:
        return sum(kept.nbytes for kept in self._kept.values())


def place(weight: torch.Tensor, free: Free) -> torch.device:
    """Where a copy of `weight` goes: beside it, unless that would leave less than RESERVE free there."""
    left = free(weight.device)
    return weight.device if left is None or left - weight.nbytes >= RESERVE else torch.device("cpu")


def free_bytes(device: torch.device) -> int | None:
    """What the driver says is free; None for the CPU and for MPS, which share one memory."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def _copy(weight: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device == weight.device:
        return weight.clone()
    pinned = weight.device.type == "cuda"  # page-locked memory crosses the bus at full speed
    return torch.empty_like(weight, device=device, pin_memory=pinned).copy_(weight)
