"""What is random about one picture, all of it told by seeds and equal on every device.

Sources: "CPU" is PyTorch's CPU generator; "NV" is what `torch.randn` gives on an NVIDIA card, worked out without one
(Philox 4x32-10, Salmon et al. 2011, and Box-Muller as cuRAND does it). Noise is float32, first and later draws, the
variation's slerp and the Brownian tree are those of AUTOMATIC1111's WebUI (rng.py, rng_philox.py) and of torchsde,
which k-diffusion takes for its SDE samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

Shape = tuple[int, ...]
Between = Callable[[float, float], torch.Tensor]  # standard normal noise for a step from one sigma to the next

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_UNIT = float(np.float32(2.3283064e-10))  # 2 ** -32, as cuRAND has it in float32
_TURN = float(np.float32(2.3283064e-10 * 6.2831855))
_DIGITS = 6  # decimal places of a sigma, where torchsde ends its search
_POOL = 24  # words of entropy in a tree's seed sequence, k-diffusion's by way of torchsde


class Source(Protocol):
    """A stream of standard normal numbers."""

    def draw(self, shape: Shape) -> torch.Tensor: ...


class CpuSource:
    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self, shape: Shape) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator)


class PhiloxSource:
    """Draw n of a CUDA generator: every number has a thread of its own, and only the first of its four is used."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def draw(self, shape: Shape) -> torch.Tensor:
        first, second = philox(self._seed, self._drawn, math.prod(shape))
        self._drawn += 1
        radius = np.sqrt(-2.0 * np.log(first * _UNIT + _UNIT / 2))
        return torch.from_numpy((radius * np.sin(second * _TURN + _TURN / 2)).astype(np.float32).reshape(shape))


def source(kind: str, seed: int) -> Source:
    """`kind` is one of NOISES."""
    return PhiloxSource(seed) if kind == "NV" else CpuSource(seed)


class Noise:
    """The noise of one row. `shape` is (1, channels, height, width); whatever comes out is float32 on `device`.

    `ensd` (eta noise seed delta) is added to the seed for all draws but the first. With a `variation_strength` the
    first noise lies that far on the way to the noise of `variation_seed`.
    """

    def __init__(
        self,
        seed: int,
        shape: Shape,
        device: torch.device,
        *,
        kind: str = "CPU",
        ensd: int = 0,
        variation_seed: int = 0,
        variation_strength: float = 0.0,
    ) -> None:
        self._seed, self._shape, self._device, self._kind = seed, shape, device, kind
        self._variation = (variation_seed, variation_strength)
        self._first = source(kind, seed)
        self._later = source(kind, seed + ensd) if ensd else self._first

    def first(self) -> torch.Tensor:
        """What the picture starts from; to be called once, before `next`."""
        noise = self._first.draw(self._shape)
        seed, strength = self._variation
        if strength:
            noise = slerp(noise, source(self._kind, seed).draw(self._shape), strength)
        return noise.to(self._device)

    def next(self) -> torch.Tensor:
        """What an ancestral step adds."""
        return self._later.draw(self._shape).to(self._device)

    def brownian(self, low: float, high: float) -> Between:
        """Noise of SDE samplers between sigmas `low` and `high`: steps that overlap share their part of one path."""
        tree = BrownianTree(self._kind, self._seed, self._shape, low, high)

        def between(sigma: float, following: float) -> torch.Tensor:
            return tree.normal(sigma, following).to(self._device)

        return between


class BrownianTree:
    """A Brownian path over [low, high] that its seed alone tells, however it is asked (torchsde's BrownianTree).

    Every midpoint of the dyadic tree has a seed of its own: a value is found by halving until the place is met.
    """

    def __init__(self, kind: str, seed: int, shape: Shape, low: float, high: float) -> None:
        self._kind, self._seed, self._shape = kind, seed, shape
        self._low, self._high = _rounded(low), _rounded(high)
        self._end = self._draw(np.random.SeedSequence(seed, pool_size=_POOL)) * math.sqrt(high - low)
        self._known: dict[float, torch.Tensor] = {}

    def normal(self, start: float, end: float) -> torch.Tensor:
        """The path's change from sigma `start` to `end`, divided by its standard deviation."""
        before, after = (self._at(min(max(_rounded(place), self._low), self._high)) for place in (start, end))
        return (after - before) / math.sqrt(abs(end - start))

    def _at(self, place: float) -> torch.Tensor:
        if place not in self._known:
            earlier = list(self._known.items())[-1:]  # steps join, so one place is asked for again
            self._known = dict([*earlier, (place, self._found(place))])
        return self._known[place]

    def _found(self, place: float) -> torch.Tensor:
        start, end = self._low, self._high
        left, right = torch.zeros(self._shape), self._end
        key = depth = 0
        while place not in (start, end):
            middle = round(0.5 * (start + end), _DIGITS)
            before, after, whole = middle - start, end - middle, end - start
            seeds = np.random.SeedSequence(self._seed, spawn_key=(key, depth), pool_size=_POOL)
            bend = math.sqrt(before * after / whole)
            value = torch.lerp(left, right, before / whole).add_(self._draw(seeds), alpha=bend)
            if place <= middle:
                end, right = middle, value
            else:
                start, left = middle, value
            key, depth = 2 * key + (place > middle), depth + 1
        return left if place == start else right

    def _draw(self, seeds: np.random.SeedSequence) -> torch.Tensor:
        return source(self._kind, int(seeds.generate_state(1)[0])).draw(self._shape)


def philox(seed: int, offset: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first two words (count,) of Philox 4x32-10 for the counters (offset, 0, i, 0), under the key `seed`."""
    c0, c1, c2, c3 = (np.full(count, value, dtype=np.uint64) for value in (offset, 0, 0, 0))
    c2 = np.arange(count, dtype=np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (second >> half) ^ c1 ^ np.uint64(k0), second & low
        c2, c3 = (first >> half) ^ c3 ^ np.uint64(k1), first & low
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1


def slerp(low: torch.Tensor, high: torch.Tensor, part: float) -> torch.Tensor:
    """The way along the arc from `low` (0) to `high` (1), both (1, channels, height, width).

    As the WebUI has it, every column of a channel is a vector of its own.
    """
    cosine = torch.nn.functional.cosine_similarity(low, high, dim=2, eps=0).unsqueeze(2)
    if cosine.mean() > 0.9995:  # as good as parallel: the arc has no plane
        return torch.lerp(low, high, part)
    angle = torch.acos(cosine)
    mixed: torch.Tensor = (torch.sin((1 - part) * angle) * low + torch.sin(part * angle) * high) / torch.sin(angle)
    return mixed


def _rounded(sigma: float) -> float:
    """A level as the tree knows it. The WebUI's sigmas are float32."""
    return round(float(np.float32(sigma)), _DIGITS)
