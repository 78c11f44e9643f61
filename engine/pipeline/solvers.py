"""Samplers as the mathematics of one row: each asks for a denoised picture, gets it, and goes on.

A solver is a generator. It yields (x, sigma) where it wants the model, is sent (x, denoised) for it, and returns the
final x: so rows step together through one UNet call although each has its own state, and stop between any two.
What is sent as x is what the solver goes on with: the caller may have put parts of it back (a mask).

x is k-diffusion's variable, picture + sigma * noise (Karras et al. 2022). Solvers use nothing but arithmetic on it, so
they run on tensors of any precision, and on plain numbers to tell beforehand at which levels they will ask. The
formulas are the papers'; that they are k-diffusion's sampling.py (and the WebUI's for UniPC and PLMS) is tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Value = Any  # a tensor (1, channels, h, w), or a number
Draw = Callable[[float, float], Value]  # standard normal noise for a step from one level to another
Solver = Callable[[Value, Sequence[float], Draw, float], Generator[tuple[Value, float], tuple[Value, Value], Value]]
Run = Generator[tuple[Value, float], tuple[Value, Value], Value]


def euler(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """Euler; with `eta` ancestral. In this variable it is DDIM too (Song et al. 2020), of the same eta."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        down, up = ancestral(sigma, following, eta)
        x = x + (x - denoised) * ((down - sigma) / sigma)
        if up:
            x = x + draw(sigma, following) * up
    return x


