"""The WebUI's sigma tables and k-diffusion's samplers written down a second time, in float64 and one picture at a time.

By the formulas only, in lambda = -log(sigma), without a line from engine/pipeline: what both agree on is meant.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import torch

Model = Callable[[torch.Tensor, float], torch.Tensor]
Noise = Callable[[float, float], torch.Tensor]


def training_sigmas(*, zero_snr: bool = False, count: int = 1000) -> list[float]:
    """Stable Diffusion 1.x and XL: "scaled_linear" betas from 0.00085 to 0.012."""
    low, high = math.sqrt(0.00085), math.sqrt(0.012)
    product, kept = 1.0, []
    for i in range(count):
        product *= 1 - (low + (high - low) * i / (count - 1)) ** 2
        kept.append(product)
    if zero_snr:
        first, last = math.sqrt(kept[0]), math.sqrt(kept[-1])
        kept = [((math.sqrt(a) - last) * first / (first - last)) ** 2 for a in kept]
        kept[-1] = 4.8973451890853435e-08
    return [math.sqrt(1 / a - 1) for a in kept]


def at(time: float, known: list[float]) -> float:
    """Between known[i] and known[i + 1] on a line in the logarithm."""
    i = min(int(time), len(known) - 2)
    part = time - i
    return math.exp((1 - part) * math.log(known[i]) + part * math.log(known[i + 1]))


def time_of(sigma: float, known: list[float]) -> float:
    i = min(max(bisect_right(known, sigma) - 1, 0), len(known) - 2)
    part = (math.log(sigma) - math.log(known[i])) / (math.log(known[i + 1]) - math.log(known[i]))
    return i + min(max(part, 0), 1)


def spaced(start: float, end: float, count: int) -> list[float]:
    return [start + (end - start) * i / max(count - 1, 1) for i in range(count)]


def _karras(n: int, s: list[float]) -> list[float]:
    return [(s[-1] ** (1 / 7) + part * (s[0] ** (1 / 7) - s[-1] ** (1 / 7))) ** 7 for part in spaced(0, 1, n)] + [0]


def _exponential(n: int, s: list[float]) -> list[float]:
    return [s[-1] ** (1 - part) * s[0] ** part for part in spaced(0, 1, n)] + [0]


def _uniform(n: int, s: list[float]) -> list[float]:
    return [at(time, s) for time in spaced(999, 0, n)] + [0]


def _sgm_uniform(n: int, s: list[float]) -> list[float]:
    return [at(999 - 999 * i / n, s) for i in range(n)] + [0]


def _simple(n: int, s: list[float]) -> list[float]:
    return [s[999 - int(i * (1000 / n))] for i in range(n)] + [0]


def _kl_optimal(n: int, s: list[float]) -> list[float]:
    return [math.tan(i / n * math.atan(s[0]) + (1 - i / n) * math.atan(s[-1])) for i in range(n + 1)]


def _ddim(n: int, s: list[float]) -> list[float]:
    return [s[time] for time in reversed(range(1, 1000, 1000 // n))] + [0]


SCHEDULES: Mapping[str, Callable[[int, list[float]], list[float]]] = {
    "Uniform": _uniform, "Karras": _karras, "Exponential": _exponential, "Polyexponential": _exponential,
    "SGM Uniform": _sgm_uniform, "KL Optimal": _kl_optimal, "Simple": _simple, "Normal": _uniform, "DDIM": _ddim,
}  # fmt: skip


def _unipc(n: int, s: list[float]) -> list[float]:
    """log alpha is on a line between timesteps."""
    logs = [-0.5 * math.log(1 + sigma**2) for sigma in s]
    table = []
    for time in spaced(999, 0, n + 1):
        i = min(int(time), 998)
        alpha = math.exp(logs[i] + (time - i) * (logs[i + 1] - logs[i]))
        table.append(math.sqrt(1 - alpha**2) / alpha)
    return table


def _plms(n: int, s: list[float]) -> list[float]:
    return [s[1 + i * (1000 // n)] for i in reversed(range(n))] + [s[0]]


def _lcm(n: int, s: list[float]) -> list[float]:
    return [at(place, s[19::20]) for place in spaced(49, 0, n)] + [0]


AUTOMATIC: Mapping[str, Callable[[int, list[float]], list[float]]] = {
    "Euler": _uniform, "Euler a": _uniform, "Heun": _uniform, "LMS": _uniform, "DPM2": _karras, "DPM2 a": _karras,
    "DPM++ 2M": _karras, "DPM++ SDE": _karras, "DPM++ 2M SDE": _exponential, "DPM++ 2M SDE Heun": _exponential,
    "DPM++ 2S a": _karras, "DPM++ 3M SDE": _exponential, "UniPC": _unipc, "LCM": _lcm, "PLMS": _plms,
}  # fmt: skip
DISCARDING = ("DPM2", "DPM2 a", "DPM++ 3M SDE")


def table(sampler: str, schedule: str, steps: int, known: list[float]) -> list[float]:
    """What the WebUI would sample through."""
    made = SCHEDULES[schedule] if schedule else AUTOMATIC[sampler]
    if sampler not in DISCARDING:
        return made(steps, known)
    longer = made(steps + 1, known)
    return longer[:-2] + longer[-1:]


def split(start: float, end: float, eta: float) -> tuple[float, float]:
    """k-diffusion's get_ancestral_step: (sigma_down, sigma_up)."""
    up = min(end, eta * (end**2 * (start**2 - end**2) / start**2) ** 0.5)
    return (end**2 - up**2) ** 0.5, up


