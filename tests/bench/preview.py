"""What previews cost, and the factors of the built-in model's: `python -m tests.bench.preview`."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from engine import EngineConfig, Request
from engine.builtin.sheets import PROMPTS
from engine.pipeline.image import to_pixels
from engine.pipeline.preview import preview
from engine.pipeline.vae import Vae
from engine.renderer import Renderer

ROUNDS = 15


class Overheard(Vae):
    """Remembers what it decoded, cell by cell: latents and the mean colour that came of them."""

    def __init__(self, module: object) -> None:
        super().__init__(module)
        self.cells: list[torch.Tensor] = []
        self.colours: list[torch.Tensor] = []

    def decode(self, latents: torch.Tensor) -> object:  # type: ignore[override]
        picture = super().decode(latents)
        self.cells.append(latents.permute(0, 2, 3, 1).reshape(-1, 4).float())
        self.colours.append(F.avg_pool2d(to_pixels(picture), self.factor).permute(0, 2, 3, 1).reshape(-1, 3))
        return picture


def fitted() -> tuple[torch.Tensor, float]:
    """The factors (5, 3), the last row added, and the share of the colours' variance that they explain (R squared)."""
    renderer = Renderer(EngineConfig(preview_every=0))
    vae = renderer._model.vaes[""] = Overheard(renderer._model.pipeline.vae)
    for seed, prompt in enumerate(PROMPTS):
        request = Request(prompt=prompt, seed=seed, steps=8, sampler="DPM++ 2M")
        renderer.run(request, lambda progress: None, lambda: False)
    cells, colours = torch.cat(vae.cells), torch.cat(vae.colours)
    known = torch.cat([cells, torch.ones(len(cells), 1)], dim=1)
    factors = torch.linalg.lstsq(known, colours).solution
    left = (colours - known @ factors).square().sum() / (colours - colours.mean(0)).square().sum()
    return factors, 1 - float(left)


def main() -> None:
    torch.set_num_threads(1)
    factors, explained = fitted()
    print(f"built-in factors, R² {explained:.3f}:", [[round(value, 4) for value in row] for row in factors.tolist()])
    vae = Vae(Renderer(EngineConfig(preview_every=0))._model.pipeline.vae)

    def by_vae(latents: torch.Tensor) -> object:
        """As previews were made before: decoded at 128 pixels."""
        return vae.decode(F.adaptive_avg_pool2d(latents, (16, 16))).save(io.BytesIO(), "JPEG", quality=80)

    for side in (128, 512, 1024):
        latents = torch.randn(1, 4, side // 8, side // 8)
        linear = _median(lambda: preview(latents, "built-in"))  # noqa: B023  called before the next round
        decoded = _median(lambda: by_vae(latents))  # noqa: B023
        print(f"{side:>5} px: linear {linear:6.2f} ms, decoded at 128 px by the built-in VAE {decoded:6.2f} ms")


def _median(act: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
