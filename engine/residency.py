"""What stays in memory: least recently used goes first, pinned never. Pure bookkeeping over (key, bytes)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Residency(Generic[Key]):
    """admit and drop are inverses. The sum of bytes stays within `budget` unless what is pinned alone exceeds it."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._bytes: OrderedDict[Key, int] = OrderedDict()

    def __contains__(self, key: Key) -> bool:
        return key in self._bytes

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def total(self) -> int:
        return sum(self._bytes.values())

    def admit(self, key: Key, nbytes: int, pinned: Collection[Key] = ()) -> list[Key]:
        """`key` is resident and the most recent. Gives the keys that had to go for it, oldest first."""
        self._bytes[key] = nbytes
        self._bytes.move_to_end(key)
        leaving: list[Key] = []
        over = self.total - self.budget
        for old, size in self._bytes.items():
            if over <= 0:
                break
            if old != key and old not in pinned:
                leaving.append(old)
                over -= size
        for old in leaving:
            del self._bytes[old]
        return leaving

    def drop(self, key: Key) -> bool:
        """`key` is not resident. False when it was not before either."""
        return self._bytes.pop(key, None) is not None
