"""The chapter's two functions, for a script that has a diffusers pipeline and wants an adapter in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ..types import AdapterReport
from .bank import AdapterBank
from .file import read_adapter

_banks: WeakKeyDictionary[Any, AdapterBank] = WeakKeyDictionary()


def load_lora(pipeline: Any, lora_path: str | Path, lora_weight: float = 0.5, device: str = "cpu") -> AdapterReport:
    """W' = W + lora_weight * D for every layer of the file; call again to add another. The report counts the layers.

    `device` is where the factors are multiplied. Gives the same weights as AUTOMATIC1111's WebUI up to its rounding in
    float16. Raises AdapterInvalid, AdapterUnsupported or AdapterMismatch; then the pipeline is as it was before.
    """
    bank = _banks.get(pipeline)
    if bank is None:
        bank = _banks[pipeline] = AdapterBank(pipeline, device=device)
    return bank.set([*bank.mix, (read_adapter(lora_path), lora_weight)])[-1]


def unload_lora(pipeline: Any) -> None:
    """The pipeline's weights are the pristine ones again, bit for bit. Nothing happens where load_lora never ran."""
    bank = _banks.pop(pipeline, None)
    if bank is not None:
        bank.set([])
