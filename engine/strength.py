"""How strongly an adapter counts: over the steps of a picture, and by block of the UNet. Pure numbers.

The rules are those of the WebUI's extensions, so that a pasted prompt gives the picture it gave there: weights over the
steps as sd-webui-loractl has them, blocks and first and last steps as sd-webui-lora-block-weight.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

from .errors import BadRequest

MAX_WEIGHT = 10.0
MAX_POINTS = 32
Curve = tuple[tuple[float, float], ...]
"""(weight, place) in order of places: fractions of the picture where none is above 1, else steps. Straight lines
between them, level before the first and behind the last. () is no curve."""

BLOCKS = ("BASE", *(f"IN{i:02}" for i in range(12)), "MID", *(f"OUT{i:02}" for i in range(12)))
"""Of the text encoders (BASE) and of the original UNet code: what a list of 26 block weights means, in order."""
_INPUT, _MIDDLE, _OUTPUT = 1, 13, 14
_DEEPEST = 11
LAYOUTS: Mapping[int, tuple[str, ...]] = {  # length of a list -> the blocks it names; the others are 0
    12: ("BASE", "IN04", "IN05", "IN07", "IN08", "MID", *(f"OUT{i:02}" for i in range(6))),  # SDXL, LoRA
    17: (
        "BASE",
        "IN01",
        "IN02",
        "IN04",
        "IN05",
        "IN07",
        "IN08",
        "MID",
        *(f"OUT{i:02}" for i in range(3, 12)),
    ),  # SD 1.5
    20: ("BASE", *(f"IN{i:02}" for i in range(9)), "MID", *(f"OUT{i:02}" for i in range(9))),  # SDXL with convolutions
    26: BLOCKS,  # SD 1.5 with convolutions
}


def _runs(*runs: tuple[int, float]) -> tuple[float, ...]:
    return tuple(weight for length, weight in runs for _ in range(length))


PRESETS: Mapping[str, tuple[float, ...]] = {  # as the extension ships them: lists for LoRA on SD 1.5
    "NONE": _runs((17, 0)),
    "ALL": _runs((17, 1)),
    "INS": _runs((4, 1), (13, 0)),
    "IND": _runs((1, 1), (3, 0), (3, 1), (10, 0)),
    "INALL": _runs((7, 1), (10, 0)),
    "MIDD": _runs((1, 1), (3, 0), (8, 1), (5, 0)),
    "OUTD": _runs((1, 1), (7, 0), (4, 1), (5, 0)),
    "OUTS": _runs((1, 1), (11, 0), (5, 1)),
    "OUTALL": _runs((1, 1), (7, 0), (9, 1)),
    "ALL0.5": _runs((17, 0.5)),
}


class Weights(NamedTuple):
    """How strongly an adapter changes the UNet and the text encoders at one moment."""

    unet: float
    text: float
    blocks: tuple[float, ...] = ()  # factors in the order of BLOCKS; () is 1 everywhere
    rank: int | None = None  # so many ranks of a LoRA count, the first ones; None is all

    def of(self, component: str, block: int | None) -> float:
        """The strength in a layer of "unet" or a text encoder; `block` as `block_of` tells it."""
        weight = self.unet if component == "unet" else self.text
        return weight * self.blocks[block] if self.blocks and block is not None else weight


def block_of(component: str, module: str, layers: int) -> int | None:
    """Where in BLOCKS a module of diffusers' name is, with `layers` blocks a level (2 in every Stable Diffusion).

    None for what is in no block (the embeddings of the time, the last convolution): block weights leave it as it is.
    """
    if component != "unet":
        return 0
    part, level, kind, index = (*module.split("."), "", "", "")[:4]
    if part == "conv_in":
        return _INPUT
    if part == "mid_block":
        return _MIDDLE
    if part not in ("down_blocks", "up_blocks"):
        return None
    inner = layers if kind in ("downsamplers", "upsamplers") else int(index)
    number = int(level) * (layers + 1) + inner
    if part == "down_blocks":
        return _INPUT + min(number + 1, _DEEPEST)
    return _OUTPUT + min(number, _DEEPEST)


def blocks_of(weights: Sequence[float]) -> tuple[float, ...]:
    """A list of 12, 17, 20 or 26 weights as 26, the blocks it does not name at 0; () for all at 1. Else BadRequest."""
    layout = LAYOUTS.get(len(weights))
    if layout is None:
        raise BadRequest(f"{len(weights)} block weights; lists have {', '.join(map(str, LAYOUTS))} numbers.")
    for weight in weights:
        _check(weight, "A block weight")
    named = dict(zip(layout, map(float, weights), strict=True))
    full = tuple(named.get(block, 0.0) for block in BLOCKS)
    return () if set(full) == {1.0} else full


def shortest(blocks: tuple[float, ...]) -> tuple[float, ...]:
    """The shortest list that `blocks_of` makes these of."""
    named = dict(zip(BLOCKS, blocks, strict=True))
    lists = (tuple(named[block] for block in layout) for layout in LAYOUTS.values())
    return next(weights for weights in lists if blocks_of(weights) == blocks)


def curve_of(points: Sequence[Sequence[float]]) -> Curve:
    """The points in order of their places. Raises BadRequest: a weight out of bounds, two at one place."""
    if len(points) > MAX_POINTS:
        raise BadRequest(f"{len(points)} weights over the steps; {MAX_POINTS} is the most.")
    for weight, place in points:
        _check(weight, "A weight")
        if not (math.isfinite(place) and place >= 0):
            raise BadRequest(f"A weight at {place}; places are fractions from 0 to 1, or steps.")
    curve = tuple(sorted(((float(weight), float(place)) for weight, place in points), key=itemgetter(1)))
    for (_, first), (_, second) in pairwise(curve):
        if first == second:
            raise BadRequest(f"There are two weights at {first:g}; one is possible.")
    return curve if len(curve) != 1 else ((curve[0][0], 0.0),)


def value_at(curve: Curve, step: int, steps: int) -> float:
    """The weight of the curve at this step, counted from 1."""
    places = [place for _, place in curve]
    at: float = _counted(step)
    if places[-1] <= 1:
        at = at / (steps - 2) if steps > 2 else 0.0
    after = bisect_right(places, at)
    if after == 0 or after == len(curve):
        return curve[max(0, after - 1)][0]
    (low, left), (high, right) = curve[after - 1], curve[after]
    return low + (high - low) * (at - left) / (right - left)


def in_force(start: float | None, stop: float | None, step: int, steps: int) -> bool:
    """Whether this step, counted from 1, is behind `start` and not behind `stop`: whole steps, or fractions below 1.

    start=5 is in force from step 6 on and stop=10 up to step 10, like `[:a:5]` and `[a::10]`; start=1 is so at once.
    """
    at = _counted(step)
    begun = start is None or at >= _steps_of(start, steps) - 1
    return begun and not (stop is not None and at >= _steps_of(stop, steps) - 1)


def check_window(start: float | None, stop: float | None) -> None:
    """Raises BadRequest where these are no steps, or the last is not behind the first."""
    for value in (start, stop):
        if value is not None and not (math.isfinite(value) and value >= 0 and (value < 1 or value == int(value))):
            raise BadRequest(f"A step of {value:g}; steps are whole numbers, or fractions between 0 and 1.")
    same_unit = start is not None and stop is not None and (start < 1) == (stop < 1)
    if start is not None and stop is not None and same_unit and stop <= start:
        raise BadRequest(f"It starts at step {start:g} and stops at {stop:g}; the start must come first.")


def _counted(step: int) -> int:
    """The WebUI's step counter during this step: 0 in the first two, then one behind. Its extensions read it."""
    return max(0, step - 2)


def _steps_of(value: float, steps: int) -> float:
    return max(1, round(value * steps)) if 0 < value < 1 else value


def _check(weight: float, what: str) -> None:
    if not (math.isfinite(weight) and abs(weight) <= MAX_WEIGHT):
        raise BadRequest(f"{what} is {weight}; it must lie between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}.")
