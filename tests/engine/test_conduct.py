"""Who is to blame for a drawing that fails or drags, by pure reasoning over trials that are answered here."""

from __future__ import annotations

from collections.abc import Sequence

from engine.conduct import Blame, Paces, blame, slow


class Trials:
    """Answers each trial, and remembers what was tried."""

    def __init__(self, *fails: tuple[int, ...]) -> None:
        self.fails, self.tried = fails, []  # type: ignore[var-annotated]

    def __call__(self, places: Sequence[int]) -> bool:
        self.tried.append(tuple(places))
        return tuple(places) not in self.fails


def test_nobody_is_blamed_where_the_base_fails_alone() -> None:
    """And nothing more is tried then."""
    trials = Trials((), (0,), (1,))
    assert blame(2, trials, usual=True) == Blame()
    assert trials.tried == [()]
    assert blame(0, trials, usual=True) == Blame()
    assert trials.tried == [()]


def test_who_fails_alone_is_proven_and_clears_the_others() -> None:
    """One trial each."""
    trials = Trials((1,))
    assert blame(3, trials, usual=True) == Blame(proven=(1,))
    assert trials.tried == [(), (0,), (1,), (2,)]


def test_who_fails_only_in_company_is_suspected_at_usual_weights_alone() -> None:
    """At weights beyond it is the weights' doing."""
    assert blame(2, Trials(), usual=True) == Blame(suspected=(0, 1))
    assert blame(2, Trials(), usual=False) == Blame()


def test_slow_is_more_than_twice_what_is_measured_before_and_after() -> None:
    """A machine that is busy for one moment, at whichever trial, makes nobody slow."""

    def paces(*seconds: float) -> dict[int, float]:
        answers = iter(seconds)
        return slow(2, lambda places: next(answers))

    #           base, first, base, second, base
    assert paces(1.0, 2.5, 1.0, 1.0, 1.0) == {0: 2.5}
    assert paces(1.0, 2.0, 1.0, 1.9, 1.0) == {}
    assert paces(1.0, 2.5, 2.4, 1.0, 1.0) == {}
    assert paces(2.4, 2.5, 1.0, 1.0, 1.0) == {}
    assert paces(1.0, 1.0, 1.0, 2.5, 1.0) == {1: 2.5}
    assert paces(0.0, 2.5, 0.0, 1.0, 0.0) == {}


def test_the_pace_without_an_adapter_is_the_least_of_the_mixes_that_have_it_not() -> None:
    """Of the same kind of drawing; the mixes and kinds drawn last are remembered."""
    paces = Paces()
    assert paces.without("kind", "ink") == 0
    paces.note("kind", frozenset({"ink"}), 0.1)
    assert paces.without("kind", "ink") == 0
    paces.note("kind", frozenset({"light"}), 0.4)
    paces.note("kind", frozenset(), 0.3)
    paces.note("kind", frozenset(), 0.5)
    assert (paces.without("kind", "ink"), paces.without("kind", "light")) == (0.3, 0.1)
    assert paces.without("other", "ink") == 0
    for number in range(100):
        paces.note(number, frozenset(), 1.0)
        paces.note("mixes", frozenset({str(number)}), 1.0)
    assert paces.without("kind", "ink") == 0
    assert len(paces._known) == 64
    assert len(paces._known["mixes"]) == 16
