"""The samplers' mathematics: against k-diffusion's formulas, diffusers' UniPC and PLMS, and a known solution."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import PNDMScheduler, UniPCMultistepScheduler

from engine.pipeline import solvers
from engine.pipeline.schedules import Levels, karras, leading, unipc

from . import kdiffusion
from .test_schedules import STABLE_DIFFUSION

LEVELS = Levels(STABLE_DIFFUSION)
SHAPE = (1, 4, 6, 6)
STOCHASTIC = ("euler", "dpm_2", "dpmpp_2s", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "lcm")
DETERMINISTIC = ("heun", "lms", "dpmpp_2m")


def drawn(start: float, end: float = 0.0) -> torch.Tensor:
    """The same noise for the same step, in whatever order it is asked for."""
    generator = torch.Generator().manual_seed(int(start * 1e6) * 31 + int(end * 1e6))
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64)


def two_humps(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The best denoiser there is for data at +1 and -1, with a spread of 0.3 around each."""
    total = 0.3**2 + sigma**2
    return (x * 0.3**2 + sigma**2 * torch.tanh(x / total)) / total


def one_hump(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The best denoiser there is for data around 0.5 with a spread of 0.7."""
    return 0.5 + 0.7**2 / (0.7**2 + sigma**2) * (x - 0.5)


def solve(name: str, sigmas: list[float], eta: float = 0.0, denoiser: Any = two_humps) -> torch.Tensor:
    run = getattr(solvers, name)(drawn(sigmas[0]) * sigmas[0], sigmas, drawn, eta)
    x, sigma = next(run)
    while True:
        try:
            x, sigma = run.send((x, denoiser(x, sigma)))
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20])
@pytest.mark.parametrize(
    ("name", "eta"),
    [*((name, 0.0) for name in DETERMINISTIC), *((name, eta) for name in STOCHASTIC for eta in (0.0, 0.6, 1.0))],
)
def test_the_updates_are_k_diffusions(name: str, eta: float, steps: int) -> None:
    """Final latents with the same injected noise, in float64, on a schedule that ends at 0 and one that does not."""
    ending = karras(steps, LEVELS)
    for sigmas in (ending, ending[:-1]):
        if len(sigmas) > 1:
            expected = kdiffusion.sample(name, two_humps, drawn(sigmas[0]) * sigmas[0], sigmas, drawn, eta)
            assert torch.allclose(solve(name, sigmas, eta), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("steps", [2, 3, 5, 20])
@pytest.mark.parametrize(
    ("name", "sigmas_of", "theirs", "options"),
    [
        ("unipc", unipc, UniPCMultistepScheduler, {"solver_order": 3, "solver_type": "bh1"}),
        ("plms", leading, PNDMScheduler, {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}),
    ],
)
def test_unipc_and_plms_are_diffusers(name: str, sigmas_of: Any, theirs: Any, options: Any, steps: int) -> None:
    """Their schedulers on the same levels, to float32; the result is in their variable, noise and picture sum to 1."""
    sigmas = sigmas_of(steps, LEVELS)
    scheduler = theirs.from_config(STABLE_DIFFUSION, **options)
    scheduler.set_timesteps(steps)
    times = scheduler.timesteps.tolist()
    levels = sigmas[:-1]
    if name == "unipc":
        scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    else:
        levels = [float(LEVELS.sigmas[time]) for time in times]
    x = drawn(sigmas[0]) * sigmas[0] / math.hypot(1, sigmas[0])
    for time, sigma in zip(times, levels, strict=True):
        inner = x * math.hypot(1, sigma)
        x = scheduler.step((inner - two_humps(inner, sigma)) / sigma, time, x).prev_sample
    assert torch.allclose(solve(name, sigmas), x, rtol=0, atol=2e-4 if steps < 4 else 2e-5)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        *(("euler", 4e-2), ("heun", 1e-3), ("dpm_2", 1e-3), ("lms", 1e-3), ("dpmpp_2s", 1e-3), ("dpmpp_2m", 2e-3)),
        *(("unipc", 1e-3), ("plms", 2e-2)),
    ],
)
def test_with_many_steps_the_equation_is_solved(name: str, bound: float) -> None:
    """Data of one hump has a known path: the distance from its middle shrinks as the spread of noise and data does."""
    sigmas = karras(150, LEVELS)[:-1]  # to the lowest level, where the methods of high order still are of that order
    start, end = (math.hypot(0.7, sigmas[i]) for i in (0, -1))
    exact = 0.5 + (drawn(sigmas[0]) * sigmas[0] - 0.5) * end / start
    if name in ("unipc", "plms"):
        exact = exact / math.hypot(1, sigmas[-1])
    assert (solve(name, sigmas, denoiser=one_hump) - exact).abs().max() < bound


def test_eta_moves_euler_to_ddim() -> None:
    """Euler's ancestral step is DDIM's step of the same eta, in the other variable (Song et al. 2020, equation 16)."""
    sigma, following, eta = 5.0, 3.0, 0.7
    kept, next_kept = 1 / (1 + sigma**2), 1 / (1 + following**2)
    expected = eta * math.sqrt((1 - next_kept) / (1 - kept) * (1 - kept / next_kept))
    assert solvers.ancestral(sigma, following, eta)[1] * math.sqrt(next_kept) == pytest.approx(expected)


def test_what_the_caller_puts_back_is_what_the_solver_goes_on_with() -> None:
    """As a mask does between steps."""
    run = solvers.euler(drawn(10.0) * 10, [10.0, 5.0, 0.0], drawn, 0.0)
    x, sigma = next(run)
    x, sigma = run.send((x, two_humps(x, sigma)))
    put_back = torch.zeros(SHAPE, dtype=torch.float64)
    with pytest.raises(StopIteration) as end:
        run.send((put_back, two_humps(put_back, sigma)))
    assert torch.equal(end.value.value, torch.zeros(SHAPE, dtype=torch.float64))


@pytest.mark.parametrize(("name", "calls"), [("euler", 4), ("heun", 7), ("dpmpp_sde", 7), ("unipc", 4), ("plms", 5)])
def test_calls_are_known_beforehand(name: str, calls: int) -> None:
    """The levels at which a solver will ask, without a model."""
    sigmas = karras(4, LEVELS)
    assert len(solvers.asked(getattr(solvers, name), sigmas, 1.0)) == calls
