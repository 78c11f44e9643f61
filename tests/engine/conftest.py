"""What engine tests share: the built-in pipeline, loaded once, and files for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.adapters.bank import AdapterBank
from engine.adapters.file import Adapter, read_adapter
from engine.adapters.table import key_table
from engine.config import BUILTIN_FOLDER
from engine.pipeline.load import load_pipeline

from .files import write_kohya


@pytest.fixture(scope="session")
def builtin() -> Any:
    """The built-in model's pipeline. Whoever changes its weights changes them back."""
    return load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)


@pytest.fixture
def bank(builtin: Any) -> Iterator[AdapterBank]:
    bank = AdapterBank(builtin)
    yield bank
    bank.set([])


@pytest.fixture
def adapter(builtin: Any, tmp_path: Path) -> Adapter:
    return read_adapter(write_kohya(tmp_path / "first.safetensors", attention_layers(builtin)))


@pytest.fixture
def other(builtin: Any, tmp_path: Path) -> Adapter:
    return read_adapter(write_kohya(tmp_path / "other.safetensors", attention_layers(builtin)[:40], seed=1, rank=2))


def attention_layers(pipeline: Any) -> list[tuple[str, torch.nn.Parameter]]:
    """(kohya's spelling, weight) of every attention layer of UNet and text encoder."""
    ours = ("lora_unet_down_blocks", "lora_unet_mid_block", "lora_unet_up_blocks", "lora_te_text_model_encoder")
    table = key_table(pipeline)
    return [(key, target.parameter) for key, target in table.items() if key.startswith(ours) and ("attn" in key)]


def weights_of(pipeline: Any) -> dict[str, torch.Tensor]:
    """A copy of every weight by component and name."""
    return {
        f"{part}.{name}": value.detach().clone()
        for part in ("unet", "text_encoder")
        if hasattr(pipeline, part)
        for name, value in getattr(pipeline, part).state_dict().items()
    }


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
