"""Data-parallel training on the CPU: one process a core, gradients averaged over gloo, resumable to the same result.

Two single-threaded processes draw 1.6 times the samples of one process with two threads (measured, see README.md
here), because the model is hundreds of small operations.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

Loss = Callable[[torch.Generator, float], torch.Tensor]


class Gang:
    """This process's place among the workers of one stage."""

    def __init__(self, rank: int, size: int, seed: int) -> None:
        self.rank, self.size, self.seed = rank, size, seed

    def generator(self, step: int) -> torch.Generator:
        """Random numbers of this step on this worker, the same whether or not the run was interrupted before."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 64 + self.rank)

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.size == 1:
            return
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        offset = 0
        for gradient in gradients:
            gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
            offset += gradient.numel()


def run_gang(work: Callable[..., None], workers: int, seed: int, *args: Any) -> None:
    """Runs `work(gang, *args)` in `workers` processes and returns when all have."""
    if workers == 1:
        work(Gang(0, 1, seed), *args)
        return
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29511")
    mp.spawn(_enter, args=(work, workers, seed, args), nprocs=workers)  # type: ignore[attr-defined, no-untyped-call]


def _enter(rank: int, work: Callable[..., None], workers: int, seed: int, args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=workers)
    try:
        work(Gang(rank, workers, seed), *args)
    finally:
        dist.destroy_process_group()


def fit(
    gang: Gang,
    module: torch.nn.Module,
    loss: Loss,
    *,
    steps: int,
    rate: float,
    decay_from: float,
    checkpoint: Path,
    ema: float = 0.999,
    weight_decay: float = 0.01,
    report: Callable[[int], None] | None = None,
) -> None:
    """Trains `module` and leaves it with its averaged (EMA) weights. Picks up at `checkpoint` where a run stopped.

    The rate rises over 150 steps, holds, and falls to 2 % linearly from `decay_from` (a share of `steps`) on.
    `loss(generator, progress)` is one batch. Rank 0 writes the checkpoint and the log line every 100 steps.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)
    average = [p.detach().clone() for p in parameters]
    start = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        start = saved["step"]
        optimizer.load_state_dict(saved["optimizer"])
        _assign(parameters, saved["weights"])
        _assign(average, saved["average"])
    losses: list[float] = []
    began = time.monotonic()
    for step in range(start, steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = rate * _schedule(step, progress, decay_from)
        value = loss(gang.generator(step), progress)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        gang.average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list[torch.Tensor](parameters), 1 - min(ema, (1 + step) / (20 + step)))
        losses.append(value.item())
        if gang.rank == 0 and ((step + 1) % 100 == 0 or step + 1 == steps):
            mean = sum(losses[-100:]) / len(losses[-100:])
            pace = (time.monotonic() - began) / (step + 1 - start)
            left = pace * (steps - step - 1) / 60
            print(
                f"{checkpoint.stem} {step + 1}/{steps} loss {mean:.4f} {pace:.2f} s/step {left:.0f} min left",
                flush=True,
            )
            if not math.isfinite(mean):
                raise FloatingPointError(f"{checkpoint.stem}: the loss is {mean} at step {step + 1}")
        if gang.rank == 0 and ((step + 1) % 250 == 0 or step + 1 == steps):
            state = {
                "step": step + 1,
                "optimizer": optimizer.state_dict(),
                "weights": [p.detach() for p in parameters],
                "average": average,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            if report is not None:
                with _swapped(parameters, average):
                    report(step + 1)
    _assign(parameters, average)


class _swapped:
    """Inside the block `parameters` hold the values of `average`."""

    def __init__(self, parameters: list[torch.nn.Parameter], average: list[torch.Tensor]) -> None:
        self._parameters, self._average = parameters, average

    def __enter__(self) -> None:
        self._kept = [p.detach().clone() for p in self._parameters]
        _assign(self._parameters, self._average)

    def __exit__(self, *exc: object) -> None:
        _assign(self._parameters, self._kept)


def _assign(targets: Iterable[torch.Tensor], values: Iterable[torch.Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)


def _schedule(step: int, progress: float, decay_from: float) -> float:
    warm = min(1.0, (step + 1) / 150)
    if progress < decay_from:
        return warm
    return warm * (0.02 + 0.98 * (1 - progress) / (1 - decay_from))
