"""How long drawings are likely to take here, learned from those that were done."""

from __future__ import annotations

from collections.abc import Iterable

WEIGHT = 0.3  # of the last drawing, against all before it


class Pace:
    """Real seconds for a second of `engine.cost`, which knows only proportions."""

    def __init__(self) -> None:
        self._pace: float | None = None

    def learn(self, cost: float, seconds: float) -> None:
        """A request of that cost took so long."""
        pace = seconds / cost
        self._pace = pace if self._pace is None else (1 - WEIGHT) * self._pace + WEIGHT * pace

    def seconds(self, costs: Iterable[float]) -> float | None:
        """What requests of these costs are likely to take, one after the other. None while nothing was learned."""
        return None if self._pace is None else self._pace * sum(costs)