def ddim(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    x = yield from euler(x, sigmas, draw, eta)
    return _preserving(x, sigmas)


def heun(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """Karras et al. 2022, algorithm 2, without churn."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        slope = (x - denoised) / sigma
        if following:
            ahead, denoised = yield x + slope * (following - sigma), following
            slope = (slope + (ahead - denoised) / following) / 2
        x = x + slope * (following - sigma)
    return x


def dpm_2(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver-2 (Lu et al. 2022), in the middle of log sigma; with `eta` ancestral."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        down, up = ancestral(sigma, following, eta)
        slope = (x - denoised) / sigma
        if down:
            middle = math.sqrt(sigma * down)
            between, denoised = yield x + slope * (middle - sigma), middle
            slope = (between - denoised) / middle
        x = x + slope * (down - sigma)
        if up:
            x = x + draw(sigma, following) * up
    return x


def lms(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """Linear multistep of order 4: the polynomial through the last slopes, integrated over the step."""
    slopes: list[Value] = []
    for i, (sigma, _) in enumerate(pairwise(sigmas)):
        x, denoised = yield x, sigma
        slopes = [(x - denoised) / sigma, *slopes[:3]]
        for slope, share in zip(slopes, _shares(sigmas, i, len(slopes)), strict=True):
            x = x + slope * share
    return x


def dpmpp_2s(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++(2S) (Lu et al. 2022), ancestral by `eta`."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        down, up = ancestral(sigma, following, eta)
        if down:
            middle = math.sqrt(sigma * down)
            _, denoised = yield _towards(x, denoised, middle / sigma), middle
        x = _towards(x, denoised, down / sigma)
        if up:
            x = x + draw(sigma, following) * up
    return x


def dpmpp_sde(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++ for the SDE, with its inner step in the middle."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        if following:
            middle = math.sqrt(sigma * following)
            down, up = ancestral(sigma, middle, eta)
            inner = _towards(x, denoised, down / sigma) + (draw(sigma, middle) * up if up else 0)
            _, denoised = yield inner, middle
        down, up = ancestral(sigma, following, eta)
        x = _towards(x, denoised, down / sigma)
        if up:
            x = x + draw(sigma, following) * up
    return x


def dpmpp_2m(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++(2M) (Lu et al. 2022)."""
    earlier: Value = None
    step = 0.0
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        if not following:
            return denoised
        last, step = step, math.log(sigma / following)
        aim = denoised if earlier is None else denoised + (denoised - earlier) * (step / (2 * last))
        x = _towards(x, aim, following / sigma)
        earlier = denoised
    return x


def dpmpp_2m_sde(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++(2M) for the SDE, by midpoint."""
    return _multistep_sde(x, sigmas, draw, eta, lambda step: -math.expm1(-step) / 2)


def dpmpp_2m_sde_heun(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++(2M) for the SDE, by Heun's rule."""
    return _multistep_sde(x, sigmas, draw, eta, lambda step: math.expm1(-step) / step + 1)


def dpmpp_3m_sde(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """DPM-Solver++(3M) for the SDE, Katherine Crowson's."""
    known: list[Value] = []
    steps: list[float] = []
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        if not following:
            return denoised
        known, steps = [denoised, *known[:2]], [math.log(sigma / following), *steps[:2]]
        long = steps[0] * (eta + 1)
        second = math.expm1(-long) / long + 1
        x = _towards(x, denoised, math.exp(-long))
        if len(known) > 1:
            near = (known[0] - known[1]) * (steps[0] / steps[1])
            if len(known) > 2:
                bend = (near - (known[1] - known[2]) * (steps[0] / steps[2])) * (steps[0] / (steps[1] + steps[2]))
                near = near + bend * (steps[1] / steps[0])
                x = x - bend * (second / long - 0.5)
            x = x + near * second
        if eta:
            x = x + draw(sigma, following) * (following * math.sqrt(-math.expm1(-2 * eta * steps[0])))
    return x


def unipc(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """UniPC of order 3 with B(h) = h, data prediction (Zhao et al. 2023): predict, ask, correct."""
    x, denoised = yield x, sigmas[0]
    known = [denoised]
    count = len(sigmas) - 1
    for i in range(1, count + 1):
        order = min(i, 3, count + 1 - i)
        base = _towards(x, known[-1], sigmas[i] / sigmas[i - 1])
        if not sigmas[i]:
            return base
        step = math.log(sigmas[i - 1] / sigmas[i])
        ratios = [math.log(sigmas[i - 1] / sigmas[i - 1 - k]) / step for k in range(1, order)]
        bends = [(known[-1 - k] - known[-1]) / ratio for k, ratio in enumerate(ratios, 1)]
        predicted = base + _sum(bends, _unipc_shares(ratios, step)) * step
        if i == count:
            return _preserving(predicted, sigmas)
        _, denoised = yield predicted, sigmas[i]
        bends.append(denoised - known[-1])
        x = base + _sum(bends, _unipc_shares([*ratios, 1.0], step)) * step
        known.append(denoised)
    return x


def plms(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """Pseudo linear multistep (Liu et al. 2022), with one more question in its first step."""
    slopes: list[Value] = []
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        slopes = [(x - denoised) / sigma, *slopes[:3]]
        if len(slopes) == 1 and following:
            ahead, denoised = yield x + slopes[0] * (following - sigma), following
            slope = (slopes[0] + (ahead - denoised) / following) / 2
        else:
            slope = _sum(slopes, _ADAMS_BASHFORTH[len(slopes) - 1])
        x = x + slope * (following - sigma)
    return _preserving(x, sigmas)


def lcm(x: Value, sigmas: Sequence[float], draw: Draw, eta: float) -> Run:
    """Latent consistency (Luo et al. 2023): denoise, add noise anew."""
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        x = denoised + draw(sigma, following) * following if following else denoised
    return x


def asked(solver: Solver, sigmas: Sequence[float], eta: float) -> list[float]:
    """The levels at which the solver will ask, in order."""
    run = solver(0.0, sigmas, lambda sigma, following: 0.0, eta)
    levels: list[float] = []
    sent = None
    while True:
        try:
            x, sigma = run.send(sent) if sent is not None else next(run)
        except StopIteration:
            return levels
        levels.append(sigma)
        sent = (x, 0.0)


def ancestral(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """How far to step down, and how much noise to add, to come to level `following`."""
    up = min(following, eta * math.sqrt(following**2 * max(sigma**2 - following**2, 0) / sigma**2))
    return math.sqrt(following**2 - up**2), up


_ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def _multistep_sde(x: Value, sigmas: Sequence[float], draw: Draw, eta: float, second: Callable[[float], float]) -> Run:
    earlier: Value = None
    step = 0.0
    for sigma, following in pairwise(sigmas):
        x, denoised = yield x, sigma
        if not following:
            return denoised
        last, step = step, math.log(sigma / following)
        x = _towards(x, denoised, following / sigma * math.exp(-eta * step))
        if earlier is not None:
            x = x + (denoised - earlier) * (second(step * (1 + eta)) * step / last)
        if eta:
            x = x + draw(sigma, following) * (following * math.sqrt(-math.expm1(-2 * eta * step)))
        earlier = denoised
    return x


def _towards(x: Value, aim: Value, kept: float) -> Value:
    """x with `kept` of it left and the rest of the way gone to `aim`."""
    return x * kept + aim * (1 - kept)


def _preserving(x: Value, sigmas: Sequence[float]) -> Value:
    """x as samplers of the variance-preserving kind leave it, which end above 0 and have picture and noise sum to 1."""
    return x / math.sqrt(1 + sigmas[-1] ** 2)


def _sum(values: Sequence[Value], shares: Sequence[float]) -> Value:
    return sum((value * share for value, share in zip(values, shares, strict=True)), 0.0)


def _shares(sigmas: Sequence[float], i: int, order: int) -> list[float]:
    """The integrals over step i of the Lagrange polynomials on the last `order` levels (exact: two Gauss points)."""
    start, end = sigmas[i], sigmas[i + 1]
    places = [(start + end) / 2 + side * (end - start) / math.sqrt(12) for side in (-1, 1)]

    def polynomial(j: int, place: float) -> float:
        return math.prod((place - sigmas[i - k]) / (sigmas[i - j] - sigmas[i - k]) for k in range(order) if k != j)

    return [(end - start) / 2 * sum(polynomial(j, place) for place in places) for j in range(order)]


def _unipc_shares(ratios: Sequence[float], step: float) -> list[float]:
    """The weights of the bends: the solution of UniPC's linear system; its authors take 1/2 where there is but one."""
    if len(ratios) <= 1:
        return [0.5] * len(ratios)
    phi = math.expm1(-step) / -step - 1
    wanted = []
    for k in range(1, len(ratios) + 1):
        wanted.append(phi * math.factorial(k) / -step)
        phi = phi / -step - 1 / math.factorial(k + 1)
    solved: list[float] = np.linalg.solve(np.vander(ratios, increasing=True).T, np.array(wanted)).tolist()
    return solved
