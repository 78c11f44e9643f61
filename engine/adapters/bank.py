"""The adapters in force on one pipeline: W' = round(W + sum of m_i * D_i), always from the pristine W.

Merged in place, into the same storage: no cost per step, and compiled or captured models stay valid. Nothing is ever
subtracted, so `set([])` gives back the weights bit for bit (DESIGN §2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import torch

from ..types import AdapterReport
from .binding import Bound, bind
from .blocks import new_scratch, write_sum
from .family import family_of_pipeline
from .file import Adapter
from .formats import Change
from .table import Target, key_table


class Weights(NamedTuple):
    """How strongly an adapter changes the UNet and the text encoders."""

    unet: float
    text: float


Mix = Sequence[tuple[Adapter, float | Weights]]
TextMix = tuple[tuple[str, float], ...]


class Mixer(Protocol):
    """Puts a mix in force on a pipeline. Two ways: AdapterBank (merged weights) and PeftMixer (diffusers + PEFT)."""

    def set(self, mix: Mix) -> tuple[AdapterReport, ...]:
        """The mix is in force and no other; one report an adapter. After an error no adapter is."""

    @property
    def text_mix(self) -> TextMix:
        """(sha256, weight) of each adapter in force that changes a text encoder: equal ones encode text alike."""


class AdapterBank:
    """`set(mix)` and `set([])` are inverses, bit for bit, whatever happened in between."""

    def __init__(self, pipeline: Any, *, device: torch.device | str | None = None) -> None:
        """`device` is where factors are multiplied; None means where each weight lives."""
        self.family = family_of_pipeline(pipeline)
        self._table = key_table(pipeline)
        self._targets = _by_name(self._table.values())
        self._device = torch.device(device) if device is not None else None
        self._bound: WeakKeyDictionary[Adapter, Bound] = WeakKeyDictionary()
        self._pristine: dict[str, torch.Tensor] = {}
        self._changed: set[str] = set()
        self._mix: tuple[tuple[Adapter, Weights], ...] = ()

    @property
    def mix(self) -> tuple[tuple[Adapter, Weights], ...]:
        return self._mix

    @property
    def text_mix(self) -> TextMix:
        texts = ((adapter, weights.text) for adapter, weights in self._mix if weights.text)
        return tuple(
            (adapter.info.sha256, weight)
            for adapter, weight in texts
            if not all(name.startswith("unet.") for name in self.bind(adapter).changes)
        )

    def set(self, mix: Mix) -> tuple[AdapterReport, ...]:
        """The mix is in force. Everything is checked before any weight is written; a fault while writing restores all.

        Raises AdapterMismatch or AdapterInvalid; then the mix is what it was before.
        """
        wanted = tuple((adapter, _weights(weight)) for adapter, weight in mix)
        bound = [self.bind(adapter) for adapter, _ in wanted]
        if wanted != self._mix:
            self._write(self._plan(wanted, bound))
            self._mix = wanted
        return tuple(part.report for part in bound)

    def bind(self, adapter: Adapter) -> Bound:
        """The adapter's changes to this model, kept while the adapter lives. Raises AdapterMismatch, AdapterInvalid."""
        bound = self._bound.get(adapter)
        if bound is None:
            bound = self._bound[adapter] = bind(adapter, self._table, self.family, self._device)
        return bound

    def _plan(
        self, wanted: Iterable[tuple[Adapter, Weights]], bound: Iterable[Bound]
    ) -> dict[str, list[tuple[Change, float]]]:
        plan: dict[str, list[tuple[Change, float]]] = {}
        for (_, weights), part in zip(wanted, bound, strict=True):
            for name, change in part.changes.items():
                strength = weights.unet if name.startswith("unet.") else weights.text
                if strength:
                    plan.setdefault(name, []).append((change, strength))
        return plan

    def _write(self, plan: Mapping[str, Sequence[tuple[Change, float]]]) -> None:
        touched = self._changed | plan.keys()
        try:
            with torch.no_grad():
                scratch = new_scratch()
                for name in touched:
                    self._write_weight(name, plan.get(name, ()), scratch)
        except BaseException:
            self._restore(touched)
            raise
        self._changed = set(plan)

    def _write_weight(self, name: str, changes: Sequence[tuple[Change, float]], scratch: torch.Tensor) -> None:
        weight = self._targets[name].parameter
        pristine = self._pristine.get(name)
        if pristine is None:
            pristine = self._pristine[name] = weight.detach().clone()
        write_sum(weight, pristine, changes, self._device or weight.device, scratch)

    def _restore(self, names: Iterable[str]) -> None:
        with torch.no_grad():
            for name in names:
                if name in self._pristine:
                    self._targets[name].parameter.copy_(self._pristine[name])
        self._changed, self._mix = set(), ()


def _weights(weight: float | Weights) -> Weights:
    return weight if isinstance(weight, Weights) else Weights(weight, weight)


def _by_name(targets: Iterable[Target]) -> dict[str, Target]:
    """Weights and biases by their names; names of biases end in `.bias`."""
    weights = {target.name: target for target in targets}
    biases = {target.bias.name: target.bias for target in weights.values() if target.bias is not None}
    return weights | biases
