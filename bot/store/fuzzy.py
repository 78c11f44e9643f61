"""How well entries answer to what somebody has typed: letter by letter, else word by word, else by likeness."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEAST = 3  # letters from which a slip of the finger is forgiven
LIKE = 0.5  # of the needle's pairs of letters that the names must have
DESCRIBED = 400  # characters of a description that are searched
_NAMED, _BY_WORDS, _BY_LIKENESS = 75, 40, 30  # the least for a part of a name; what the others are worth at most


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one entry, folded. `names`: its name, its alias, its title; `marks`: tags and trigger words."""

    names: tuple[str, ...]
    marks: tuple[str, ...]
    every: str
    pairs: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str], marks: Iterable[str], description: str) -> Words:
        called = tuple(fold(name) for name in names if name)
        marked = tuple(fold(mark) for mark in marks)
        every = "\n".join((*called, *marked, fold(description[:DESCRIBED])))
        return cls(called, marked, every, frozenset().union(*map(pairs, called)))

    def holds(self, text: str) -> float:
        """What it is worth that the text is somewhere in these words: 100 for the very name."""
        name, *others = self.names
        worth = (
            (100, text == name),
            (95, text in others),
            (90, name.startswith(text)),
            (85, any(other.startswith(text) for other in others)),
            (80, text in name),
            (_NAMED, any(text in other for other in others)),
            (60, len(text) > 1 and any(mark.startswith(text) for mark in self.marks)),
            (50, len(text) > 1),  # one letter is in nearly every description
        )
        return next((points for points, true in worth if true), 0)


def answers(needle: str, words: Sequence[Words]) -> list[int]:
    """The places of those words that answer to the needle, best answers first, otherwise in their order."""
    text = " ".join(fold(needle).split())
    if not text:
        return list(range(len(words)))
    found = {place: one.holds(text) for place, one in enumerate(words) if text in one.every}
    if max(found.values(), default=0) < _NAMED:
        found = _nearly(text, words) | found
    return sorted((place for place, points in found.items() if points), key=lambda place: -found[place])


def _nearly(text: str, words: Sequence[Words]) -> dict[int, float]:
    """Those that hold every word of the text, and those whose names are like it."""
    parts, wanted = text.split(), pairs(text)
    found: dict[int, float] = {}
    for place, one in enumerate(words):
        if len(parts) > 1 and all(part in one.every for part in parts):
            found[place] = _BY_WORDS
        elif len(text) >= LEAST and (shared := len(wanted & one.pairs)) >= LIKE * len(wanted):
            found[place] = _BY_LIKENESS * shared / len(wanted)
    return found


def fold(text: str) -> str:
    """Without case, and one letter for each that only looks different."""
    return unicodedata.normalize("NFKC", text).casefold()


def pairs(text: str) -> frozenset[str]:
    """Every two neighbouring letters of each word, its beginning and its end counting as letters."""
    found: set[str] = set()
    for word in text.replace("_", " ").replace("-", " ").split():
        edged = f"^{word}$"
        found.update(edged[at : at + 2] for at in range(len(edged) - 1))
    return frozenset(found)