def sample(name: str, model: Model, x: torch.Tensor, s: list[float], noise: Noise, eta: float) -> torch.Tensor:
    """The result of k-diffusion's sampler `name` on sigmas `s`."""
    past: list[Any] = []
    for i in range(len(s) - 1):
        x = _STEPS[name](model, x, s, i, noise, eta, past)
    return x


def _euler(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    down, up = split(s[i], s[i + 1], eta)
    x = x + (x - model(x, s[i])) / s[i] * (down - s[i])
    return x + noise(s[i], s[i + 1]) * up if s[i + 1] > 0 else x


def _heun(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    d = (x - model(x, s[i])) / s[i]
    ahead = x + d * (s[i + 1] - s[i])
    if s[i + 1] == 0:
        return ahead
    return x + (d + (ahead - model(ahead, s[i + 1])) / s[i + 1]) / 2 * (s[i + 1] - s[i])


def _dpm_2(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    down, up = split(s[i], s[i + 1], eta)
    d = (x - model(x, s[i])) / s[i]
    if down == 0:
        return x + d * (down - s[i])
    middle = math.exp((math.log(s[i]) + math.log(down)) / 2)
    between = x + d * (middle - s[i])
    return x + (between - model(between, middle)) / middle * (down - s[i]) + noise(s[i], s[i + 1]) * up


def _lms(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    past.append((x - model(x, s[i])) / s[i])
    order = min(i + 1, 4)
    pieces = 20  # of Simpson's rule, which is exact for these cubics
    for j in range(order):

        def basis(tau: float, j: int = j) -> float:
            return math.prod((tau - s[i - k]) / (s[i - j] - s[i - k]) for k in range(order) if k != j)

        width = (s[i + 1] - s[i]) / pieces
        edges = [s[i] + width * p for p in range(pieces + 1)]
        area = sum((basis(a) + 4 * basis(a + width / 2) + basis(a + width)) * width / 6 for a in edges[:-1])
        x = x + area * past[-1 - j]
    return x


def _towards(x: Any, denoised: Any, start: float, end: float) -> Any:
    """The exact solution in lambda for a denoised picture that stays."""
    if end == 0:
        return denoised
    h = math.log(start) - math.log(end)
    return math.exp(-h) * x - math.expm1(-h) * denoised


def _2s(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    down, up = split(s[i], s[i + 1], eta)
    denoised = model(x, s[i])
    if down > 0:
        middle = math.exp((math.log(s[i]) + math.log(down)) / 2)
        denoised = model(_towards(x, denoised, s[i], middle), middle)
    x = _towards(x, denoised, s[i], down)
    return x + noise(s[i], s[i + 1]) * up if s[i + 1] > 0 else x


def _sde(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    denoised = model(x, s[i])
    if s[i + 1] == 0:
        return denoised
    middle = math.exp((math.log(s[i]) + math.log(s[i + 1])) / 2)
    down, up = split(s[i], middle, eta)
    inner = _towards(x, denoised, s[i], down) + noise(s[i], middle) * up
    down, up = split(s[i], s[i + 1], eta)
    return _towards(x, model(inner, middle), s[i], down) + noise(s[i], s[i + 1]) * up


def _2m(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    past.append(model(x, s[i]))
    if i == 0 or s[i + 1] == 0:
        return _towards(x, past[-1], s[i], s[i + 1])
    h, last = math.log(s[i] / s[i + 1]), math.log(s[i - 1] / s[i])
    r = last / h
    return _towards(x, (1 + 1 / (2 * r)) * past[-1] - 1 / (2 * r) * past[-2], s[i], s[i + 1])


def _noisy(x: Any, s: list[float], i: int, noise: Noise, eta: float) -> Any:
    h = math.log(s[i] / s[i + 1])
    return x + noise(s[i], s[i + 1]) * s[i + 1] * math.sqrt(1 - math.exp(-2 * eta * h))


def _2m_sde(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any], heun: bool) -> Any:
    past.append(model(x, s[i]))
    if s[i + 1] == 0:
        return past[-1]
    h = math.log(s[i] / s[i + 1])
    z = h + eta * h
    x = math.exp(-z) * x + (1 - math.exp(-z)) * past[-1]
    if i > 0:
        slope = (past[-1] - past[-2]) / (math.log(s[i - 1] / s[i]) / h)
        x = x + (((1 - math.exp(-z)) / -z + 1) if heun else 0.5 * (1 - math.exp(-z))) * slope
    return _noisy(x, s, i, noise, eta)


def _3m_sde(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    past.append(model(x, s[i]))
    if s[i + 1] == 0:
        return past[-1]
    h = math.log(s[i] / s[i + 1])
    z = h * (eta + 1)
    phi_2 = (math.exp(-z) - 1) / z + 1
    phi_3 = phi_2 / z - 0.5
    x = math.exp(-z) * x + (1 - math.exp(-z)) * past[-1]
    if i == 1:
        x = x + phi_2 * (past[-1] - past[-2]) / (math.log(s[0] / s[1]) / h)
    elif i > 1:
        r0, r1 = math.log(s[i - 1] / s[i]) / h, math.log(s[i - 2] / s[i - 1]) / h
        first, second = (past[-1] - past[-2]) / r0, (past[-2] - past[-3]) / r1
        d1 = first + (first - second) * r0 / (r0 + r1)
        d2 = (first - second) / (r0 + r1)
        x = x + phi_2 * d1 - phi_3 * d2
    return _noisy(x, s, i, noise, eta)


def _lcm_step(model: Model, x: Any, s: list[float], i: int, noise: Noise, eta: float, past: list[Any]) -> Any:
    denoised = model(x, s[i])
    return denoised + s[i + 1] * noise(s[i], s[i + 1]) if s[i + 1] > 0 else denoised


_STEPS: Mapping[str, Callable[..., Any]] = {
    "euler": _euler, "heun": _heun, "dpm_2": _dpm_2, "lms": _lms, "dpmpp_2s": _2s, "dpmpp_sde": _sde, "dpmpp_2m": _2m,
    "dpmpp_2m_sde": lambda *a: _2m_sde(*a, heun=False), "dpmpp_2m_sde_heun": lambda *a: _2m_sde(*a, heun=True),
    "dpmpp_3m_sde": _3m_sde, "lcm": _lcm_step,
}  # fmt: skip
