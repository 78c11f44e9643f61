"""What switching adapters costs on this machine, beside diffusers with PEFT, in one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from ..config import BUILTIN_FOLDER
from ..pipeline.load import load_pipeline
from .bank import AdapterBank
from .file import read_adapter
from .peft import PeftMixer
from .table import key_table

RANK, ROUNDS = 16, 7


def switch(*, small: bool = False) -> str:
    """A table of medians in milliseconds on one thread: one and two adapters on all attention layers, a UNet step.

    Large: an SD 1.5-size UNet in bfloat16 with random weights. Small: the built-in model in float32.
    """
    torch.set_num_threads(1)
    pipeline = load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)
    if not small:
        pipeline.unet = _sd15_unet()
    with tempfile.TemporaryDirectory() as folder:
        files = [_write_adapter(pipeline, Path(folder) / f"bench{i}.safetensors", i) for i in range(2)]
        adapters = [read_adapter(file) for file in files]
        rows = _merged(pipeline, adapters) + _peft(pipeline, adapters)
    reference = rows[0][1]
    return "\n".join(f"{name:<44}{value:9.2f} ms {value / reference:7.2f}x" for name, value in rows)


def _merged(pipeline: Any, adapters: list[Any]) -> list[tuple[str, float]]:
    weights = [target.parameter for target in _attention(pipeline).values()]
    copies = [weight.detach().clone() for weight in weights]

    def copy() -> None:
        with torch.no_grad():
            for weight, kept in zip(weights, copies, strict=True):
                weight.copy_(kept)

    bank = AdapterBank(pipeline)
    one, two = [(adapters[0], 0.5)], [(adapters[0], 0.5), (adapters[1], 1.0)]
    bank.set(two)
    step = _step(pipeline)
    rows = [("plain copy of the touched weights", _median(copy))]
    rows.append(("AdapterBank: one adapter", _median(lambda: bank.set(one), before=lambda: bank.set([]))))
    rows.append(("AdapterBank: two adapters", _median(lambda: bank.set(two), before=lambda: bank.set([]))))
    rows.append(("AdapterBank: back to none", _median(lambda: bank.set([]), before=lambda: bank.set(one))))
    rows.append(("UNet step, no adapter", _median(step)))
    bank.set(one)
    rows.append(("UNet step, one adapter merged", _median(step)))
    bank.set([])
    return rows


def _peft(pipeline: Any, adapters: list[Any]) -> list[tuple[str, float]]:
    mixer = PeftMixer(pipeline)
    began = time.perf_counter()
    mixer.set([(adapters[0], 0.5), (adapters[1], 1.0)])
    rows = [("diffusers + PEFT: first load of two", (time.perf_counter() - began) * 1e3)]
    rows.append(("diffusers + PEFT: set_adapters", _median(lambda: mixer.set([(adapters[0], 0.5)]))))
    rows.append(("UNet step, one adapter through PEFT", _median(_step(pipeline))))
    pipeline.fuse_lora()
    rows.append(("diffusers + PEFT: fuse", _median(pipeline.fuse_lora, before=pipeline.unfuse_lora)))
    pipeline.unfuse_lora()
    rows.append(("diffusers + PEFT: unfuse", _median(pipeline.unfuse_lora, before=pipeline.fuse_lora)))
    return rows


def _attention(pipeline: Any) -> dict[str, Any]:
    table = key_table(pipeline)
    heads = ("lora_unet_down_blocks", "lora_unet_mid_block", "lora_unet_up_blocks")
    layers = {key: target for key, target in table.items() if key.startswith(heads) and "attentions" in key}
    return {key: target for key, target in layers.items() if target.parameter.dim() > 1}  # norms are left out


def _write_adapter(pipeline: Any, path: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for key, target in _attention(pipeline).items():
        out, inner, *kernel = target.parameter.shape
        tensors[f"{key}.lora_up.weight"] = torch.randn(out, RANK, *kernel, generator=generator) * 0.01
        tensors[f"{key}.lora_down.weight"] = torch.randn(RANK, inner, *kernel, generator=generator)
        tensors[f"{key}.alpha"] = torch.tensor(float(RANK))
    save_file(tensors, path)
    return path


def _sd15_unet() -> UNet2DConditionModel:
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).to(torch.bfloat16)
    unet = unet.to_empty(device="cpu")
    for parameter in unet.parameters():
        parameter.data.uniform_(-0.03, 0.03)
    return unet.eval()


def _step(pipeline: Any) -> Callable[[], object]:
    unet = pipeline.unet
    cells = unet.config.sample_size // (1 if unet.config.sample_size <= 16 else 4)
    latents = torch.randn(2, 4, cells, cells).to(unet.dtype)
    text = torch.randn(2, 77, unet.config.cross_attention_dim).to(unet.dtype)

    @torch.inference_mode()
    def step() -> object:
        return unet(latents, torch.tensor(500), encoder_hidden_states=text, return_dict=False)

    return step


def _median(act: Callable[[], object], before: Callable[[], object] | None = None) -> float:
    times = []
    for _ in range(ROUNDS):
        if before is not None:
            before()
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)
