"""The expressions by which PEFT's settings name modules (`alpha_pattern`), matched as PEFT does, in bounded time.

PEFT asks `re.match(rf"(.*\\.)?({expression})$", module)`, and the first expression that matches counts. Files are
hostile, and Python's matcher can be kept busy for years by twenty characters. Names, which diffusers writes, are safe
for it. What people write by hand is read here, and followed by the set of positions that can be reached: a step costs
at most the length of the module's name, whatever the expression says. What is neither is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_PATTERNS = 1024  # of one component; the UNet of SDXL has 794 layers
MAX_LENGTH = 256  # characters of one; the longest module name has 79
MAX_WRITTEN = 1024  # characters in one file of those that are no plain names
_NAME = re.compile(r"(?:[\w.-]|\\[.-])+", re.ASCII)
_TOKEN = re.compile(
    r"(?P<one>\\[.dDwW-]|\[\^?(?:\w|\w-\w|\\?[.])+\]|[\w.-])(?:(?P<times>[*+?])\??)?|(?P<mark>\((?:\?:)?|[|)^$])",
    re.ASCII,
)


class One(NamedTuple):
    """A character out of some, once, or as `*`, `+` or `?` say."""

    among: re.Pattern[str]
    times: str


class Choice(NamedTuple):
    """Alternatives; each is a sequence of these, of single characters, and of the edges `^` and `$`."""

    ways: list[list[One | Choice | str]]


def read_pattern(text: str) -> re.Pattern[str] | Choice:
    """The expression, for `means`. Raises ValueError for one that is broken or not of the kinds taken here."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"{len(text)} characters long, more than {MAX_LENGTH}")
    if is_name(text):
        return re.compile(rf"(?:.*\.)?(?:{text})")
    return _choice(_tokens(text), "")


def is_name(text: str) -> bool:
    """Whether nothing is repeated or chosen in it: a dot still stands for any character."""
    return bool(_NAME.fullmatch(text))


def means(pattern: re.Pattern[str] | Choice, module: str) -> bool:
    """Whether the expression is the module's whole name, or the end of it behind a dot."""
    if not isinstance(pattern, Choice):
        return bool(pattern.fullmatch(module))
    starts = 1 | sum(2 << i for i, character in enumerate(module) if character == ".")
    return bool(_behind(pattern, module, starts) >> len(module) & 1)


def _behind(choice: Choice, module: str, starts: int) -> int:
    """Where the expression can end when it begins at one of `starts`. Positions are bits, so sets of them numbers."""
    found = 0
    for way in choice.ways:
        at = starts
        for step in way:
            if isinstance(step, Choice):
                at = _behind(step, module, at)
            elif isinstance(step, One):
                at = _moved(step, module, at)
            else:
                at &= 1 if step == "^" else 1 << len(module)
        found |= at
    return found


def _moved(step: One, module: str, at: int) -> int:
    places = _places(step.among, module)
    once = (at & places) << 1
    while step.times in ("*", "+") and once | (once & places) << 1 != once:
        once |= (once & places) << 1
    return once | at if step.times in ("*", "?") else once


@lru_cache(maxsize=1 << 14)
def _places(among: re.Pattern[str], module: str) -> int:
    return sum(1 << found.start() for found in among.finditer(module))


def _tokens(text: str) -> Iterator[re.Match[str]]:
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"{text[at]!r} at {at + 1} is not taken here")
        yield token
        at = token.end()


def _choice(tokens: Iterator[re.Match[str]], closed_by: str) -> Choice:
    ways: list[list[One | Choice | str]] = [[]]
    for token in tokens:
        mark = token["mark"] or ""
        if token["one"]:
            ways[-1].append(One(_compiled(token["one"]), token["times"] or ""))
        elif mark == "|":
            ways.append([])
        elif mark == ")":
            if not closed_by:
                raise ValueError("a parenthesis is not open")
            return Choice(ways)
        else:
            ways[-1].append(_choice(tokens, ")") if mark.startswith("(") else mark)
    if closed_by:
        raise ValueError("a parenthesis is not closed")
    return Choice(ways)


def _compiled(one: str) -> re.Pattern[str]:
    try:
        return re.compile(one)
    except re.error as error:
        raise ValueError(f"{one} is no class of characters") from error
