"""How much work a request is: its passes, its cost before anything is drawn, its progress while it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .types import Emit, Progress, Request

USUAL_SIDE = 512  # pixels, where the request leaves the size to the model
SECONDS_A_STEP = 0.1  # at the usual size; only the proportions matter, who waits learns the real pace


@dataclass(frozen=True, slots=True)
class Pass:
    """`steps` steps over `pixels` pixels."""

    steps: int
    pixels: int


def passes(request: Request) -> tuple[Pass, ...]:
    """One a picture, two with hires fix; for a grid those of every cell, in order."""
    if request.grid is not None:
        return tuple(one for cell in request.grid.cells(request) for one in passes(cell))
    width, height = request.width or USUAL_SIDE, request.height or USUAL_SIDE
    kept = 1.0 if request.image is None else request.strength
    first = Pass(max(1, int(request.steps * kept)), width * height)
    hires = request.hires
    if hires is None:
        return (first,)
    steps = (hires.steps or request.steps) if hires.strength else 0
    return first, Pass(steps, hires.side(width) * hires.side(height))


def cost(request: Request) -> float:
    """Seconds of work, in proportion: steps times pixels times pictures, over all passes and cells."""
    work = sum(one.steps * one.pixels for one in passes(request))
    return SECONDS_A_STEP * work * request.count / USUAL_SIDE**2


class Meter:
    """One progress over all passes of a request. A step counts as it was ordered, whatever a sampler makes of it."""

    def __init__(self, request: Request, emit: Emit) -> None:
        self._emit = emit
        self._total = sum(one.steps for one in passes(request))
        self._before = self._planned = 0
        self._told = Progress(0, self._total)

    def repeat(self, times: int) -> None:
        """What is drawn next is drawn so many times over: pictures of different mixes take turns."""
        self._total *= times

    def begin(self, planned: Pass) -> None:
        """The pass before is done, and this one begins."""
        self._before += self._planned
        self._planned = planned.steps

    def mark(self) -> tuple[int, int]:
        """This place, for `back`."""
        return self._before, self._planned

    def back(self, mark: tuple[int, int]) -> None:
        """What was drawn since that place is drawn again."""
        self._before, self._planned = mark

    def tell(self, step: int, steps: int, preview: bytes | None) -> None:
        """`step` of the `steps` of this pass is done."""
        self._told = Progress(self._before + self._planned * step // steps, self._total)
        self._emit(replace(self._told, preview=preview))

    def alive(self) -> None:
        """What was told last is told again: something goes on that is no step of the request."""
        self._emit(self._told)
