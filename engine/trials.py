"""Drawings that are thrown away: which of the adapters makes a drawing fail or drag is seen by drawing without it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median_low

from .conduct import SLOW, Conduct, Paces, blame, slow
from .draft import Draft
from .errors import EngineFault, PictureBroken
from .pipeline.faults import out_of_memory, sticky
from .pipeline.painting import Pace
from .types import Emit, Progress
from .work import Meter

STEPS = 4  # of which the first, that warms up, is not measured
NOTICED, ENOUGH = 0.1, 4  # seconds a step, and steps: below, a busy machine looks like a slow adapter
DRAWS_NOTHING = "With it the base model draws nothing, and without it, it does."
Draw = Callable[[Draft, Emit], object]
"""Draws the draft's pictures with its mix in force, and tells of every step. Raises what it fails with."""


class _Enough(Exception):
    """A trial has shown what it was to show."""


class Trials:
    """Puts the adapters of a drawing to the test. `meter` hears that something goes on meanwhile."""

    def __init__(self, paces: Paces, draw: Draw, meter: Meter) -> None:
        self._paces, self._draw, self._meter = paces, draw, meter

    def blamed(self, draft: Draft, error: Exception) -> tuple[Conduct, ...]:
        """The adapters that make the drawing fail as it did with `error`.

        A picture that comes to nothing is proof. Any other error is not: it may be a defect that every adapter meets.
        """
        broken = isinstance(error, PictureBroken)
        shown_by = error.step if isinstance(error, PictureBroken) else 0

        def works(places: Sequence[int]) -> bool:
            try:
                self._try(draft.trial(places), shown_by + 1 if shown_by else 0)
            except (EngineFault, type(error)) as again:
                if sticky(again):
                    raise
                return out_of_memory(again)  # then nothing was shown
            return True

        found = blame(len(draft.adapters), works, usual=draft.usual)
        proven = [conduct(draft, place, fault=DRAWS_NOTHING if broken else "") for place in found.proven]
        return (*proven, *(conduct(draft, place) for place in found.suspected))

    def measured(self, draft: Draft, pace: Pace) -> tuple[Conduct, ...]:
        """How long the steps of a drawing that is done took with its adapters, and what they take without."""
        mix = frozenset(adapter.info.sha256 for adapter in draft.adapters)
        self._paces.note(pace.kind, mix, pace.seconds)
        bases = [self._paces.without(pace.kind, adapter.info.sha256) for adapter in draft.adapters]
        factors: dict[int, float] = {}
        noticed = pace.seconds > NOTICED and pace.steps >= ENOUGH
        if noticed and any(base and pace.seconds > SLOW * base for base in bases):
            factors = slow(len(bases), lambda places: self._try(draft.trial(places), STEPS))
        said = {place: f"Its steps take {times:.1f} times what they take without." for place, times in factors.items()}
        return tuple(
            conduct(draft, place, seconds=pace.seconds, base=base, fault=said.get(place, ""))
            for place, base in enumerate(bases)
        )

    def _try(self, draft: Draft, steps: int) -> float:
        """Seconds a step of a drawing that ends after so many steps, 0: all of them. Raises what it fails with."""
        times: list[float] = []

        def told(progress: Progress) -> None:
            times.append(time.monotonic())
            self._meter.alive()
            if len(times) == steps:
                raise _Enough

        with contextlib.suppress(_Enough):
            self._draw(draft, told)
        return median_low([after - before for before, after in pairwise(times)] or [0.0])


def conduct(draft: Draft, place: int, *, seconds: float = 0.0, base: float = 0.0, fault: str = "") -> Conduct:
    """Of the adapter at that place of the draft's mix."""
    return Conduct(draft.request.adapters[place].name, draft.adapters[place].info.sha256, seconds, base, fault)
