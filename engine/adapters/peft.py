"""The chapter's other way: diffusers' own LoRA loading with PEFT. Plain LoRA files only; kept for comparison."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import AdapterMismatch, AdapterUnsupported
from ..strength import Weights
from ..types import AdapterReport
from .bank import Mix, TextMix
from .family import family_of_pipeline
from .file import Adapter


class PeftMixer:
    """A Mixer over load_lora_weights, set_adapters and disable_lora. Adapters stay loaded beside the model."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._family = family_of_pipeline(pipeline)
        self._loaded: dict[str, AdapterReport] = {}
        self._mix: Mix = ()

    @property
    def text_mix(self) -> TextMix:
        encoders = [getattr(self._pipeline, part, None) for part in ("text_encoder", "text_encoder_2")]
        known = {name for encoder in encoders for name in getattr(encoder, "peft_config", ())}
        weights = ((adapter, w.text if isinstance(w, Weights) else w) for adapter, w in self._mix)
        return tuple((adapter.info.sha256, text) for adapter, text in weights if text and _name(adapter) in known)

    def retreat(self) -> None:
        """Nothing: PEFT keeps what it has loaded beside the model."""

    def set(self, mix: Mix) -> tuple[AdapterReport, ...]:
        """As the bank does. Raises AdapterUnsupported for what PEFT's one weight a model cannot say."""
        for adapter, weight in mix:
            _require_plain(adapter, weight)
        reports = tuple(self.prepare(adapter) for adapter, _ in mix)
        self._mix = tuple(mix)
        if not mix:
            if self._loaded:
                self._pipeline.disable_lora()
            return reports
        totals: dict[str, Weights] = {}
        for adapter, weight in mix:
            unet, text = weight[:2] if isinstance(weight, Weights) else (weight, weight)
            before = totals.get(_name(adapter), Weights(0, 0))
            totals[_name(adapter)] = Weights(before.unet + unet, before.text + text)
        self._pipeline.enable_lora()
        self._pipeline.set_adapters(
            list(totals), [_by_component(self._pipeline, weights) for weights in totals.values()]
        )
        return reports

    def prepare(self, adapter: Adapter) -> AdapterReport:
        """The adapter is loaded beside the model, in force or not. Raises AdapterMismatch."""
        name = _name(adapter)
        if name not in self._loaded:
            if adapter.info.family not in ("", self._family):
                raise AdapterMismatch(
                    f"{adapter.name} is made for {adapter.info.family}; this base model is {self._family}."
                )
            with warnings.catch_warnings():
                # PEFT warns that there are several adapters; several is what we want
                warnings.filterwarnings("ignore", message="Already found a `peft_config`")
                self._pipeline.load_lora_weights(str(adapter.path), adapter_name=name)
            layers = len(adapter.modules)
            names = tuple(embedding.name for embedding in adapter.embeddings)
            self._loaded[name] = AdapterReport(
                adapter.name, layers, layers, adapter.ignored, adapter.unsplit, embeddings=names
            )
        return self._loaded[name]

    def drop(self, sha256: str) -> None:
        name = _named(sha256)
        if self._loaded.pop(name, None) is not None:
            self._pipeline.delete_adapters(name)


def _require_plain(adapter: Adapter, weight: float | Weights) -> None:
    if isinstance(weight, Weights) and (weight.blocks or weight.rank is not None):
        raise AdapterUnsupported(
            f'{adapter.name}: block weights and dynamic ranks need adapters = "merge" in the engine\'s configuration.'
        )


def _name(adapter: Adapter) -> str:
    return _named(adapter.info.sha256)


def _named(sha256: str) -> str:
    return f"a{sha256[:16]}"  # PEFT allows no dots in adapter names


def _by_component(pipeline: Any, weights: Weights) -> dict[str, float]:
    parts = {"unet": weights.unet, "text_encoder": weights.text}
    if getattr(pipeline, "text_encoder_2", None) is not None:
        parts["text_encoder_2"] = weights.text
    return parts
