"""How long a picture takes on one core, beside diffusers' own pipeline: `python -m tests.bench.generation`.

Exits 1 where ours takes more than 3 % longer, by the medians.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from engine import AdapterUse, EngineConfig, Request
from engine.config import BUILTIN_FOLDER
from engine.pipeline.load import load_pipeline
from engine.renderer import Renderer

ROUNDS = 9
MOST = 1.03  # times as long as diffusers' own call
THEIRS, OURS = "diffusers' pipeline, 20 steps", "ours, 20 steps"


def main() -> int:
    torch.set_num_threads(1)
    renderer = Renderer(EngineConfig(preview_every=0))
    pipeline = load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)

    def ours(steps: int, *adapters: AdapterUse) -> Callable[[], object]:
        request = Request(prompt="a red flower", seed=1, steps=steps, adapters=adapters)
        return lambda: renderer.run(request, lambda progress: None, lambda: False)

    def theirs(steps: int) -> Callable[[], object]:
        return lambda: pipeline(
            "a red flower", num_inference_steps=steps, guidance_scale=4.0, generator=torch.Generator().manual_seed(1)
        )

    acts = {
        THEIRS: theirs(20),
        OURS: ours(20),
        "ours, 12 steps": ours(12),
        "ours, 20 steps, ink 0.5 + light 1": ours(20, AdapterUse("ink", 0.5), AdapterUse("light")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):  # in turns, so that a noisy machine is noisy for all
        for name, act in acts.items():
            began = time.perf_counter()
            act()
            seconds[name].append(time.perf_counter() - began)
    reference = statistics.median(seconds[THEIRS])
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"{name:<36} median {median:5.2f} s  worst {max(times):5.2f} s  {median / reference:5.2f}x")
    return 0 if statistics.median(seconds[OURS]) <= MOST * reference else 1


if __name__ == "__main__":
    sys.exit(main())
