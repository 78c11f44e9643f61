"""Faults put into a real renderer, where PyTorch would have them: in a model's own call, once or always."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.renderer import Renderer

Act = Callable[[torch.Tensor], torch.Tensor]  # what comes out of the model -> what is made of it
PARTS = ("text_encoder", "unet", "vae")


def out_of_memory(output: torch.Tensor) -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def no_memory_on_the_cpu(output: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")


def not_a_number(output: torch.Tensor) -> torch.Tensor:
    """One of them is enough."""
    output = output.clone()
    output.view(-1)[output.numel() // 2] = float("nan")
    return output


def black(output: torch.Tensor) -> torch.Tensor:
    return torch.full_like(output, -1.0)


def defect(output: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (154x768 and 1024x320)")


def sticky(output: torch.Tensor) -> torch.Tensor:
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


def leave(output: torch.Tensor) -> torch.Tensor:
    raise SystemExit(1)


@dataclass
class Hang:
    """Nothing comes back until it is let go."""

    free: bool = False
    since: float = 0.0  # by the monotonic clock

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        self.since = time.monotonic()
        while not self.free:
            time.sleep(0.01)
        return output


@dataclass(frozen=True)
class Slow:
    seconds: float

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return output


@dataclass
class Door:
    """Stands at the way out of one part of the renderer's model, and does nothing until it is armed. "bank" is where
    the weights are merged, layer by layer.
    """

    renderer: Renderer
    part: str
    calls: int = 0
    hits: int = 0
    _act: Act | None = field(default=None)
    _skip: int = 0
    _left: int = 0
    _sha256: str = ""

    def __post_init__(self) -> None:
        if self.part == "bank":
            bank: Any = self.renderer._model.mixer
            keep = bank._pristine.keep
            bank._pristine.keep = lambda name, weight: self._passed(None, (), kept := keep(name, weight)) or kept
            return
        module = getattr(self.renderer._model.pipeline, self.part)
        (module.decoder if self.part == "vae" else module).register_forward_hook(self._passed)

    def arm(self, act: Act, *, skip: int = 0, times: int = 1 << 30, sha256: str = "") -> None:
        """After `skip` calls so many go wrong, of those with this adapter in the weights ("": of all)."""
        self._act, self._skip, self._left, self._sha256 = act, skip, times, sha256
        self.calls = self.hits = 0

    def disarm(self) -> None:
        self._act = None

    def _passed(self, module: Any, arguments: Any, output: Any) -> Any:
        if self._act is None or (self._sha256 and not self._is_merged()):
            return None
        self.calls += 1
        if self.calls <= self._skip or not self._left:
            return None
        self._left -= 1
        self.hits += 1
        if isinstance(output, torch.Tensor):
            return self._act(output)
        if isinstance(output, tuple):
            return (self._act(output[0]), *output[1:])
        output.last_hidden_state = self._act(output.last_hidden_state)
        return output

    def _is_merged(self) -> bool:
        """In force in the UNet at this moment, and not at the weight 0."""
        mix = self.renderer._mix or []
        return any(adapter.info.sha256 == self._sha256 and weights.unet for adapter, weights in mix)


def digest(renderer: Renderer) -> str:
    """Of every weight and buffer of the model, as they are now."""
    found = hashlib.sha256()
    for part in PARTS:
        for name, value in sorted(getattr(renderer._model.pipeline, part).state_dict().items()):
            found.update(f"{part}.{name} {value.dtype} {tuple(value.shape)}".encode())
            found.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
