"""The adapters in force on one pipeline: W' = round(W + sum of m_i * D_i), always from the pristine W.

Merged in place, into the same storage: no cost per step, and compiled or captured models stay valid. Nothing is ever
subtracted, so `set([])` gives back the weights bit for bit (DESIGN §2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from ..residency import Residency
from ..strength import Weights as Weights
from ..strength import block_of
from ..types import AdapterReport
from .binding import Bound, bind
from .blocks import Work, write_sums
from .family import family_of_pipeline
from .file import Adapter
from .formats import Change
from .pristine import Free, Pristine
from .table import Target, key_table

FACTORS = 1 << 30  # bytes of prepared factors that a bank keeps unless it is told otherwise
Mix = Sequence[tuple[Adapter, float | Weights]]
TextMix = tuple[tuple[str, float], ...]


class Mixer(Protocol):
    """Puts a mix in force on a pipeline. Two ways: AdapterBank (merged weights) and PeftMixer (diffusers + PEFT)."""

    def set(self, mix: Mix) -> tuple[AdapterReport, ...]:
        """The mix is in force and no other; one report an adapter. After an error no adapter is."""

    def prepare(self, adapter: Adapter) -> AdapterReport:
        """What depends on adapter and model alone is done, so that a mix with it costs the switch only."""

    def drop(self, sha256: str) -> None:
        """Nothing of an adapter that is not in force is kept; `prepare` is the inverse."""

    def retreat(self) -> None:
        """What of this is on the device and can wait elsewhere does, for when the device has no room left."""

    @property
    def text_mix(self) -> TextMix:
        """(sha256, weight) of each adapter in force that changes a text encoder: equal ones encode text alike."""


class AdapterBank:
    """`set(mix)` and `set([])` are inverses, bit for bit, whatever happened in between."""

    def __init__(
        self,
        pipeline: Any,
        *,
        device: torch.device | str | None = None,
        factors: Residency[str, Bound] | None = None,
        free: Free | None = None,
    ) -> None:
        """`device` is where factors are multiplied; None means where each weight lives. `factors` holds the prepared
        adapters by sha256, for this model alone. `free` says what a device has left (pristine.free_bytes)."""
        self.family = family_of_pipeline(pipeline)
        self._table = key_table(pipeline)
        self._targets = _by_name(self._table.values())
        layers = getattr(pipeline.unet.config, "layers_per_block", 2)
        self._places = {
            name: (target.component, block_of(target.component, target.module, layers))
            for name, target in self._targets.items()
        }
        self._device = torch.device(device) if device is not None else None
        self.factors: Residency[str, Bound] = Residency(FACTORS) if factors is None else factors
        self._pristine = Pristine(free)
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

        Raises AdapterMismatch, or AdapterInvalid for a file: the mix is what it was before. Raises AdapterInvalid for a
        sum that a weight cannot hold: as after any fault while writing, no adapter is in force.
        """
        wanted = tuple((adapter, _weights(weight)) for adapter, weight in mix)
        bound = [self.bind(adapter) for adapter, _ in wanted]
        if wanted != self._mix:
            self._write(self._plan(*_sorted(wanted, bound)))
            self._mix = wanted
        reports = [_report(part, weights) for part, (_, weights) in zip(bound, wanted, strict=True)]
        return tuple(replace(report, name=adapter.name) for report, (adapter, _) in zip(reports, wanted, strict=True))

    def prepare(self, adapter: Adapter) -> AdapterReport:
        return replace(self.bind(adapter).report, name=adapter.name)

    def drop(self, sha256: str) -> None:
        self.factors.drop(sha256)

    def retreat(self) -> None:
        self._pristine.retreat()

    def bind(self, adapter: Adapter) -> Bound:
        """The adapter's changes to this model, kept within the budget. Raises AdapterMismatch, AdapterInvalid."""
        key = adapter.info.sha256
        bound = self.factors.get(key)
        if bound is None:
            bound = bind(adapter, self._table, self.family, self._device)
            self.factors.admit(key, bound, bound.nbytes)
        return bound

    def _plan(
        self, wanted: Iterable[tuple[Adapter, Weights]], bound: Iterable[Bound]
    ) -> dict[str, list[tuple[Change, float]]]:
        plan: dict[str, list[tuple[Change, float]]] = {}
        for (_, weights), part in zip(wanted, bound, strict=True):
            for name, change in part.changes.items():
                strength = weights.of(*self._places[name])
                if strength:
                    plan.setdefault(name, []).append((_ranked(change, weights.rank), strength))
        return plan

    def _write(self, plan: Mapping[str, Sequence[tuple[Change, float]]]) -> None:
        touched = self._changed | plan.keys()
        try:
            with torch.no_grad():
                write_sums([self._work(name, plan.get(name, ())) for name in touched], self._device)
        except BaseException:
            self._restore(touched)
            raise
        self._changed = set(plan)

    def _work(self, name: str, changes: Sequence[tuple[Change, float]]) -> Work:
        weight = self._targets[name].parameter
        return Work(name, weight, self._pristine.keep(name, weight), changes)

    def _restore(self, names: Iterable[str]) -> None:
        with torch.no_grad():
            for name in names:
                if name in self._pristine:
                    self._targets[name].parameter.copy_(self._pristine[name])
        self._changed, self._mix = set(), ()


def _sorted(
    wanted: Iterable[tuple[Adapter, Weights]], bound: Iterable[Bound]
) -> tuple[list[tuple[Adapter, Weights]], list[Bound]]:
    """Both in an order that is the same however the mix was written: float32 sums depend on theirs in the last bit."""
    pairs = sorted(zip(wanted, bound, strict=True), key=lambda pair: (pair[0][0].info.sha256, repr(pair[0][1])))
    return [use for use, _ in pairs], [part for _, part in pairs]


def _weights(weight: float | Weights) -> Weights:
    return weight if isinstance(weight, Weights) else Weights(weight, weight)


def _ranked(change: Change, rank: int | None) -> Change:
    cut = None if rank is None else change.ranked(rank)
    return change if cut is None else cut


def _report(bound: Bound, weights: Weights) -> AdapterReport:
    """The account of the keys, and what the weights ask for in vain."""
    if weights.rank is None:
        return bound.report
    whole = sum(change.ranked(weights.rank) is None for change in bound.changes.values())
    note = f"a dynamic rank of {weights.rank} does nothing to {whole} of them, which are no plain LoRA"
    return replace(bound.report, notes=(note,)) if whole else bound.report


def _by_name(targets: Iterable[Target]) -> dict[str, Target]:
    """Weights and biases by their names; names of biases end in `.bias`."""
    weights = {target.name: target for target in targets}
    biases = {target.bias.name: target.bias for target in weights.values() if target.bias is not None}
    return weights | biases
