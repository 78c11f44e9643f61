"""Weighting: `(x)` by 1.1, `[x]` by 1/1.1, `(x:1.3)` by 1.3, backslash escapes, and BREAK.

Round and square brackets are matched apart from each other, nesting multiplies, an unclosed bracket reaches to the end.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

Segments = tuple[tuple[str, float], ...]

BREAK = ("BREAK", -1.0)
_FACTOR = {"(": 1.1, "[": 1 / 1.1}
_CLOSES = {")": "(", "]": "["}
_DIRECT = 32  # multiplications a piece for which the WebUI's order of rounding is kept to the last bit

# Every alternative is chosen by its first character and never gives back what it took, so matching is linear.
_TOKEN = re.compile(
    r"""
      \\[\\()\[\]]?+
    | [()\[\]]
    | :\s*+([+-]?+(?:\d++(?:\.\d*+)?+|\.\d++))\s*+\)
    | :
    | [^\\()\[\]:]++
    """,
    re.VERBOSE,
)
_BREAK = re.compile(r"\bBREAK\b")


@lru_cache(maxsize=64)
def segments(text: str) -> Segments:
    """The text in runs of one weight; `BREAK` where a chunk is broken. Never empty."""
    reader = _Reader()
    for match in _TOKEN.finditer(text):
        reader.read(match[0], match[1])
    return reader.result()


class _Reader:
    """Collects pieces of text, and spans: which pieces a bracket weighs, and by how much, in the order of closing."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, float]] = []
        self._open: dict[str, list[int]] = {"(": [], "[": []}
        self._spans: list[_Span] = []

    def read(self, token: str, number: str | None) -> None:
        if token[0] == "\\":
            self._pieces.append((token[1:], 1.0))
        elif token in self._open:
            self._open[token].append(len(self._pieces))
        elif number is not None and self._open["("]:
            self._close("(", float(number))
        elif self._open.get(_CLOSES.get(token, "")):
            self._close(_CLOSES[token], _FACTOR[_CLOSES[token]])
        else:
            self._pieces += _broken(token)

    def result(self) -> Segments:
        for opener, starts in self._open.items():
            while starts:
                self._close(opener, _FACTOR[opener])
        weights = _weights([weight for _, weight in self._pieces], self._spans)
        runs = groupby(zip((text for text, _ in self._pieces), weights, strict=True), key=itemgetter(1))
        return tuple(("".join(text for text, _ in run), weight) for weight, run in runs) or (("", 1.0),)

    def _close(self, opener: str, factor: float) -> None:
        start, end = self._open[opener].pop(), len(self._pieces)
        if start < end:
            self._spans.append((opener, start, end, factor))


_Span = tuple[str, int, int, float]


def _broken(text: str) -> list[tuple[str, float]]:
    """The text as pieces, with BREAK and the space around it cut out."""
    first, *others = _BREAK.split(text) if "BREAK" in text else (text,)
    if not others:
        return [(text, 1.0)]
    pieces = [(first.rstrip(), 1.0)]
    for other in others[:-1]:
        pieces += [BREAK, (other.strip(), 1.0)]
    return [*pieces, BREAK, (others[-1].lstrip(), 1.0)]


def _weights(weights: list[float], spans: list[_Span]) -> list[float]:
    """The weights, multiplied by the factor of every span around them."""
    if sum(end - start for _, start, end, _ in spans) <= _DIRECT * len(weights):
        for _, start, end, factor in spans:
            for place in range(start, end):
                weights[place] *= factor
    else:
        for opener in _FACTOR:
            _multiply_nested(weights, [span for span in spans if span[0] == opener])
    return [_finite(weight) for weight in weights]


def _multiply_nested(weights: list[float], spans: list[_Span]) -> None:
    """The same for spans that lie within each other, however deep: one product for each depth, outermost first."""
    opening: defaultdict[int, list[float]] = defaultdict(list)
    for _, start, _, factor in reversed(spans):
        opening[start].append(factor)
    closing = Counter(end for _, _, end, _ in spans)
    products = [1.0]
    for place in range(len(weights)):
        del products[len(products) - closing[place] :]
        for factor in opening.get(place, ()):
            products.append(products[-1] * factor)
        weights[place] *= products[-1]


def _finite(weight: float) -> float:
    if math.isnan(weight):
        return 0.0
    return max(-sys.float_info.max, min(weight, sys.float_info.max))
