"""Which formats come out as their trainers meant them, here and with diffusers + PEFT: `python -m tests.bench.formats`.

Each case of tests/engine/adapters/cases.py is written to a file, loaded at strength 1, and the layer's change compared
with the closed form in float64. "exact" is within 2e-5 of the largest change, "wrong by" the largest deviation in parts
of it, "nothing" a layer that was left as it was without a word.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine import EngineError
from engine.adapters.bank import AdapterBank
from engine.adapters.file import read_adapter
from engine.config import BUILTIN_FOLDER
from engine.pipeline.load import load_pipeline
from tests.engine.adapters.cases import CASES, LAYERS, Case, Random

EXACT = 2e-5
KINDS = ("linear", "1x1", "3x3", "norm")


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    ours, theirs = (_pipeline() for _ in range(2))
    bank, counts = AdapterBank(ours), {"ours": Counter[str](), "diffusers": Counter[str]()}
    print(f"{'format':<33}{'layer':<8}{'Loraloom':<14}diffusers + PEFT")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        for name, case in CASES.items():
            for layer in (kind for kind in KINDS if kind in case.layers):
                wanted = write(path, case, layer, _weight(ours.unet, layer))
                said = {"ours": with_bank(bank, ours, path, layer, wanted)}
                said["diffusers"] = with_diffusers(theirs, path, layer, wanted)
                for who, words in said.items():
                    counts[who][words.partition(" by ")[0].partition(":")[0]] += 1
                print(f"{name:<33}{layer:<8}{said['ours']:<14}{said['diffusers']}", flush=True)
    for who, count in counts.items():
        print(f"{who}: " + ", ".join(f"{number} {words}" for words, number in count.most_common()))


def write(path: Path, case: Case, layer: str, weight: torch.Tensor) -> torch.Tensor:
    """The file is at `path`; gives the change that its trainer meant, in float64."""
    tensors: Mapping[str, torch.Tensor] = case.make(tuple(weight.shape), Random(torch.Generator().manual_seed(0)))
    if case.alpha:
        tensors = {**tensors, "alpha": torch.tensor(3.0)}
    save_file({f"{case.module}{LAYERS[layer]}.{role}": t.contiguous() for role, t in tensors.items()}, path)
    return case.change(weight.double(), tensors)


def with_bank(bank: AdapterBank, pipeline: Any, path: Path, layer: str, wanted: torch.Tensor) -> str:
    before = _weight(pipeline.unet, layer)
    try:
        bank.set([(read_adapter(path), 1.0)])
        return verdict(_weight(pipeline.unet, layer) - before, wanted)
    except EngineError as error:
        return f"refused: {error}"[:60]
    finally:
        bank.set([])


def with_diffusers(pipeline: Any, path: Path, layer: str, wanted: torch.Tensor) -> str:
    """As its documentation has it: load_lora_weights, fuse_lora, and both back."""
    before = _weight(pipeline.unet, layer)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            pipeline.load_lora_weights(path)
            pipeline.fuse_lora()
        return verdict(_weight(pipeline.unet, layer) - before, wanted)
    except Exception as error:  # noqa: BLE001  whatever it says is what a user of it gets
        return f"refused: {type(error).__name__}"
    finally:
        with contextlib.suppress(Exception):
            pipeline.unfuse_lora()
        pipeline.unload_lora_weights()
        _put_back(pipeline.unet, layer, before)


def verdict(change: torch.Tensor, wanted: torch.Tensor) -> str:
    off, largest = float((change - wanted.reshape(change.shape)).abs().max()), float(wanted.abs().max())
    if off <= EXACT * largest:
        return "exact"
    return f"wrong by {off / largest:.1g}" if change.any() else "nothing"


def _pipeline() -> Any:
    return load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)


def _module(unet: Any, layer: str) -> Any:
    """Kohya's spelling taken apart over the model's own names."""
    module, rest = unet, LAYERS[layer]
    while rest:
        names = (name for name, _ in module.named_children() if rest == name or rest.startswith(f"{name}_"))
        name = max(names, key=len)
        module, rest = getattr(module, name), rest[len(name) + 1 :]
    return getattr(module, "base_layer", module)


def _weight(unet: Any, layer: str) -> torch.Tensor:
    """A copy, in float64."""
    weight: torch.Tensor = _module(unet, layer).weight.detach().double()
    return weight


def _put_back(unet: Any, layer: str, weight: torch.Tensor) -> None:
    with torch.no_grad():
        _module(unet, layer).weight.copy_(weight)


if __name__ == "__main__":
    main()
