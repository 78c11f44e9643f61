"""An adapter meets a model: which tensors of the file change which parameter, and what became of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import AdapterInvalid, AdapterMismatch
from ..types import AdapterReport
from .file import Adapter
from .formats import Change, load_change
from .formats.part import Part
from .formats.several import Several
from .pattern import means, read_pattern
from .table import COMPONENTS, Slice, Target, find

LATENTS = (1, 0, 4)  # of conv_in: input channels 0 to 3
BIAS_ROLES = ("diff_b", "b_norm")


@dataclass(frozen=True, slots=True)
class Bound:
    """An adapter bound to a model: its change of each parameter by its name, and the account of its keys.

    `applied`, `metadata`, `report.ignored` and `report.unknown` partition the keys of the file.
    """

    changes: Mapping[str, Change]
    applied: tuple[str, ...]
    metadata: tuple[str, ...]
    report: AdapterReport

    @property
    def nbytes(self) -> int:
        """What the prepared factors take, on whatever device."""
        return sum(change.nbytes for change in self.changes.values())


@dataclass(slots=True)
class _Layer:
    """The tensors of one module of the model, or of a slice of one, under whatever spellings the file has it."""

    target: Target
    spelling: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # role -> key


def bind(adapter: Adapter, table: Mapping[str, Target], family: str, device: torch.device | None) -> Bound:
    """The adapter's changes, on `device` (None: where each weight lives), checked against the model's shapes.

    Raises AdapterMismatch (another family, a shape that does not fit) or AdapterInvalid (no proper set of tensors).
    """
    if adapter.info.fits and family not in adapter.info.fits:
        raise AdapterMismatch(_mismatch(adapter, family))
    layers, ignored, unknown = _gather(adapter, table)
    settings = {component: _settings(adapter.peft, component) for component in COMPONENTS}
    changes: dict[str, list[Change]] = {}
    applied: list[str] = []
    changed = 0
    for layer in layers:
        stated = _of_layer(settings[layer.target.component], layer)
        parts = list(_parts(adapter, layer, ignored))
        for target, tensors in parts:
            change = _change(adapter, layer.spelling, target, tensors, stated)
            changes.setdefault(target.name, []).append(change.to(device or target.parameter.device))
        changed += bool(parts)
        applied += [key for key in layer.keys.values() if key not in ignored]
    if not changes:
        raise AdapterMismatch(_mismatch(adapter, family))
    strange = sum(find(table, module) is None for module in adapter.modules)
    names = tuple(embedding.name for embedding in adapter.embeddings)
    report = AdapterReport(adapter.name, changed, len(layers) + strange, ignored, tuple(unknown), embeddings=names)
    summed = {name: found[0] if len(found) == 1 else Several(tuple(found)) for name, found in changes.items()}
    return Bound(summed, (*applied, *adapter.embedding_keys), adapter.metadata, report)


def _gather(adapter: Adapter, table: Mapping[str, Target]) -> tuple[list[_Layer], dict[str, str], list[str]]:
    """(layers, ignored, unknown). A tensor that a file has under two spellings counts once if both are equal."""
    layers: dict[tuple[str, Slice | None], _Layer] = {}
    ignored, unknown = dict(adapter.ignored), list(adapter.unsplit)
    for module, tensors in adapter.modules.items():
        keys = adapter.keys[module]
        target = find(table, module)
        if target is None:
            unknown += keys.values()
            continue
        layer = layers.setdefault((target.name, target.slice), _Layer(target, module))
        for role, tensor in tensors.items():
            if role not in layer.tensors:
                layer.tensors[role], layer.keys[role] = tensor, keys[role]
            elif torch.equal(layer.tensors[role], tensor):
                ignored[keys[role]] = f"the same as {layer.keys[role]}"
            else:
                raise AdapterInvalid(f"{adapter.name} changes {target.name} twice, under two spellings.")
    return list(layers.values()), ignored, unknown


def _parts(
    adapter: Adapter, layer: _Layer, ignored: dict[str, str]
) -> Iterator[tuple[Target, dict[str, torch.Tensor]]]:
    """The layer's weight and its bias, each with the tensors that change it."""
    weight = {role: tensor for role, tensor in layer.tensors.items() if role not in BIAS_ROLES}
    bias = {role: tensor for role, tensor in layer.tensors.items() if role in BIAS_ROLES}
    if bias and layer.target.bias is None:
        if any(bool(tensor.any()) for tensor in bias.values()):
            raise AdapterMismatch(
                f"{adapter.name} does not fit this base model: it changes the bias of {layer.spelling}, which has none."
            )
        ignored.update({layer.keys[role]: "a change of nothing to a bias that this model has not" for role in bias})
    elif bias and layer.target.bias is not None:
        yield layer.target.bias, bias
    if weight:
        yield layer.target, weight


def _change(
    adapter: Adapter, spelling: str, target: Target, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any]
) -> Change:
    try:
        change = load_change(spelling, tensors, settings)
    except AdapterInvalid as error:
        raise AdapterInvalid(f"{adapter.name}: {error}") from error
    if target.slice is not None:
        change = Part(change, *target.slice)
    elif not change.fits(target.parameter) and target.name == "unet.conv_in":
        change = Part(change, *LATENTS)  # an inpainting model: the mask and the picture behind it come after
    if not change.fits(target.parameter):
        shapes = ", ".join(f"{role} {tuple(tensors[role].shape)}" for role in sorted(tensors, reverse=True))
        raise AdapterMismatch(
            f"{adapter.name} does not fit this base model: "
            f"{spelling} has {shapes}, the layer is {tuple(target.parameter.shape)}."
        )
    return change


def _settings(peft: Mapping[str, Any], component: str) -> dict[str, Any]:
    """What PEFT's header says about this part of the model; `save_lora_adapter` saves a UNet alone, unnamed."""
    prefix = f"{component}."
    named = {key.removeprefix(prefix): value for key, value in peft.items() if key.startswith(prefix)}
    found = {key: value for key, value in peft.items() if component == "unet" and "." not in key} | named
    patterns = found.get("alpha_pattern", {})
    return found | {"alpha_pattern": [(read_pattern(pattern), alpha) for pattern, alpha in patterns.items()]}


def _of_layer(settings: Mapping[str, Any], layer: _Layer) -> Mapping[str, Any]:
    """The settings with the layer's own alpha: as in PEFT, that of the first pattern that names it.

    Patterns name modules as the file's keys do; some keep the `text_model.` that transformers 5 took from the keys.
    """
    target = layer.target
    spelled = layer.spelling.removeprefix(f"{target.component}.")
    for name in dict.fromkeys((spelled, f"text_model.{target.module}")):
        for pattern, alpha in settings["alpha_pattern"]:
            if means(pattern, name):
                return {**settings, "lora_alpha": alpha}
    return settings


def _mismatch(adapter: Adapter, family: str) -> str:
    made_for = f"made for {' or '.join(adapter.info.fits) or 'another kind of model'}"
    return f"{adapter.name} is {made_for}; this base model is {family}. Pick an adapter for {family}."
