"""The formats of adapter files, one class a file; FORMATS is the order in which they are tried."""

from __future__ import annotations

from ...errors import AdapterInvalid
from .base import Change as Change
from .base import Settings, Tensors
from .dora import Decomposed
from .full import Difference
from .glora import Generalized
from .ia3 import Gains
from .loha import Hadamard
from .lokr import Kronecker
from .lora import LowRank
from .oft import Butterfly, Rotation
from .residual import Residual

FORMATS = (
    Decomposed,
    LowRank,
    Hadamard,
    Kronecker,
    Gains,
    Generalized,
    Difference,
    Rotation,
    Butterfly,
    Residual,
)


def load_change(name: str, tensors: Tensors, settings: Settings) -> Change:
    """What these tensors do to one weight. Raises AdapterInvalid when no format has this set of tensors."""
    for kind in FORMATS:
        change = kind.load(name, tensors, settings)
        if change is not None:
            return change
    raise AdapterInvalid(f"Layer {name} holds {', '.join(sorted(tensors))}, which is no format known here.")
