"""How well an entry answers to what somebody has typed: letter by letter, then word by word, then by likeness."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LEAST = 3  # letters from which a slip of the finger is forgiven
LIKE = 0.5  # of the needle's pairs of letters that a name must have
DESCRIBED = 400  # characters of a description that are searched


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

    def answers(self, needle: Needle) -> float:
        """From 0, not at all, to 100, by its very name."""
        text = needle.text
        if len(text) == 1 and not any(text in name for name in self.names):
            return 0  # it is in nearly every description
        if text in self.every:
            return self._literally(text)
        if all(word in self.every for word in needle.words):
            return 40
        if not needle.pairs:
            return 0
        likeness = len(needle.pairs & self.pairs) / len(needle.pairs)
        return 30 * likeness if likeness >= LIKE else 0

    def _literally(self, text: str) -> float:
        name = self.names[0]
        if text == name:
            return 100
        if text in self.names[1:]:
            return 95
        if name.startswith(text):
            return 90
        if any(other.startswith(text) for other in self.names):
            return 85
        if text in name:
            return 80
        if any(text in other for other in self.names):
            return 75
        if any(mark.startswith(text) for mark in self.marks):
            return 60
        return 50


@dataclass(frozen=True, slots=True)
class Needle:
    """What somebody has typed, folded, its words and its pairs of letters; none where it is too short for slips."""

    text: str
    words: tuple[str, ...]
    pairs: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Needle:
        folded = " ".join(fold(text).split())
        return cls(folded, tuple(folded.split()), pairs(folded) if len(folded) >= LEAST else frozenset())


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
