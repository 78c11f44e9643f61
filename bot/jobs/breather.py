"""A pause after failures in a row: an engine that breaks at every job is not fed with all that wait."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

IN_A_ROW, PAUSE = 3, 180.0  # different jobs, and seconds
BROKEN = ("EngineFault", "PictureBroken", "DeviceLost")  # not what a member asked wrongly, nor what does not fit


class Breather:
    """Counts the jobs that the engine broke one after the other."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._broken: set[str] = set()
        self._until = float("-inf")

    @property
    def left(self) -> float:
        """Seconds until something is drawn again; 0 when that is so now."""
        return max(0.0, self._until - self._clock())

    def well(self) -> None:
        """The engine drew a picture, so it can."""
        self._broken.clear()

    def broke(self, job_id: str) -> None:
        """The engine broke at this job. At the last of so many in a row the pause begins."""
        self._broken.add(job_id)
        if len(self._broken) < IN_A_ROW:
            return
        self._broken.clear()
        self._until = self._clock() + PAUSE
        log.error("the engine broke at %d jobs in a row; nothing is drawn for %.0f s. See above why.", IN_A_ROW, PAUSE)
