"""Residency: least recently used leaves first, pinned never."""

from __future__ import annotations

from engine.residency import Residency


def test_the_least_recently_used_leaves_first() -> None:
    """Admitting again makes recent."""
    held: Residency[str] = Residency(10)
    assert [held.admit(key, 4) for key in ("a", "b", "a", "c")] == [[], [], [], ["b"]]


def test_the_pinned_stay_even_over_budget() -> None:
    """What is in use is never taken away."""
    held: Residency[str] = Residency(10)
    held.admit("a", 8)
    assert held.admit("b", 8, pinned={"a", "b"}) == []
    assert held.total == 16


def test_what_is_too_large_is_held_alone() -> None:
    """The newcomer itself never has to leave for itself."""
    held: Residency[str] = Residency(10)
    held.admit("a", 4)
    assert held.admit("huge", 50) == ["a"]
    assert "huge" in held


def test_admit_and_drop_are_inverses() -> None:
    """After both the books are as before."""
    held: Residency[str] = Residency(10)
    held.admit("a", 4)
    assert held.drop("a")
    assert not held.drop("a")
    assert (len(held), held.total) == (0, 0)
