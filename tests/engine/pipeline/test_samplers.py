"""Samplers with the built-in model: diffusers' pixels where diffusers has the same, seeds, eta, v, rescale."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from engine import SAMPLERS, EngineConfig, Request
from engine.pipeline.noise import BrownianTree, Noise
from engine.pipeline.samplers import make_scheduler
from engine.pipeline.sampling import rescaled
from engine.renderer import Renderer

from . import kdiffusion
from .test_schedules import STABLE_DIFFUSION, ZERO_SNR

CPU = torch.device("cpu")
SMALL = Request(prompt="a red flower", seed=7, steps=3, width=64, height=64)
NOISY = tuple(name for name in SAMPLERS if name.endswith(" a") or "SDE" in name or name == "LCM")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0))


@pytest.fixture
def pipeline(builtin: Any) -> Iterator[Any]:
    """diffusers' own pipeline, whose scheduler may be changed."""
    own = builtin.scheduler
    yield builtin
    builtin.scheduler = own


def pictures(renderer: Renderer, request: Request) -> list[np.ndarray]:
    result = renderer.run(request, lambda progress: None, lambda: False)
    return [np.asarray(Image.open(io.BytesIO(picture.png))).astype(int) for picture in result.pictures]


def theirs(pipeline: Any, request: Request, **options: Any) -> np.ndarray:
    drawn = pipeline(
        request.prompt,
        num_inference_steps=request.steps,
        guidance_scale=4.0,
        width=request.width,
        height=request.height,
        generator=torch.Generator().manual_seed(request.seed),
        **options,
    )
    return np.asarray(drawn.images[0]).astype(int)


