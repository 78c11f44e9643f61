"""Which module of a model every spelling of a file means: built from the model's own names, never parsed.

Kohya's underscores cannot be undone ("to_out_0" was "to_out.0"), so each module of the model is spelled in every way
that trainers write it (`spelling`), and a file's spelling is looked up. Two modules never share a spelling: `add`
refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .spelling import positions, text_spellings, underscored, unet_spellings

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
Slice = tuple[int, int, int]  # dimension, start, length
LAYERS = torch.nn.Linear | torch.nn.Conv2d | torch.nn.GroupNorm | torch.nn.LayerNorm


@dataclass(frozen=True, slots=True)
class Target:
    """A parameter of the model: a layer's weight, whose `bias` is another target, or that bias itself.

    `slice` is the part that is meant, for fused layers; several targets then share a name and the parameter.
    """

    component: str
    module: str
    parameter: torch.Tensor
    bias: Target | None = None
    slice: Slice | None = None

    @property
    def name(self) -> str:
        """The parameter's."""
        return f"{self.component}.{self.module}"


def key_table(pipeline: Any) -> dict[str, Target]:
    """Spelling -> Target, for every linear, convolution and norm of the pipeline's UNet and text encoders."""
    table: dict[str, Target] = {}
    double = getattr(pipeline, "text_encoder_2", None) is not None
    for component in COMPONENTS:
        model = getattr(pipeline, component, None)
        if model is None:
            continue
        layers = getattr(model.config, "layers_per_block", 2)
        up_attention = tuple("Attn" in kind for kind in getattr(model.config, "up_block_types", ()))
        targets = {target.module: target for target in _targets(component, model)}
        for name, target in targets.items():
            spellings = (
                unet_spellings(name, layers, up_attention)
                if component == "unet"
                else text_spellings(component, name, double)
            )
            _add(table, spellings, target)
        if not double:  # the first format of all is older than models with two encoders
            for spelling, name in positions(component, targets):
                _add(table, (spelling,), targets[name])
    return table


def find(table: Mapping[str, Target], spelling: str) -> Target | None:
    """What the spelling means, or None. Kohya's prefix with dots behind it is read as its underscores."""
    return table.get(spelling) or table.get(underscored(spelling))


def _targets(component: str, model: torch.nn.Module) -> Iterable[Target]:
    for name, module in model.named_modules():
        if isinstance(module, LAYERS) and module.weight is not None:
            plain, bias = _plain(name), module.bias
            own = Target(component, f"{plain}.bias", bias) if bias is not None else None
            yield Target(component, plain, module.weight, own)


def _add(table: dict[str, Target], spellings: Iterable[str], target: Target) -> None:
    for spelling in spellings:
        known = table.setdefault(spelling, target)
        if known.parameter is not target.parameter or known.slice != target.slice:
            raise ValueError(f"{spelling} means both {table[spelling].name} and {target.name}")


def _plain(name: str) -> str:
    """The name without what PEFT wraps around a layer when it is active, and without transformers' wrapper."""
    return name.replace(".base_layer", "").removeprefix("text_model.")
