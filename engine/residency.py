"""What stays in memory within a budget of bytes: the least recently used goes first, what is pinned never. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from .types import CacheFigures

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Held(NamedTuple, Generic[Value]):
    value: Value
    nbytes: int


class Residency(Generic[Key, Value]):
    """admit and drop are inverses, pin and unpin are. Within `budget`, but for the pinned and the newest."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: OrderedDict[Key, _Held[Value]] = OrderedDict()
        self._pins: set[Key] = set()
        self._hits = self._misses = self._evictions = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._held

    def __iter__(self) -> Iterator[Key]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(held.nbytes for held in self._held.values())

    @property
    def pins(self) -> frozenset[Key]:
        return frozenset(self._pins)

    @property
    def figures(self) -> CacheFigures:
        return CacheFigures(len(self), self.total, self.budget, self._hits, self._misses, self._evictions)

    def get(self, key: Key) -> Value | None:
        """The value, which is the most recent now; None where it is not resident. Counted as a hit or a miss."""
        held = self._held.get(key)
        if held is None:
            self._misses += 1
            return None
        self._hits += 1
        self._held.move_to_end(key)
        return held.value

    def admit(self, key: Key, value: Value, nbytes: int) -> list[Key]:
        """`key` is resident and the most recent. Gives the keys that had to go for it, oldest first."""
        self._held[key] = _Held(value, nbytes)
        self._held.move_to_end(key)
        leaving: list[Key] = []
        over = self.total - self.budget
        for old, held in self._held.items():
            if over <= 0:
                break
            if old != key and old not in self._pins:
                leaving.append(old)
                over -= held.nbytes
        for old in leaving:
            del self._held[old]
        self._evictions += len(leaving)
        return leaving

    def drop(self, key: Key) -> bool:
        """`key` is not resident. False when it was not before either."""
        return self._held.pop(key, None) is not None

    def clear(self) -> None:
        """Nothing is resident; pins and figures stay."""
        self._held.clear()

    def trim(self) -> None:
        """Only what is pinned is resident: for when memory has run out."""
        for key in self._held.keys() - self._pins:
            del self._held[key]
            self._evictions += 1

    def pin(self, key: Key) -> None:
        """`key` does not leave by itself any more, from whenever it is resident."""
        self._pins.add(key)

    def unpin(self, key: Key) -> None:
        """`key` may leave like any other."""
        self._pins.discard(key)
