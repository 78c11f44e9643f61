"""EngineConfig: all an engine needs to know before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parent / "builtin"

Prediction = Literal["epsilon", "v_prediction", "v_prediction_zero_snr"]
"""What a base model was trained to say of a noisy picture: its noise, or its velocity (Salimans & Ho 2022), the latter
also from levels that end in nothing but noise (Lin et al. 2023)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """`models` maps a name to a diffusers folder, a Hugging Face id or a .safetensors checkpoint; the built-in model is
    always there as "builtin". `model` is the one used when a request names none.

    `predictions` maps the name of a base model to what it predicts, where that is told wrongly or not at all: a folder
    tells it in its scheduler, a checkpoint by tensors named "v_pred" and "ztsnr".

    `vaes` maps a name to a VAE that a request may choose instead of its model's own, from the same kinds of places.

    `adapters` "merge" changes the weights in place (DESIGN §2), "peft" goes through diffusers' load_lora_weights.
    `adapter_folders` are searched for <name>.safetensors and for ab/<sha256>.safetensors. With a `catalog`, a folder of
    ab/<sha256>.safetensors, adapters are found there by their sha256 and in no other way: neither name nor path that a
    prompt holds opens a file. It is no key of a configuration file.

    `embedding_folders` and all below hold textual inversions, named in a prompt by the file's stem; `wildcard_folders`
    and all below hold name.txt, of which `__name__` in a prompt takes a line. `device` "auto" takes CUDA, then MPS,
    then the CPU. `adapter_cache` is in bytes: so much for files in RAM, and again for what is prepared of them on the
    device. An engine that does no step in `stall_seconds` counts as hung; 0 means 30 on CUDA and 300 elsewhere.

    `safety` is who says whether a finished picture is fit for everybody: "auto", the checker that a checkpoint brings,
    if it does; "off"; or "module:callable", which takes a PIL image and gives True for one that is not.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    vaes: Mapping[str, str] = field(default_factory=dict)
    model: str = BUILTIN
    catalog: Path | None = field(default=None, metadata={"inside": True})
    adapter_folders: tuple[Path, ...] = ()
    embedding_folders: tuple[Path, ...] = ()
    wildcard_folders: tuple[Path, ...] = ()
    adapters: Literal["merge", "peft"] = "merge"
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    threads: int | None = None
    adapter_cache: int = 2 << 30
    preview_every: float = 1.0  # seconds between previews; 0 sends none
    stall_seconds: float = 0.0
    safety: str = "auto"

    def __post_init__(self) -> None:
        for name in self.predictions:
            if self.source_of(name) is None:
                raise ValueError(f"predictions: no model is called {name!r}; add it to [engine.models].")
        if self.safety not in ("auto", "off") and not all(self.safety.partition(":")):
            raise ValueError(f'safety: {self.safety!r} is none; write "auto", "off" or "module:callable".')

    def source_of(self, name: str) -> str | None:
        """Where the base model `name` is, or None when there is none of that name."""
        name = name or self.model
        if name == BUILTIN:
            return self.models.get(BUILTIN, str(BUILTIN_FOLDER / "model"))
        return self.models.get(name)
