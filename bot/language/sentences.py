"""English sentences that are finished, taken apart again: which pattern they were made by, and what was put into it.

Errors, notes and reports are made below, where nobody knows a language, and stored as they are. The catalog has their
patterns, with numbers for what is put in: "There is no adapter called {0} here.{1}". A pattern matches where its
literal pieces stand in order, the first at the beginning and the last at the end. For that the leftmost place of each
piece is as good as any other, so matching needs no way back and takes linear time whatever members write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DEPTH = 4  # sentences within sentences
JOINED = 3  # parts of a list that may be one fragment with commas of its own
ENDS = (".", "!", "?", "…")
_STOPS = "。！？：；，、"  # full-width: they bring their own space
_PLACE = re.compile(r"\{(\d+)\}")
_WORD = re.compile(r"\w+")
_BETWEEN = re.compile(r"(?<=[.!?]) (?=\S)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`pieces` of English, one more than values between them; `order` says which value stands at which place of them.

    `translation` alternates literal text and numbers of values.
    """

    pieces: tuple[str, ...]
    order: tuple[int, ...]
    translation: tuple[str | int, ...]

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def words(self) -> set[str]:
        """The words that stand in every text made by this pattern, whatever is put in beside them."""
        marked = "\0".join(self.pieces)
        return {
            match[0]
            for match in _WORD.finditer(marked)
            if "\0" not in marked[max(0, match.start() - 1) : match.end() + 1]
        }

    def values(self, text: str) -> dict[int, str] | None:
        """What was put into the pattern to make the text; None where it was not made by this one."""
        first, *inner, last = self.pieces
        end = len(text) - len(last)
        if end < len(first) or not text.startswith(first) or not text.endswith(last):
            return None
        found: dict[int, str] = {}
        place = len(first)
        for number, piece in zip(self.order, [*inner, None], strict=True):
            here = end if piece is None else text.find(piece, place, end)
            if here < 0:
                return None
            found[number] = text[place:here]
            place = here + len(piece or "")
        return found


class Sentences:
    """Translations by English text; a text may hold numbered placeholders."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._exact = {text.strip(): translation.strip() for text, translation in texts.items()}
        found = [pattern(text, translation) for text, translation in self._exact.items()]
        patterns = [one for one in found if one is not None]
        common = Counter(word for one in patterns for word in one.words)
        self._by_word: dict[str, list[Pattern]] = {}
        for one in patterns:  # under its rarest word, so that few are tried
            word = min(one.words, key=lambda word: (common[word], -len(word), word), default="")
            self._by_word.setdefault(word, []).append(one)

    def translated(self, text: str) -> str:
        """The text with every sentence of it translated that is known."""
        return self._whole(text, DEPTH)

    def _whole(self, text: str, depth: int) -> str:
        core = text.strip()
        if not core or depth == 0:
            return text
        before, _, after = text.partition(core)
        return before + self._core(core, depth) + after

    def _core(self, text: str, depth: int) -> str:
        if text in self._exact:
            return self._exact[text]
        made = self._made(text, depth)
        if made is not None:
            return made
        sentences = _BETWEEN.split(text)
        if len(sentences) > 1:
            return _joined(self._whole(sentence, depth - 1) for sentence in sentences)
        if text.endswith(ENDS):
            return self._behind_a_name(text, depth)
        return self._listed(text, depth)

    def _made(self, text: str, depth: int) -> str | None:
        """The translation where one pattern made the whole text."""
        for one in self._candidates(text):
            values = one.values(text)
            if values is None or not (
                text.endswith(ENDS) or all(_alone(one, text, value) for value in values.values())
            ):
                continue
            return self._filled(one, values, depth)
        return None

    def _candidates(self, text: str) -> list[Pattern]:
        """The patterns that may have made the text, those that say the most themselves first."""
        found = [one for word in {"", *_WORD.findall(text)} for one in self._by_word.get(word, ())]
        return sorted(found, key=lambda one: (-one.length, one.pieces))

    def _filled(self, one: Pattern, values: Mapping[int, str], depth: int) -> str:
        said = ""
        for part in one.translation:
            more = part if isinstance(part, str) else self._whole(values[part], depth - 1)
            said += more.lstrip(" ") if said.endswith(tuple(_STOPS)) else more
        return said

    def _behind_a_name(self, text: str, depth: int) -> str:
        """`ink: sentence`, where the name may be anything."""
        name, colon, rest = text.partition(": ")
        return name + colon + self._whole(rest, depth - 1) if colon else text

    def _listed(self, text: str, depth: int) -> str:
        """`ink: 3 of 204 layers, 3 keys unknown (this; that)`: every part by itself, or a few that belong together."""
        for mark in (", ", "; "):
            parts = _split(text, mark)
            if len(parts) > 1:
                return mark.join(self._parts(parts, mark, depth))
        return self._behind_a_name(text, depth)

    def _parts(self, parts: list[str], mark: str, depth: int) -> Iterator[str]:
        place = 0
        while place < len(parts):
            for many in range(min(JOINED, len(parts) - place), 0, -1):
                text = mark.join(parts[place : place + many])
                said = text if depth < 2 else self._exact.get(text) or self._made(text, depth - 1)
                if many == 1 or (said is not None and said != text):
                    yield self._whole(text, depth - 1) if said is None else said
                    place += many
                    break


def pattern(text: str, translation: str) -> Pattern | None:
    """The pattern of an English text; None for one without numbered placeholders, or with hardly a word of its own."""
    pieces, order = _PLACE.split(text)[::2], [int(number) for number in _PLACE.split(text)[1::2]]
    if not order or len(set(order)) < len(order) or sum(sign.isalpha() for piece in pieces for sign in piece) < 2:
        return None
    for place, piece in enumerate(pieces[1:-1]):  # two values side by side cannot be told apart
        if not piece and f"{{{order[place]}}}{{{order[place + 1]}}}" not in translation:
            return None
    parts = _PLACE.split(translation)
    filled = tuple(int(part) if place % 2 else part for place, part in enumerate(parts))
    if not set(filled[1::2]) <= set(order):
        return None
    return Pattern(tuple(pieces), tuple(order), filled)


def _alone(one: Pattern, text: str, value: str) -> bool:
    """Whether a value of a fragment is one thing, and not the part of a list before or after it."""
    return not (", " in value or "; " in value) or f"({value})" in text


def _joined(sentences: Iterator[str]) -> str:
    said = ""
    for sentence in sentences:
        said += sentence if not said or said.endswith(tuple(_STOPS)) else f" {sentence}"
    return said


def _split(text: str, mark: str) -> list[str]:
    """The parts between marks that stand outside of brackets."""
    if mark not in text:
        return [text]
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([") - (sign in ")]")
        if depth <= 0 and place >= start and text.startswith(mark, place):
            parts.append(text[start:place])
            start = place + len(mark)
    return [*parts, text[start:]]
