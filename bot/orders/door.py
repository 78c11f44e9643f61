"""The door before the database: who would be refused there for want of room is refused here at once.

A thousand orders in a second are answered in time only if most of them cost no transaction.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import PlaceFull
from .values import Bounds

MEMORY = 1.0  # seconds that a place counts as full after it was


class Door:
    """Orders that are being taken, by server, and the servers that had no room a moment ago."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._clock = clock
        self._taking: Counter[int | None] = Counter()
        self._full: dict[int | None, tuple[float, str]] = {}

    @contextmanager
    def taking(self, guild_id: int | None) -> Iterator[None]:
        """One order of the server is being taken. Raises PlaceFull: as many already are as fit, or none fitted before.

        A PlaceFull from inside is remembered for MEMORY seconds.
        """
        self._require_room(guild_id)
        self._taking[guild_id] += 1
        try:
            yield
        except PlaceFull as full:
            self._full[guild_id] = self._clock() + MEMORY, str(full)
            raise
        finally:
            self._taking[guild_id] -= 1
            if not self._taking[guild_id]:
                del self._taking[guild_id]

    def _require_room(self, guild_id: int | None) -> None:
        until, sentence = self._full.get(guild_id, (0.0, ""))
        if self._clock() < until:
            raise PlaceFull(sentence)
        self._full.pop(guild_id, None)
        self._bounds.require_room(self._taking[guild_id], self._taking.total())
