"""The samplers that people know by name, each with the WebUI's settings, in the form of a diffusers scheduler.

DDIM without a schedule is diffusers' own, over the base model's own timesteps; everything else is a solver (solvers.py)
over a table of sigmas (schedules.py). On purpose different from AUTOMATIC1111's WebUI 1.10:
- DDIM and PLMS take all their steps; the WebUI leaves out the last one, from timestep 1. DDIM with a schedule is
  Euler's rule with DDIM's eta on that schedule; the WebUI's DDIM, PLMS and UniPC take no notice of a schedule.
- Prompts that change by step count steps, from 1; the WebUI counts calls of the model, two a step where a sampler makes
  two, and from 0, so that every change comes a call later there.
- Latents are float32 and tables float64 whatever the model's precision. LCM leaves out its boundary term (7e-6).
- An image to image strength of 0 keeps the picture; the WebUI takes one step.
- Missing: DPM fast and adaptive, Restart, DDIM CFG++, the schedules Align Your Steps and Beta, churn and s_noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler

from ..errors import ModelUnreadable
from . import schedules, solvers
from .noise import Noise
from .schedules import SCHEDULERS, Levels, Schedule, without_next_to_last
from .solvers import Run, Solver, asked


@dataclass(frozen=True, slots=True)
class _Sampler:
    """`schedule` is its own, for Automatic; `eta` its own, None where it adds no noise; `calls` of the model a step."""

    solver: Solver
    schedule: Schedule = schedules.uniform
    eta: float | None = None
    calls: int = 1
    brownian: bool = False  # its noise is one path over all levels, also over those that a start in the middle skips
    shortened: bool = False  # the WebUI's "discard next to last sigma"
    preserving: bool = False  # starts from noise of variance 1 at its first level, as if no picture were below it
    time: Callable[[float, Levels], float] = lambda sigma, levels: levels.time(sigma)


_KARRAS, _EXPONENTIAL = schedules.karras, schedules.exponential
_SAMPLERS: dict[str, _Sampler] = {
    "DDIM": _Sampler(solvers.ddim, eta=0.0, preserving=True),
    "Euler": _Sampler(solvers.euler),
    "Euler a": _Sampler(solvers.euler, eta=1.0),
    "Heun": _Sampler(solvers.heun, calls=2),
    "LMS": _Sampler(solvers.lms),
    "DPM2": _Sampler(solvers.dpm_2, _KARRAS, calls=2, shortened=True),
    "DPM2 a": _Sampler(solvers.dpm_2, _KARRAS, eta=1.0, calls=2, shortened=True),
    "DPM++ 2M": _Sampler(solvers.dpmpp_2m, _KARRAS),
    "DPM++ SDE": _Sampler(solvers.dpmpp_sde, _KARRAS, eta=1.0, calls=2, brownian=True),
    "DPM++ 2M SDE": _Sampler(solvers.dpmpp_2m_sde, _EXPONENTIAL, eta=1.0, brownian=True),
    "DPM++ 2M SDE Heun": _Sampler(solvers.dpmpp_2m_sde_heun, _EXPONENTIAL, eta=1.0, brownian=True),
    "DPM++ 2S a": _Sampler(solvers.dpmpp_2s, _KARRAS, eta=1.0, calls=2),
    "DPM++ 3M SDE": _Sampler(solvers.dpmpp_3m_sde, _EXPONENTIAL, eta=1.0, brownian=True, shortened=True),
    "UniPC": _Sampler(solvers.unipc, schedules.unipc, preserving=True),
    "LCM": _Sampler(solvers.lcm, schedules.lcm, time=schedules.lcm_time),
    "PLMS": _Sampler(solvers.plms, schedules.leading, preserving=True),
}


def make_scheduler(name: str, config: Any, *, schedule: str = "", eta: float | None = None) -> Any:
    """A fresh scheduler over the base model's own noise levels and prediction type.

    `name` is one of SAMPLERS, `schedule` one of SCHEDULES or "" for the sampler's own. `eta` None is the sampler's own,
    and counts for nothing where a sampler adds no noise.
    """
    if name == "DDIM" and not schedule:
        return DdimScheduler.from_config(config).with_eta(eta or 0.0)
    sampler = _SAMPLERS[name]
    own = sampler.eta if eta is None or sampler.eta is None else eta
    return SigmaScheduler(sampler, SCHEDULERS.get(schedule, sampler.schedule), own or 0.0, config)


@dataclass(frozen=True, slots=True)
class Stepped:
    """`prev_sample` is what the model sees next, or the result; `pred_original_sample` the picture as it looks now."""

    prev_sample: torch.Tensor
    pred_original_sample: torch.Tensor


class DdimScheduler(DDIMScheduler):  # type: ignore[misc]  # diffusers is untyped
    """diffusers' DDIM, with an eta, and its noise from where all noise is from."""

    eta = 0.0

    def with_eta(self, eta: float) -> DdimScheduler:
        self.eta = eta
        return self

    def step(self, output: torch.Tensor, time: torch.Tensor, sample: torch.Tensor, noise: Noise) -> Any:
        added = noise.next().to(sample.dtype) if self.eta else None
        return super().step(output, time, sample, eta=self.eta, variance_noise=added)


