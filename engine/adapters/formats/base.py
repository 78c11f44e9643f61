"""What every format shares: the protocol of a change, the rule for its scale, and how factors are kept.

A change is prepared once per adapter and applied many times: `load` does what depends on the file alone, in float32 or
better; `add_to` does what depends on the weight. Weights are seen as matrices (out, in * kernel); a bias or a norm
weight of n numbers is (n, 1). Formulas: shared/reference/lora_formats.md §1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Protocol, Self

import torch

from ...errors import AdapterInvalid

MAX_NUMBERS = 1 << 27  # of one factor; the largest layer of SDXL has 13 million, of its embeddings 63
Tensors = Mapping[str, torch.Tensor]  # role -> tensor, of one layer
Settings = Mapping[str, Any]  # what PEFT states in the header about this layer


class Change(Protocol):
    """What a file does to one weight. One class per format, each with `load(name, tensors, settings) -> X | None`."""

    @property
    def reach(self) -> float:
        """No number of D is larger; infinity where only computing it tells."""

    def fits(self, weight: torch.Tensor) -> bool:
        """Whether the change is one of a weight of this shape."""

    def add_to(self, total: torch.Tensor, pristine: torch.Tensor, strength: float) -> None:
        """total += strength * D, in place; exactly nothing at strength 0.

        `total` is (out, in * kernel) in float32; `pristine` is W as loaded, for formats whose D depends on it.
        """

    def rows(self, start: int, stop: int) -> Change | None:
        """The change of these rows of the weight alone, or None where they are not to be had by themselves."""

    def ranked(self, rank: int) -> Change | None:
        """The change with its first `rank` ranks alone at the same scale, or None where it has no ranks to cut."""

    def to(self, device: torch.device) -> Change: ...
    @property
    def nbytes(self) -> int: ...


class Stored:
    """Base of the formats' dataclasses: their tensor fields (and changes within) move and count together."""

    __slots__ = ()

    @property
    def reach(self) -> float:
        return math.inf

    def to(self, device: torch.device) -> Self:
        held = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        moved = {name: value.to(device) for name, value in held.items() if isinstance(value, torch.Tensor | Stored)}
        return replace(self, **moved)  # type: ignore[type-var]

    def rows(self, start: int, stop: int) -> Change | None:
        """None: a format that can be cut by rows says so itself."""
        return None

    def ranked(self, rank: int) -> Change | None:
        """None: a format that can be cut by ranks says so itself."""
        return None

    @property
    def nbytes(self) -> int:
        held = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return sum(value.nbytes for value in held if isinstance(value, torch.Tensor | Stored))


def as_base(pristine: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """W as float32 in the shape and on the device of `total`."""
    return pristine.to(total.device).to(torch.float32).reshape(total.shape)  # crosses the bus at its own size


def complete(name: str, tensors: Tensors, *roles: str) -> None:
    """All of these roles are there and have at least two dimensions. Raises AdapterInvalid."""
    for role in roles:
        if role not in tensors:
            spelled = f"lora_{role}" if role in ("up", "down") else role
            raise AdapterInvalid(f"Layer {name} of the adapter has no {spelled}: the file is incomplete.")
        if tensors[role].dim() < 2:
            raise AdapterInvalid(f"Layer {name}: {role} has the shape {tuple(tensors[role].shape)}; a matrix is meant.")


def matrix(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as a float32 matrix: everything behind the first dimension is a row."""
    return tensor.float().flatten(1)


def meet(name: str, first: torch.Tensor, second: torch.Tensor, what: str) -> None:
    """The matrices can be multiplied. Raises AdapterInvalid."""
    if first.shape[1] != second.shape[0]:
        raise AdapterInvalid(
            f"Layer {name}: {what} {tuple(first.shape)} and {tuple(second.shape)} do not fit together."
        )


def number(name: str, tensors: Tensors, role: str) -> float | None:
    """The one number that this tensor holds, with or without a dimension; None where there is no such tensor."""
    tensor = tensors.get(role)
    if tensor is None:
        return None
    if tensor.numel() != 1:
        raise AdapterInvalid(f"Layer {name}: {role} has {tensor.numel()} values instead of one.")
    return float(tensor.float())


def scale_of(name: str, tensors: Tensors, rank: int, settings: Settings) -> float:
    """`scale` where the file has one (as in the WebUI), else alpha / rank, 1 without alpha; rsLoRA: alpha / sqrt(rank).

    LyCORIS writes rsLoRA's root into alpha itself; PEFT states it in the header (arXiv 2312.03732).
    """
    stated = number(name, tensors, "scale")
    if stated is not None:
        return stated
    alpha = number(name, tensors, "alpha")
    if alpha is not None:
        return alpha / rank
    alpha = settings.get("lora_alpha")
    if not isinstance(alpha, int | float):
        return 1.0
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def bounded(name: str, rows: int, columns: int) -> None:
    """A factor of this size may be multiplied out. A small file can hold factors of a huge product: AdapterInvalid."""
    if rows * columns > MAX_NUMBERS:
        raise AdapterInvalid(f"Layer {name}: its factors make {rows} x {columns} numbers, more than any layer has.")


def with_core(name: str, down: torch.Tensor, core: torch.Tensor | None) -> torch.Tensor:
    """down (r, in[, kh, kw]) as (r, in * kh * kw); a Tucker core (r, r, kh, kw) is multiplied in: 'mnkl,nj->mjkl'."""
    if core is None:
        return matrix(down)
    flat = matrix(down)
    if core.dim() != 4 or core.shape[1] != flat.shape[0] or flat.shape[1] != down.shape[1]:
        raise AdapterInvalid(
            f"Layer {name}: core {tuple(core.shape)} and down {tuple(down.shape)} do not fit together."
        )
    bounded(name, core.shape[0], flat.shape[1] * core.shape[2] * core.shape[3])
    return torch.einsum("mnkl,nj->mjkl", core.float(), flat).flatten(1)
