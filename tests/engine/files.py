"""Adapter files for tests, written as trainers write them, with random numbers inside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file


def write_kohya(
    path: Path,
    layers: Iterable[tuple[str, torch.nn.Parameter]],
    *,
    rank: int = 4,
    alpha: float | None = 2.0,
    seed: int = 0,
    size: float = 0.02,
    metadata: dict[str, str] | None = None,
    tucker: bool = False,
) -> Path:
    """`layers` are (spelling of the module in the file, the weight it changes)."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for module, weight in layers:
        out, inner, *kernel = weight.shape
        tensors[f"{module}.lora_up.weight"] = torch.randn(out, rank, *[1] * len(kernel), generator=generator) * size
        if tucker and kernel:
            tensors[f"{module}.lora_mid.weight"] = torch.randn(rank, rank, *kernel, generator=generator) * 0.3
            tensors[f"{module}.lora_down.weight"] = torch.randn(rank, inner, 1, 1, generator=generator)
        else:
            tensors[f"{module}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=generator)
        if alpha is not None:
            tensors[f"{module}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path, metadata=metadata)
    return path
