"""A prompt's segments as chunks of 75 weighted tokens, with the names of textual inversions replaced by their vectors.

Rules of AUTOMATIC1111's WebUI (shared/reference/lora_formats.md §3.2): BREAK ends a chunk; where a chunk overflows,
what stands behind a comma at most 20 tokens back goes to the next one; an embedding's vectors count as tokens and stay
together. Names are found in the tokens of one segment, the longest first. On purpose unlike the WebUI: vectors move
with their tokens when a chunk is broken at a comma, `<name>` is found wherever it stands, and there is a limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from ..adapters.embedding import Inversion
from ..errors import PromptError
from ..prompt import BREAK

CHUNK = 75
BACKTRACK = 20
MAX_CHUNKS = 80  # of one text: 6,000 characters of one token each
MAX_NAME_TOKENS = 32  # a name of more is never found; it bounds the work at each token
_PLACEHOLDER = 0  # the WebUI's; its row is replaced before the text encoder sees it
_BRACKETED = re.compile(r"<[^<>]{1,64}+>")  # linear: the next "<" ends a failed attempt

Segments = Sequence[tuple[str, float]]
Find = Callable[[str], Inversion]


@dataclass(frozen=True, slots=True)
class Chunk:
    """77 token ids and weights: start, at most 75 tokens, end, padding. Frame and padding weigh 1.

    `vectors` says which embedding stands from which place on, counted in the 77.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    vectors: tuple[tuple[int, Inversion], ...] = ()


@dataclass(slots=True)
class _Node:
    """A run of tokens: the name that it is, or "", and what may follow."""

    branches: dict[int, _Node] = field(default_factory=dict)
    name: str = ""


class Lexicon:
    """Which runs of tokens are names of embeddings: a tree with a token an edge."""

    def __init__(self, names: Iterable[str] = (), tokenizer: Any = None) -> None:
        self._root = _Node()
        self._bracketed: set[str] = set()
        self._longest = lru_cache(4096)(self._walked)  # what is slow to walk repeats itself
        for name in names:
            ids = tokenizer(name, add_special_tokens=False, verbose=False).input_ids
            if 0 < len(ids) <= MAX_NAME_TOKENS:
                node = self._root
                for token in ids:
                    node = node.branches.setdefault(token, _Node())
                node.name = name
                if _BRACKETED.fullmatch(name):
                    self._bracketed.add(name)

    def at(self, ids: Sequence[int], place: int) -> tuple[str, int] | None:
        """The longest name that stands at `place`, and of how many tokens; None where there is none."""
        if ids[place] not in self._root.branches:
            return None
        return self._longest(tuple(ids[place : place + MAX_NAME_TOKENS]))

    def _walked(self, ids: tuple[int, ...]) -> tuple[str, int] | None:
        found, node = None, self._root
        for length, token in enumerate(ids, start=1):
            if token not in node.branches:
                break
            node = node.branches[token]
            if node.name:
                found = (node.name, length)
        return found

    def spaced(self, text: str) -> str:
        """The text with a space around each `<name>`, whose brackets would otherwise melt into the next word's."""
        if not self._bracketed or "<" not in text:
            return text
        return _BRACKETED.sub(lambda m: f" {m[0]} " if m[0].casefold() in self._bracketed else m[0], text)


def chunks_of(segments: Segments, tokenizer: Any, lexicon: Lexicon, find: Find) -> list[Chunk]:
    """The chunks of a text, at least one. `find` gives the embedding of a name in the lexicon.

    Raises PromptError for more than MAX_CHUNKS, and what `find` raises.
    """
    ids = iter(_tokens([lexicon.spaced(text) for text, _ in segments], tokenizer))
    comma = _comma(tokenizer)
    line = _Line()
    for segment in segments:
        tokens = next(ids)
        if segment == BREAK:
            line.close()
        else:
            _read(tokens, segment[1], line, comma, lexicon, find)
    if line.units or not line.chunks:
        line.close()
    return [_framed(units, tokenizer) for units in line.chunks]


def empty_chunk(tokenizer: Any) -> Chunk:
    """What texts of fewer chunks are filled up with."""
    return _framed((), tokenizer)


class _Unit(NamedTuple):
    """One token, or an embedding with a placeholder for each of its vectors."""

    ids: tuple[int, ...]
    weight: float
    inversion: Inversion | None = None


@dataclass(slots=True)
class _Line:
    """The chunks done and the one being filled."""

    chunks: list[list[_Unit]] = field(default_factory=list)
    units: list[_Unit] = field(default_factory=list)
    length: int = 0  # tokens in `units`
    after_comma: tuple[int, int] = (0, 0)  # (units, tokens) up to the last comma and with it

    def add(self, unit: _Unit, comma: bool = False) -> None:
        if self.length + len(unit.ids) > CHUNK:
            self.close()
            comma = False  # as in the WebUI, where the comma that opens a chunk is forgotten
        self.units.append(unit)
        self.length += len(unit.ids)
        if comma:
            self.after_comma = (len(self.units), self.length)

    def break_at_comma(self) -> None:
        """What is full is broken behind its last comma, if that is near."""
        units, length = self.after_comma
        if self.length == CHUNK and length and CHUNK - (length - 1) <= BACKTRACK:
            moved = self.units[units:]
            del self.units[units:]
            self.close()
            self.units, self.length = moved, CHUNK - length

    def close(self) -> None:
        if len(self.chunks) == MAX_CHUNKS:
            raise PromptError(
                f"The prompt needs more than {MAX_CHUNKS} chunks of {CHUNK} tokens; "
                "make it shorter, or take BREAKs out of it."
            )
        self.chunks.append(self.units)
        self.units, self.length, self.after_comma = [], 0, (0, 0)


def _read(tokens: Sequence[int], weight: float, line: _Line, comma: int | None, lexicon: Lexicon, find: Find) -> None:
    """The tokens of one segment are in the line."""
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token != comma:
            line.break_at_comma()
        named = lexicon.at(tokens, place)
        if named is None:
            line.add(_Unit((token,), weight), token == comma)
            place += 1
        else:
            inversion = find(named[0])
            line.add(_Unit((_PLACEHOLDER,) * inversion.length, weight, inversion))
            place += named[1]


def _framed(units: Sequence[_Unit], tokenizer: Any) -> Chunk:
    ids, weights = [tokenizer.bos_token_id], [1.0]
    vectors: list[tuple[int, Inversion]] = []
    for unit in units:
        if unit.inversion is not None:
            vectors.append((len(ids), unit.inversion))
        ids += unit.ids
        weights += [unit.weight] * len(unit.ids)
    ids += [tokenizer.eos_token_id, *[tokenizer.pad_token_id] * (CHUNK - len(ids) + 1)]
    weights += [1.0] * (CHUNK + 2 - len(weights))
    return Chunk(tuple(ids), tuple(weights), tuple(vectors))


def _tokens(texts: list[str], tokenizer: Any) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False).input_ids
    return ids


def _comma(tokenizer: Any) -> int | None:
    ids = tokenizer(",", add_special_tokens=False).input_ids
    return int(ids[0]) if ids else None