LINSPACE = {"timestep_spacing": "linspace"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "schedule", "steps", "kind", "options"),
    # linspace meets whole timesteps with 10 steps to both ends, with 9 to the upper end: diffusers rounds nothing.
    # Not here: diffusers' LMS needs scipy, its PNDM averages velocities where the WebUI's PLMS averages noise, and its
    # DPM-Solver starts from noise of variance 1 where k-diffusion multiplies by sigma.
    [
        ("Euler", "", 10, "EulerDiscreteScheduler", LINSPACE),
        ("Euler", "Karras", 5, "EulerDiscreteScheduler", LINSPACE | {"use_karras_sigmas": True}),
        ("Euler", "Exponential", 5, "EulerDiscreteScheduler", LINSPACE | {"use_exponential_sigmas": True}),
        ("Euler a", "", 10, "EulerAncestralDiscreteScheduler", LINSPACE),
        ("Heun", "", 10, "HeunDiscreteScheduler", LINSPACE),
        ("UniPC", "", 9, "UniPCMultistepScheduler", LINSPACE
         | {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    ],
)  # fmt: skip
def test_the_pixels_are_diffusers_where_diffusers_has_the_same(
    renderer: Renderer, pipeline: Any, sampler: str, schedule: str, steps: int, kind: str, options: dict[str, Any]
) -> None:
    """Up to diffusers' levels in float32: next to no value differs, and none by more than one of 255."""
    request = replace(SMALL, sampler=sampler, schedule=schedule, steps=steps)
    pipeline.scheduler = getattr(diffusers, kind).from_config(pipeline.scheduler.config, **options)
    difference = np.abs(pictures(renderer, request)[0] - theirs(pipeline, request))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_an_eta_gives_diffusers_pixels(renderer: Renderer, pipeline: Any, eta: float) -> None:
    """To the pixel, as DDIM without."""
    request = replace(SMALL, eta=eta)
    assert (pictures(renderer, request)[0] == theirs(pipeline, request, eta=eta)).all()


def test_cfg_rescale_gives_diffusers_pixels(renderer: Renderer, pipeline: Any) -> None:
    """Lin et al. 2023, as diffusers' guidance_rescale."""
    request = replace(SMALL, cfg_rescale=0.7)
    difference = np.abs(pictures(renderer, request)[0] - theirs(pipeline, request, guidance_rescale=0.7))
    assert difference.max() <= 1
    assert (pictures(renderer, request)[0] != pictures(renderer, SMALL)[0]).any()


def test_cfg_rescale_brings_the_contrast_back() -> None:
    """By the whole at 1, by nothing at 0."""
    wanted = torch.randn(1, 4, 8, 8)
    assert torch.allclose(rescaled(wanted * 3, wanted, 1.0), wanted, atol=1e-6)
    assert torch.equal(rescaled(wanted * 3, wanted, 0.0), wanted * 3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_picture_does_not_depend_on_its_place_in_the_batch(renderer: Renderer, sampler: str) -> None:
    """Seed 8 alone is picture 2 of seed 7, whatever noise the sampler adds on its way."""
    request = replace(SMALL, sampler=sampler, steps=2, cfg=1.0)
    assert (pictures(renderer, replace(request, count=2))[1] == pictures(renderer, replace(request, seed=8))[0]).all()


def test_variations_of_a_batch_have_one_seed_and_count_their_variation(renderer: Renderer) -> None:
    """As the WebUI; each of them can be drawn again by itself."""
    varied = replace(SMALL, variation_seed=100, variation_strength=0.3)
    first, second = pictures(renderer, replace(varied, count=2))
    assert (second == pictures(renderer, replace(varied, variation_seed=101))[0]).all()
    assert (first != second).any()
    assert (first != pictures(renderer, SMALL)[0]).any()


def test_a_variation_without_a_seed_is_given_one(renderer: Renderer) -> None:
    """The result says which, so that it can be drawn again."""
    used = renderer.run(replace(SMALL, variation_strength=0.3), lambda progress: None, lambda: False).request
    assert used.variation_seed is not None
    assert used.variation_seed != used.seed


@pytest.mark.parametrize(
    "change",
    [{"noise": "NV"}, {"eta": 0.5}, {"ensd": 31337}, {"schedule": "Simple"}, {"sampler": "Euler"}],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_reaches_the_picture(renderer: Renderer, change: dict[str, Any]) -> None:
    """Each of them changes an ancestral picture."""
    request = replace(SMALL, sampler="Euler a")
    assert (pictures(renderer, replace(request, **change))[0] != pictures(renderer, request)[0]).any()


@pytest.mark.parametrize("sampler", NOISY)
def test_an_eta_of_0_takes_the_noise_out(sampler: str) -> None:
    """Two seeds that start alike end alike; LCM, which has no eta, is the exception."""
    ends = []
    for ensd in (0, 5):
        noise = Noise(1, (1, 4, 4, 4), CPU, ensd=ensd)
        scheduler = make_scheduler(sampler, STABLE_DIFFUSION, eta=0.0)
        ends.append(walked(scheduler, noise, 3))
    assert torch.equal(*ends) == (sampler != "LCM")


def walked(scheduler: Any, noise: Noise, steps: int) -> torch.Tensor:
    """To the end with a model that says half of what it is given."""
    scheduler.set_timesteps(steps, CPU)
    latents = noise.first() * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        output = scheduler.scale_model_input(latents, time) / 2
        latents = scheduler.step(output, time, latents, noise).prev_sample
    return latents


@pytest.mark.parametrize("config", [STABLE_DIFFUSION, ZERO_SNR], ids=["plain", "zero-SNR"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_noise_velocity_and_picture_mean_the_same(sampler: str, config: dict[str, Any]) -> None:
    """A model that knows the picture gives it, by whatever it predicts, also where the first level is all noise."""
    picture = torch.linspace(-1, 1, 64).reshape(1, 4, 4, 4)
    for kind in ("v_prediction", "sample") + (("epsilon",) if config is STABLE_DIFFUSION else ()):
        noise = Noise(1, (1, 4, 4, 4), CPU)
        scheduler = make_scheduler(sampler, config | {"prediction_type": kind}, schedule="Karras")
        scheduler.set_timesteps(6, CPU)
        latents = noise.first() * scheduler.init_noise_sigma
        for call, time in enumerate(scheduler.timesteps):
            sigma = scheduler._asked[call]
            added = (latents - picture) / sigma
            signal, spread = 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)
            known = {"epsilon": added, "v_prediction": added * signal - picture * spread, "sample": picture}
            stepped = scheduler.step(known[kind], time, latents, noise)
            latents = stepped.prev_sample
            assert torch.allclose(stepped.pred_original_sample, picture, atol=2e-3)
        assert torch.allclose(latents, picture, atol=2e-3)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "DDIM"])
def test_a_start_in_the_middle_is_at_its_own_level(sampler: str) -> None:
    """The picture gets as much noise as the next call of the model expects, and the rest of the way is the same."""
    scheduler = make_scheduler(sampler, STABLE_DIFFUSION)
    scheduler.set_timesteps(6, CPU)
    levels = list(scheduler.sigmas)
    scheduler.set_begin_index(4 * scheduler.order)
    rest = scheduler.timesteps[4 * scheduler.order :]
    assert scheduler.sigmas == levels[4:]
    noise, start = Noise(1, (1, 4, 4, 4), CPU), torch.zeros(1, 4, 4, 4)
    first = noise.first()
    latents = scheduler.add_noise(start, first, rest[:1])
    assert torch.allclose(latents, first * levels[4])
    assert torch.allclose(scheduler.scale_model_input(latents, rest[0]), latents / math.hypot(1, levels[4]))
    for time in rest:  # a model that sees the noise leaves the picture
        sigma = scheduler._asked[scheduler._done]
        latents = scheduler.step(latents / sigma, time, latents, noise).prev_sample
    assert latents.abs().max() <= 5 * levels[-1] + 1e-3  # UniPC and PLMS end above 0


@pytest.mark.parametrize("schedule", ["", "Karras"])
@pytest.mark.parametrize(
    ("sampler", "function"),
    [
        ("DPM++ SDE", "dpmpp_sde"),
        ("DPM++ 2M SDE", "dpmpp_2m_sde"),
        ("DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun"),
        ("DPM++ 3M SDE", "dpmpp_3m_sde"),
    ],
)
def test_a_start_in_the_middle_has_its_noise_from_the_path_over_all_levels(
    sampler: str, function: str, schedule: str
) -> None:
    """The WebUI gives its noise all of the schedule and its sampler the end of it, in img2img and hires fix."""
    table = kdiffusion.table(sampler, schedule, 20, kdiffusion.training_sigmas())
    tree = BrownianTree("CPU", 5, (1, 4, 4, 4), table[-2], table[0])
    first = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    expected = kdiffusion.sample(
        function, lambda x, sigma: x / (1 + sigma), first * table[8], table[8:], tree.normal, eta=1.0
    )

    scheduler = make_scheduler(sampler, STABLE_DIFFUSION | {"prediction_type": "sample"}, schedule=schedule)
    scheduler.set_timesteps(20, CPU)
    scheduler.set_begin_index(8 * scheduler.order)
    rest = scheduler.timesteps[8 * scheduler.order :]
    noise = Noise(5, (1, 4, 4, 4), CPU)
    latents = scheduler.add_noise(torch.zeros(1, 4, 4, 4), noise.first(), rest[:1])
    for time in rest:
        latents = scheduler.step(latents / (1 + scheduler.level), time, latents, noise).prev_sample
    assert torch.allclose(latents, expected, atol=1e-4)
