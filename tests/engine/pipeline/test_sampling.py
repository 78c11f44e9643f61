"""Rows and their guidance, with a UNet that says what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.pipeline.conditioning import Conditioning, Embedding
from engine.pipeline.noise import Noise
from engine.pipeline.samplers import make_scheduler
from engine.pipeline.sampling import Row, denoise, new_row

from .test_schedules import STABLE_DIFFUSION

CPU = torch.device("cpu")
SHAPE = (1, 4, 4, 4)


def saying(value: float, dtype: torch.dtype = torch.float32) -> Embedding:
    return Embedding(torch.full((1, 77, 2), value, dtype=dtype))


class Unet:
    """Predicts the number that its text holds, everywhere, and writes down what it was asked."""

    def __init__(self) -> None:
        self.texts: list[list[float]] = []
        self.dtypes: set[torch.dtype] = set()

    def __call__(
        self, x: torch.Tensor, time: torch.Tensor, *, encoder_hidden_states: torch.Tensor, **options: Any
    ) -> tuple[torch.Tensor]:
        said = encoder_hidden_states[:, 0, 0]
        self.texts.append(said.tolist())
        self.dtypes.add(x.dtype)
        return (said[:, None, None, None].expand(x.shape).to(x.dtype),)


def row(
    sampler: str,
    positive: Sequence[Conditioning],
    *,
    cfg: float = 4.0,
    steps: int = 4,
    strength: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Row:
    return new_row(
        noise=Noise(1, SHAPE, CPU),
        scheduler=make_scheduler(sampler, STABLE_DIFFUSION),
        steps=steps,
        device=CPU,
        dtype=dtype,
        start=None if strength is None else torch.ones(SHAPE, dtype=dtype),
        strength=strength or 0.0,
        positive=positive,
        negative=[Conditioning(steps, ((saying(0.0, dtype), 1.0),))],
        empty=saying(0.0, dtype),
        cfg=cfg,
    )


def drawn(one: Row, unet: Unet) -> torch.Tensor:
    return denoise(unet, [one], lambda text: {}, lambda step, steps, latents: None)


def test_a_prompt_changes_by_step_also_where_a_step_asks_twice() -> None:
    """[a:b:0.5] of four steps: Heun asks seven times, the first four of them for a."""
    unet = Unet()
    first, second = (((saying(value), 1.0),) for value in (1.0, 2.0))
    drawn(row("Heun", [Conditioning(2, first), Conditioning(4, second)]), unet)
    assert [texts[1] for texts in unet.texts] == [1, 1, 1, 1, 2, 2, 2]


def test_and_is_guided_from_the_negative_prompt_also_at_a_cfg_of_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """u + sum of w_i * cfg * (c_i - u): 0 + 1 * 3 - 1 * 2; a single prompt at cfg 1 asks for no negative one."""
    both = [Conditioning(4, ((saying(3.0), 1.0), (saying(2.0), -1.0)))]
    for positive, asked, meant in ((both, [0, 3, 2], 1.0), ([Conditioning(4, ((saying(3.0), 1.0),))], [3], 3.0)):
        one, unet, told = row("Euler", positive, cfg=1.0), Unet(), []
        monkeypatch.setattr(one, "scheduler", recording(one.scheduler, told))
        drawn(one, unet)
        assert unet.texts == [asked] * 4
        assert all((guided == meant).all() for guided in told)


def recording(scheduler: Any, told: list[torch.Tensor]) -> Any:
    def step(guided: torch.Tensor, *others: Any) -> Any:
        told.append(guided)
        return scheduler.step(guided, *others)

    return SimpleNamespace(step=step, scale_model_input=scheduler.scale_model_input, order=scheduler.order)


def test_samplers_work_in_float32_whatever_the_model_does() -> None:
    """The UNet gets its own precision and the result has it."""
    unet = Unet()
    positive = [Conditioning(4, ((saying(1.0, torch.float16), 1.0),))]
    one = row("DPM++ 2M", positive, dtype=torch.float16)
    assert one.latents.dtype == torch.float32
    assert drawn(one, unet).dtype == torch.float16
    assert unet.dtypes == {torch.float16}


@pytest.mark.parametrize(("strength", "steps"), [(0.0, 0), (0.1, 3), (0.6, 13), (1.0, 20)])
def test_image_to_image_takes_the_webuis_steps(strength: float, steps: int) -> None:
    """One more than that part of 20, all of them at 1, and none at 0, which keeps the picture."""
    one = row("DPM++ 2M", [Conditioning(20, ((saying(1.0), 1.0),))], steps=20, strength=strength)
    assert len(one.timesteps) == steps
    if not steps:
        assert torch.equal(one.latents, torch.ones(SHAPE))


def test_what_a_preview_shows_is_the_picture_as_it_looks_now() -> None:
    """Not the noisy latents, which move: of a model that always sees the same noise it is the same at every step."""
    one = row("Euler", [Conditioning(4, ((saying(1.0), 1.0),))], cfg=1.0)
    shown: list[torch.Tensor] = []
    denoise(Unet(), [one], lambda text: {}, lambda step, steps, latents: shown.append(latents))
    assert len(shown) == 4
    assert all(torch.allclose(latents, shown[0], atol=1e-4) for latents in shown)
