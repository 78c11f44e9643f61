"""Which noise levels a picture is drawn through: the WebUI's schedules over the base model's own training levels.

sigma is noise over signal, sqrt((1 - a) / a) with a the cumulated alpha: k-diffusion's variable (Karras et al. 2022).
Tables are worked out in float64; the WebUI's own are rounded to float32 on the way, about 1e-5 at the lowest sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from diffusers import DDIMScheduler

from ..errors import ModelUnreadable

Sigmas = list[float]  # descending, one more than there are steps; the last is 0 unless the schedule says otherwise
_RHO = 7.0  # Karras et al. 2022
_LCM_STEPS = 50  # that latent consistency models were distilled from (Luo et al. 2023)
_ZERO_SNR = 4.8973451890853435e-08  # the last cumulated alpha of a zero-SNR model, which stands for 0, as in the WebUI


class Levels:
    """The noise levels that a base model was trained on: `sigmas` (timesteps,), ascending, float64."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        kept = _alphas(config)
        self.sigmas = np.sqrt((1 - kept) / kept)
        self._logs = np.log(self.sigmas)
        self._log_alphas = np.log(kept) / 2

    @property
    def last(self) -> int:
        return len(self.sigmas) - 1

    def sigma(self, time: float) -> float:
        """The level at a timestep, between two of them on a line in log sigma."""
        return math.exp(np.interp(time, np.arange(len(self._logs)), self._logs))

    def time(self, sigma: float) -> float:
        """The timestep of a level, fractional; beyond the ends it is the end."""
        return float(np.interp(math.log(sigma), self._logs, np.arange(len(self._logs))))

    def sigma_by_alpha(self, time: float) -> float:
        """As `sigma`, but on a line in log alpha, as DPM-Solver's and UniPC's authors have it."""
        log_alpha = float(np.interp(time, np.arange(len(self._logs)), self._log_alphas))
        return math.sqrt(math.expm1(-2 * log_alpha))


Schedule = Callable[[int, Levels], Sigmas]


def uniform(steps: int, levels: Levels) -> Sigmas:
    return [*(levels.sigma(time) for time in np.linspace(levels.last, 0, steps)), 0.0]


def sgm_uniform(steps: int, levels: Levels) -> Sigmas:
    return [*(levels.sigma(time) for time in np.linspace(levels.last, 0, steps + 1)[:-1]), 0.0]


def karras(steps: int, levels: Levels) -> Sigmas:
    low, high = (levels.sigmas[i] ** (1 / _RHO) for i in (0, -1))
    return [*(float(root) ** _RHO for root in np.linspace(high, low, steps)), 0.0]


def exponential(steps: int, levels: Levels) -> Sigmas:
    low, high = (math.log(levels.sigmas[i]) for i in (0, -1))
    return [*(math.exp(value) for value in np.linspace(high, low, steps)), 0.0]


def kl_optimal(steps: int, levels: Levels) -> Sigmas:
    """Sabour et al. 2024, equation 12. It ends at the lowest level and not at 0."""
    low, high = (math.atan(levels.sigmas[i]) for i in (0, -1))
    return [math.tan(angle) for angle in np.linspace(high, low, steps + 1)]


def simple(steps: int, levels: Levels) -> Sigmas:
    stride = len(levels.sigmas) / steps
    return [*(float(levels.sigmas[-1 - int(i * stride)]) for i in range(steps)), 0.0]


def ddim(steps: int, levels: Levels) -> Sigmas:
    """Equally far apart from the second level on; more than `steps` where that does not divide their number."""
    return [*(float(sigma) for sigma in levels.sigmas[1 :: max(len(levels.sigmas) // steps, 1)][::-1]), 0.0]


def leading(steps: int, levels: Levels) -> Sigmas:
    """The timesteps that DDIM and PLMS have on Stable Diffusion, down to the lowest level."""
    stride = len(levels.sigmas) // steps
    times = [min(i * stride + 1, levels.last) for i in reversed(range(steps))]
    return [*(float(levels.sigmas[time]) for time in times), float(levels.sigmas[0])]


def unipc(steps: int, levels: Levels) -> Sigmas:
    """UniPC's "time_uniform", down to the lowest level."""
    return [levels.sigma_by_alpha(time) for time in np.linspace(levels.last, 0, steps + 1)]


def lcm(steps: int, levels: Levels) -> Sigmas:
    """Among the levels that a latent consistency model knows, on a line in log sigma between two of them."""
    logs = np.log(_distilled(levels)[1])
    return [*np.exp(np.interp(np.linspace(len(logs) - 1, 0, steps), np.arange(len(logs)), logs)).tolist(), 0.0]


def lcm_time(sigma: float, levels: Levels) -> float:
    """The timestep nearest to `sigma` in log sigma of those that a latent consistency model knows."""
    times, known = _distilled(levels)
    return float(times[np.abs(np.log(known) - math.log(sigma)).argmin()])


def _distilled(levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    stride = len(levels.sigmas) // _LCM_STEPS
    times = np.arange(stride - 1, len(levels.sigmas), stride)
    return times, levels.sigmas[times]


SCHEDULERS: Mapping[str, Schedule] = {
    "Uniform": uniform,
    "Karras": karras,
    "Exponential": exponential,
    "Polyexponential": exponential,  # the WebUI's rho is 1, which makes it the exponential one
    "SGM Uniform": sgm_uniform,
    "KL Optimal": kl_optimal,
    "Simple": simple,
    "Normal": uniform,  # by another way of writing it
    "DDIM": ddim,
}


def without_next_to_last(schedule: Schedule) -> Schedule:
    """The schedule of one step more with its last level above the end left out, so that the last step is longer."""

    def shortened(steps: int, levels: Levels) -> Sigmas:
        sigmas = schedule(steps + 1, levels)
        return [*sigmas[:-2], sigmas[-1]]

    return shortened


def _alphas(config: Mapping[str, Any]) -> np.ndarray:
    """The cumulated alphas (timesteps,) that a diffusers scheduler's config describes, descending, in float64."""
    kept = np.cumprod(1 - _betas(config))
    if config.get("rescale_betas_zero_snr"):  # Lin et al. 2023, algorithm 1
        roots = np.sqrt(kept)
        kept = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
        kept[-1] = _ZERO_SNR
    if not (np.isfinite(kept).all() and (np.diff(kept) < 0).all() and kept[-1] > 0 and kept[0] < 1):
        raise ModelUnreadable("The base model's scheduler config describes no noise levels that grow.")
    return kept


def _betas(config: Mapping[str, Any]) -> np.ndarray:
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float64)
    start, end, count = (config[key] for key in ("beta_start", "beta_end", "num_train_timesteps"))
    kind = config["beta_schedule"]
    if kind == "linear":
        return np.linspace(start, end, count)
    if kind == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, count) ** 2
    plain = DDIMScheduler.from_config(config, rescale_betas_zero_snr=False)  # rarer kinds, in float32
    return np.asarray(plain.betas, dtype=np.float64)
