"""What switching adapters costs on this machine, beside the WebUI's way and diffusers with PEFT, in one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from ..config import BUILTIN_FOLDER
from ..pipeline.load import load_pipeline
from .bank import AdapterBank
from .file import Adapter, read_adapter
from .formats.lora import LowRank
from .peft import PeftMixer
from .table import Target, key_table

RANK, ROUNDS = 16, 7
Size = Literal["small", "sd15", "sdxl"]
Act = Callable[[], object]
# diffusers' description of SDXL's UNet, where it is not that of SD 1.5
SDXL: Mapping[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}


def switch(size: Size = "sd15", device: str = "cpu") -> str:
    """A table of medians in milliseconds, on one thread: adapters of rank 16 on all attention layers of the UNet.

    "sd15" and "sdxl" are UNets of that size in bfloat16 with random weights, "small" is the built-in one in float32.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(bench_pipeline(size, torch.device(device)), torch.device(device), Path(folder))
        bench.measure_merged()
        bench.measure_peft()
    return bench.table()


class Bench:
    """Measures on one pipeline, with two adapters that it writes to `folder`; `medians` are milliseconds by name."""

    def __init__(self, pipeline: Any, device: torch.device, folder: Path) -> None:
        self.medians: dict[str, float] = {}
        self._pipeline = pipeline
        self._device = device
        self._layers = attention(pipeline)
        files = [write_adapter(self._layers, folder / f"bench{i}.safetensors", i) for i in range(2)]
        self._adapters = [read_adapter(file) for file in files]

    def measure_merged(self) -> None:
        """Rows in turns, so that a noisy machine is noisy for all of them."""
        bank, (first, second) = AdapterBank(self._pipeline), self._adapters
        none: list[Any] = []
        one, two, other = [(first, 0.5)], [(first, 0.5), (second, 1.0)], [(second, 1.0)]
        weights = [target.parameter.detach() for target in self._layers.values()]
        kept = [weight.clone() for weight in weights]
        webui = _WebUI(bank, self._layers, weights, kept)
        bank.set(two)  # factors and pristine copies are made here, once
        self._measure(
            {
                "plain copy of the touched weights": (lambda: torch._foreach_copy_(weights, kept), None),
                "ours: one adapter": (lambda: bank.set(one), lambda: bank.set(none)),
                "ours: one instead of another": (lambda: bank.set(one), lambda: bank.set(other)),
                "ours: two adapters": (lambda: bank.set(two), lambda: bank.set(none)),
                "ours: back to none": (lambda: bank.set(none), lambda: bank.set(one)),
                "WebUI's way: one adapter": (lambda: webui(one), lambda: bank.set(none)),
                "WebUI's way: two adapters": (lambda: webui(two), lambda: bank.set(none)),
            }
        )
        torch._foreach_copy_(weights, kept)
        step = _step(self._pipeline)
        self._measure(  # each after one that does not count: the first behind a switch finds its caches cold
            {
                "UNet step: no adapter": (step, lambda: (bank.set(none), step())),
                "UNet step: one merged": (step, lambda: (bank.set(one), step())),
                "UNet step: two merged": (step, lambda: (bank.set(two), step())),
            }
        )
        bank.set(none)

    def measure_peft(self) -> None:
        """diffusers as its users have it: load once, then fuse and unfuse, or set and pay with every step."""
        pipeline, (first, second) = self._pipeline, self._adapters
        mixes = {"one": [(first, 0.5)], "two": [(first, 0.5), (second, 1.0)]}
        peft = PeftMixer(pipeline)
        began = self._now()
        peft.set(mixes["two"])
        self.medians["diffusers: load two"] = self._now() - began
        step = _step(pipeline)
        for name, mix in mixes.items():
            peft.set(mix)
            self._measure(  # in turns: each undoes the other
                {
                    f"diffusers: fuse {name}": (pipeline.fuse_lora, None),
                    f"diffusers: unfuse {name}": (pipeline.unfuse_lora, None),
                }
            )
            self._measure(  # the base again: fusing has moved its weights, and a step costs something else
                {
                    f"UNet step: none beside {name} through PEFT": (step, lambda: (pipeline.disable_lora(), step())),
                    f"UNet step: {name} through PEFT": (step, lambda: (pipeline.enable_lora(), step())),
                }
            )
        self._measure({"diffusers: set_adapters": (lambda: peft.set(mixes["one"]), None)})

    def table(self) -> str:
        """The medians, each beside the plain copy, and the ratios that matter."""
        took = self.medians
        copy = took["plain copy of the touched weights"]
        lines = [f"{name:<50}{value:10.2f} ms {value / copy:8.2f}x" for name, value in took.items()]
        lines.append("")
        for count, name in (("one", "one adapter"), ("two", "two adapters")):
            ours, webui = took[f"ours: {name}"], took[f"WebUI's way: {name}"]
            fuse = took[f"diffusers: fuse {count}"] + took[f"diffusers: unfuse {count}"]
            merged = took[f"UNet step: {count} merged"] / took["UNet step: no adapter"]
            peft = took[f"UNet step: {count} through PEFT"] / took[f"UNet step: none beside {count} through PEFT"]
            lines.append(
                f"{name}: the WebUI's way takes {webui / ours:.1f}x ours, unfuse + fuse {fuse / ours:.1f}x; "
                f"a step {merged:.3f}x merged, {peft:.3f}x through PEFT"
            )
        return "\n".join(lines)

    def _measure(self, acts: Mapping[str, tuple[Act, Act | None]]) -> None:
        times: dict[str, list[float]] = {name: [] for name in acts}
        for _ in range(ROUNDS):
            for name, (act, before) in acts.items():
                if before is not None:
                    before()
                began = self._now()
                act()
                times[name].append(self._now() - began)
        self.medians |= {name: statistics.median(found) for name, found in times.items()}

    def _now(self) -> float:
        """Milliseconds, when the device has done all it was told."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() * 1e3


class _WebUI:
    """Restore each layer from its backup, then add one adapter after the other to the rounded weight, in float32."""

    def __init__(
        self, bank: AdapterBank, layers: Mapping[str, Target], weights: list[torch.Tensor], kept: list[torch.Tensor]
    ) -> None:
        self._bank, self._weights, self._kept = bank, weights, kept
        self._names = [target.name for target in layers.values()]

    @torch.no_grad()
    def __call__(self, mix: list[tuple[Adapter, float]]) -> None:
        changes = [(self._bank.bind(adapter).changes, strength) for adapter, strength in mix]
        for name, weight, kept in zip(self._names, self._weights, self._kept, strict=True):
            weight.copy_(kept)
            for found, strength in changes:
                change = found[name]
                assert isinstance(change, LowRank)
                added = (change.up @ change.down).view(weight.shape) * strength
                weight.copy_((weight.float() + added).to(weight.dtype))


def bench_pipeline(size: Size, device: torch.device) -> Any:
    """The built-in pipeline, its UNet replaced by one of the asked size."""
    pipeline = load_pipeline(str(BUILTIN_FOLDER / "model"), device, torch.float32)
    if size == "small":
        return pipeline
    with torch.device("meta"):
        sizes = SDXL if size == "sdxl" else {"sample_size": 64, "cross_attention_dim": 768}
        unet = UNet2DConditionModel(**sizes)
    for parameter in unet.parameters():  # not unet.to(dtype): diffusers warns of that
        parameter.data = parameter.data.to(torch.bfloat16)
    unet = unet.to_empty(device=device)
    for parameter in unet.parameters():
        parameter.data.uniform_(-0.03, 0.03)
    pipeline.unet = unet.eval()
    return pipeline


def attention(pipeline: Any) -> dict[str, Target]:
    """Kohya's spelling -> target, of every linear layer and 1x1 convolution of the UNet's attention blocks."""
    heads = ("lora_unet_down_blocks", "lora_unet_mid_block", "lora_unet_up_blocks")
    layers = {key: t for key, t in key_table(pipeline).items() if key.startswith(heads) and "attentions" in key}
    return {key: target for key, target in layers.items() if target.parameter.dim() > 1}  # norms are left out


def write_adapter(layers: Mapping[str, Target], path: Path, seed: int, rank: int = RANK) -> Path:
    """A LoRA file with random numbers for these layers."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for key, target in layers.items():
        out, inner, *kernel = target.parameter.shape
        tensors[f"{key}.lora_up.weight"] = torch.randn(out, rank, *kernel, generator=generator) * 0.01
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=generator)
        tensors[f"{key}.alpha"] = torch.tensor(float(rank))
    save_file(tensors, path)
    return path


def _step(pipeline: Any) -> Act:
    unet = pipeline.unet
    cells = unet.config.sample_size // (1 if unet.config.sample_size <= 16 else 4)
    text = torch.randn(2, 77, unet.config.cross_attention_dim)
    latents, text = (tensor.to(unet.device, unet.dtype) for tensor in (torch.randn(2, 4, cells, cells), text))
    extra = None
    if unet.config.addition_embed_type is not None:
        pooled, sizes = torch.randn(2, 1280), torch.full((2, 6), 8.0 * cells)
        extra = {"text_embeds": pooled.to(text), "time_ids": sizes.to(text)}
    time_step = torch.tensor(500, device=unet.device)

    @torch.inference_mode()
    def step() -> object:
        return unet(latents, time_step, encoder_hidden_states=text, added_cond_kwargs=extra, return_dict=False)

    return step
