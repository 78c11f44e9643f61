"""Residency: least recently used leaves first, pinned never."""

from __future__ import annotations

from engine.residency import Residency
from engine.types import CacheFigures


def admit(held: Residency[str, str], key: str, nbytes: int) -> list[str]:
    return held.admit(key, f"the value of {key}", nbytes)


def test_the_least_recently_used_leaves_first() -> None:
    """Admitting again makes recent."""
    held: Residency[str, str] = Residency(10)
    assert [admit(held, key, 4) for key in ("a", "b", "a", "c")] == [[], [], [], ["b"]]


def test_getting_makes_recent() -> None:
    """What is asked for is in use."""
    held: Residency[str, str] = Residency(10)
    admit(held, "a", 4)
    admit(held, "b", 4)
    assert held.get("a") == "the value of a"
    assert admit(held, "c", 4) == ["b"]


def test_the_pinned_stay_until_unpinned() -> None:
    """A pin holds whether it came before the value or after; unpin is its inverse."""
    held: Residency[str, str] = Residency(10)
    held.pin("a")
    admit(held, "a", 8)
    admit(held, "b", 8)
    held.pin("b")
    assert admit(held, "c", 8) == []
    held.unpin("a")
    assert admit(held, "d", 8) == ["a", "c"]
    assert held.pins == {"b"}


def test_trimming_leaves_the_pinned_and_clearing_nothing() -> None:
    """Pins outlive both: what comes again stays again."""
    held: Residency[str, str] = Residency(10)
    held.pin("a")
    admit(held, "a", 4)
    admit(held, "b", 4)
    held.trim()
    assert list(held) == ["a"]
    held.clear()
    assert (len(held), held.pins) == (0, {"a"})


def test_what_is_too_large_is_held_alone() -> None:
    """The newcomer itself never has to leave for itself."""
    held: Residency[str, str] = Residency(10)
    admit(held, "a", 4)
    assert admit(held, "huge", 50) == ["a"]
    assert "huge" in held


def test_admit_and_drop_are_inverses() -> None:
    """After both the books are as before."""
    held: Residency[str, str] = Residency(10)
    admit(held, "a", 4)
    assert held.drop("a")
    assert not held.drop("a")
    assert (len(held), held.total) == (0, 0)


def test_the_figures_count_what_happened() -> None:
    """Hits and misses by get, evictions by admit and trim; bytes are what is resident now."""
    held: Residency[str, str] = Residency(10)
    assert held.get("a") is None
    admit(held, "a", 6)
    held.get("a")
    admit(held, "b", 6)
    assert held.figures == CacheFigures(resident=1, nbytes=6, budget=10, hits=1, misses=1, evictions=1)
