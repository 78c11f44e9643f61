"""How adapters behave while they are drawn with, and which of them is to blame when a drawing fails or drags. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOW = 2.0  # times the base model's seconds a step: more is no adapter that a community can afford
USUAL = 1.0  # the weight up to which an adapter has to work; what it does above is its user's doing
_KINDS, _MIXES = 64, 16  # of drawings, and of mixes for each, whose paces are kept

Works = Callable[[Sequence[int]], bool]
Pace = Callable[[Sequence[int]], float]


@dataclass(frozen=True, slots=True)
class Conduct:
    """How one adapter file behaved in an attempt that it was part of.

    Seconds a step are of the mix, and of the same drawing without this adapter; 0 where not known. `fault` is a
    sentence about what it does to every drawing, proven by drawing with it alone and without it; "" where nothing is.
    In an attempt that failed, whoever is listed is suspected; who was found innocent is not listed.
    """

    name: str
    sha256: str
    seconds_per_step: float = 0.0
    base_seconds_per_step: float = 0.0
    fault: str = ""


class Blame(NamedTuple):
    """Places in the mix: of adapters that fail by themselves, or else of those that may."""

    proven: tuple[int, ...] = ()
    suspected: tuple[int, ...] = ()


def blame(count: int, works: Works, *, usual: bool) -> Blame:
    """Which of `count` adapters make a drawing fail. `works(places)` draws it again with these alone.

    Nobody where it fails without any: then the base model, the prompt or the machine is to blame. `usual`: all weights
    are; if not, adapters that work alone are not even suspected.
    """
    if not count or not works(()):
        return Blame()
    proven = tuple(place for place in range(count) if not works((place,)))
    return Blame(proven, () if proven or not usual else tuple(range(count)))


def slow(count: int, pace: Pace) -> dict[int, float]:
    """Place -> how many times as long the steps are, of each adapter that is too slow.

    `pace(places)` measures seconds a step with these alone: now, not from memory, and without any before and after
    each, because a machine that is busy with something else makes everything slow for a while.
    """
    found: dict[int, float] = {}
    before = pace(())
    for place in range(count):
        seconds, after = pace((place,)), pace(())
        base, before = max(before, after), after
        if base and seconds > SLOW * base:
            found[place] = seconds / base
    return found


class Paces:
    """Seconds a step by kind of drawing and mix, the least of each; the kinds drawn last."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, OrderedDict[frozenset[str], float]] = OrderedDict()

    def note(self, kind: Hashable, mix: frozenset[str], seconds: float) -> None:
        """A drawing of this kind was done with the adapters of `mix`, by sha256, at `seconds` a step."""
        paces = self._known.setdefault(kind, OrderedDict())
        paces[mix] = min(seconds, paces.get(mix, seconds))
        paces.move_to_end(mix)
        self._known.move_to_end(kind)
        while len(paces) > _MIXES:
            paces.popitem(last=False)
        while len(self._known) > _KINDS:
            self._known.popitem(last=False)

    def without(self, kind: Hashable, sha256: str) -> float:
        """The least seconds a step of this kind that a mix without this adapter has taken; 0 where none is known."""
        paces = self._known.get(kind) or OrderedDict()
        return min((seconds for mix, seconds in paces.items() if sha256 not in mix), default=0.0)