class SigmaScheduler:
    """A solver with diffusers' scheduler interface: one `step` a call of the model. Samples are float32.

    `timesteps` has an entry for every call, `order` calls make a step. A scheduler serves one row, once.
    """

    def __init__(self, sampler: _Sampler, schedule: Schedule, eta: float, config: Any) -> None:
        self.order = sampler.calls
        self._sampler = sampler
        self._schedule = without_next_to_last(schedule) if sampler.shortened else schedule
        self._eta = eta
        self._levels = Levels(config)
        self._denoise = _denoiser(config.get("prediction_type", "epsilon"))
        self._run: Run | None = None
        self._done = 0

    def set_timesteps(self, steps: int, device: torch.device) -> None:
        self.sigmas = self._schedule(steps, self._levels)
        self._span = min(filter(None, self.sigmas)), max(self.sigmas)
        self._device = device
        self._plan(asked(self._sampler.solver, self.sigmas, self._eta))

    def set_begin_index(self, calls: int) -> None:
        """The first `calls` entries of `timesteps` are left out: it begins at the step of the next."""
        self.sigmas = self.sigmas[calls // self.order :]
        self._plan([*self._asked[:calls], *asked(self._sampler.solver, self.sigmas, self._eta)])
        self._done = calls

    @property
    def init_noise_sigma(self) -> float:
        """What pure noise is multiplied by to start from."""
        return math.hypot(1, self.sigmas[0]) if self._sampler.preserving else self.sigmas[0]

    def add_noise(self, start: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """`start` with as much noise as there is at the one of `timesteps`."""
        place = int((self.timesteps == timesteps).nonzero()[0])
        return start + noise * self._asked[place]

    def scale_model_input(self, sample: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return sample / math.hypot(1, self._asked[self._done])

    def step(self, output: torch.Tensor, time: torch.Tensor, sample: torch.Tensor, noise: Noise) -> Stepped:
        """`sample` is the last `prev_sample`, or that with parts put back; `output` the model's for it."""
        if self._run is None:
            self._run = self._sampler.solver(sample, self.sigmas, self._draw(noise), self._eta)
            next(self._run)
        denoised = self._denoise(output.float(), sample, self._asked[self._done])
        self._done += 1
        try:
            following, _ = self._run.send((sample, denoised))
        except StopIteration as end:
            following = end.value
        return Stepped(following, denoised)

    @property
    def level(self) -> float:
        """The sigma at which the model is asked next."""
        return self._asked[self._done]

    def _plan(self, levels: Sequence[float]) -> None:
        self._asked = levels
        times = [self._sampler.time(sigma, self._levels) for sigma in levels]
        self.timesteps = torch.tensor(times, dtype=torch.float32, device=self._device)

    def _draw(self, noise: Noise) -> Callable[[float, float], torch.Tensor]:
        if self._sampler.brownian:
            return noise.brownian(*self._span)
        return lambda sigma, following: noise.next()


def level_of(scheduler: Any, time: torch.Tensor) -> float:
    """The sigma, noise over signal, at which the model is asked at `time`."""
    if isinstance(scheduler, SigmaScheduler):
        return scheduler.level
    kept = min(max(float(scheduler.alphas_cumprod[int(time)]), 1e-12), 1 - 1e-12)
    return math.sqrt((1 - kept) / kept)


Denoiser = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def _denoiser(kind: str) -> Denoiser:
    """From what the model says of x at sigma to the picture that it means (v: Salimans & Ho 2022)."""

    def of_noise(output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x - output * sigma

    def of_velocity(output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return x / (sigma**2 + 1) - output * (sigma / math.hypot(1, sigma))

    def of_picture(output: torch.Tensor, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return output

    known = {"epsilon": of_noise, "v_prediction": of_velocity, "sample": of_picture}
    if kind not in known:
        raise ModelUnreadable(f"The base model predicts {kind!r}; there are {', '.join(known)}.")
    return known[kind]
