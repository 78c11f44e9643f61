"""Wildcards and variants: what a prompt leaves to chance, decided by a seed.

    variant   = "{" [count "$$" [joiner "$$"]] option ("|" option)* "}"     {red|blue}  {2$$red|blue|green}
    option    = [weight "::"] text                                          {3::red|blue}: red three times out of four
    count     = number | number "-" number
    wildcard  = "__" name "__"                                              a line of the file name.txt

As in the Dynamic Prompts extension of the WebUI, whose choices these are not: which option a seed takes is our own.
Both nest, also through files. Braces without "|" or "$$" of their own stay as they are, because the WebUI and NovelAI
read them as text; so do `\\{`, `\\}` and `\\|`, which keep their backslash until weighting drops it. A text that was
expanded is therefore plain: expanding it again changes nothing. One pass with a stack of our own: no recursion.
"""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import PromptError
from ..types import MAX_SEED, Request

MAX_DRAWN = 12_000  # characters of lines taken from files for one prompt; files that name each other could ask for more
LINE = 20  # what a line costs beside its characters: empty ones are work too
JOINER = ", "

# Every alternative is chosen by its first characters and never gives back what it took, so matching is linear.
_TOKEN = re.compile(
    r"""
      \\.
    | __ (?P<name> (?:[^\W_]|[./-])++ (?:_(?:[^\W_]|[./-])++)*+ ) __
    | \$\$ | [{}|]
    | [^\\_${}|]++
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_WEIGHT = re.compile(r"\s*+((?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++))::")
_COUNT = re.compile(r"\s*+([0-9]{1,4}+)(?:-([0-9]{1,4}+))?+\s*+")

Files = Mapping[str, Sequence[str]]  # a wildcard's name -> its lines


def expand(text: str, seed: int, files: Files) -> str:
    """The text with every choice made. The same text, seed and files always give the same.

    Raises PromptError: no such wildcard, files that lead in a circle, a count or weights that cannot be met.
    """
    if "{" not in text and "__" not in text:
        return text
    return _Draw(seed, files).expand(text)


def left_to_chance(text: str) -> bool:
    """Whether another seed may make another text of it."""
    todo = _parse(text) if "{" in text or "__" in text else []
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            continue
        if not isinstance(node, _Variant) or not node.most == len(node.options) == 1:
            return True
        todo += node.options[0]
    return False


def expanded(request: Request, index: int, files: Files) -> Request:
    """The request as picture `index` reads it: both prompts expanded with that picture's seed. `seed` must be set.

    The very same request where nothing is left to chance. Raises PromptError, BadRequest where it becomes too long.
    """
    assert request.seed is not None
    seed = (request.seed + index) % (MAX_SEED + 1)
    prompt, negative = expand(request.prompt, seed, files), expand(request.negative, seed, files)
    if (prompt, negative) == (request.prompt, request.negative):
        return request
    return replace(request, prompt=prompt, negative=negative)


@dataclass(frozen=True, slots=True, eq=False)
class _Wildcard:
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class _Left:
    """Where the text of a wildcard ends."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class _Variant:
    """`least` to `most` of the options, joined. One option of which one is taken is a group."""

    options: list[list[_Node]]
    weights: list[float]
    least: int = 1
    most: int = 1
    joiner: str = JOINER


_Node = str | _Wildcard | _Left | _Variant


@dataclass(slots=True, eq=False)
class _Brace:
    """An opening brace and what stands behind it so far, in parts divided by the marks "|" and "$$"."""

    parts: list[list[_Node]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)

    def divide(self, mark: str) -> None:
        self.marks.append(mark)
        self.parts.append([])

    def flat(self) -> list[_Node]:
        """All of it as it was written."""
        nodes: list[_Node] = ["{", *self.parts[0]]
        for mark, part in zip(self.marks, self.parts[1:], strict=True):
            nodes += [mark, *part]
        return nodes

    def closed(self) -> _Variant:
        """What the brace says once it is closed."""
        count = _COUNT.fullmatch(_plain(self.parts[0])) if self.marks[:1] == ["$$"] else None
        if count is None and "|" not in self.marks:
            return _Variant([[*self.flat(), "}"]], [1.0])
        head = 0 if count is None else 2 if self.marks[1:2] == ["$$"] else 1
        joiner = _plain(self.parts[1]) if head == 2 else JOINER
        weights, options = zip(*map(_weighted, self._options(head)), strict=True)
        least, most = (int(count[1]), int(count[2] or count[1])) if count else (1, 1)
        return _Variant(list(options), list(weights), min(least, most), max(least, most), joiner)

    def _options(self, head: int) -> list[list[_Node]]:
        """The parts from `head` on, divided at "|" alone: there is no count or joiner any more."""
        options = [list(self.parts[head])]
        for mark, part in zip(self.marks[head:], self.parts[head + 1 :], strict=True):
            if mark == "|":
                options.append(list(part))
            else:
                options[-1] += [mark, *part]
        return options


class _Draw:
    """One expansion: its random numbers, and the wildcards it has read and drawn from."""

    def __init__(self, seed: int, files: Files) -> None:
        self._random = random.Random(seed)
        self._files = files
        self._known: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {}
        self._parsed: dict[str, list[_Node]] = {}
        self._drawn = 0

    def expand(self, text: str) -> str:
        pieces: list[str] = []
        inside: dict[str, None] = {}  # the wildcards whose text is being written, outermost first
        todo = _parse(text)[::-1]
        while todo:
            node = todo.pop()
            if isinstance(node, str):
                pieces.append(node)
            elif isinstance(node, _Left):
                del inside[node.name]
            elif isinstance(node, _Variant):
                todo += self._chosen(node)[::-1]
            else:
                if node.name in inside:
                    raise PromptError(f"Wildcards lead in a circle: {' → '.join((*inside, node.name))}.")
                inside[node.name] = None
                todo += [_Left(node.name), *self._line(node.name)[::-1]]
        return "".join(pieces)

    def _chosen(self, variant: _Variant) -> list[_Node]:
        """What the variant says this time."""
        if variant.most == len(variant.options) == 1:
            return variant.options[0]
        many = variant.least
        if variant.most > many:
            many += int(self._random.random() * (variant.most - many + 1))
        chosen: list[_Node] = []
        for number, index in enumerate(self._indices(variant.weights, many)):
            chosen += ([variant.joiner] if number else []) + variant.options[index]
        return chosen

    def _indices(self, weights: Sequence[float], many: int) -> list[int]:
        """`many` different indices, drawn one after the other by weight (Efraimidis & Spirakis 2006)."""
        if many == 1:
            return [self._index(weights)]
        if many > sum(weight > 0 for weight in weights):
            raise PromptError(f"{{{many}$$…}} asks for {many} of {len(weights)} options; so many are not to be had.")
        keys = [-math.log(1.0 - self._random.random()) / weight if weight else math.inf for weight in weights]
        return sorted(range(len(weights)), key=keys.__getitem__)[:many]

    def _index(self, weights: Sequence[float]) -> int:
        """One index, drawn by weight."""
        total = sum(weights)
        if not 0 < total < math.inf:
            raise PromptError(f"The weights of a choice add up to {total:g}: there is nothing to choose from.")
        left = self._random.random() * total
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return max(index for index, weight in enumerate(weights) if weight)  # rounding ate the last bit

    def _line(self, name: str) -> list[_Node]:
        """A line of the wildcard's file."""
        if name not in self._known:
            self._known[name] = self._read(name)
        weights, lines = self._known[name]
        line = lines[self._index(weights)]
        self._drawn += LINE + len(line)
        if self._drawn > MAX_DRAWN:
            raise PromptError(f"The wildcards of this prompt stand for more than {MAX_DRAWN} characters.")
        if line not in self._parsed:
            self._parsed[line] = _parse(line)
        return self._parsed[line]

    def _read(self, name: str) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """The lines of a wildcard's file, apart from their weights."""
        lines = self._files.get(name)
        if lines is None:
            raise PromptError(_unknown(name, self._files))
        if not lines:
            raise PromptError(f"The wildcard __{name}__ has no lines to choose from.")
        weights, texts = zip(*map(_split_weight, lines), strict=True)
        return weights, texts


def _parse(text: str) -> list[_Node]:
    nodes: list[_Node] = []
    braces: list[_Brace] = []

    def add(node: _Node) -> None:
        (braces[-1].parts[-1] if braces else nodes).append(node)

    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["name"] is not None:
            add(_Wildcard(match["name"]))
        elif token == "{":
            braces.append(_Brace())
        elif token == "}" and braces:
            add(braces.pop().closed())
        elif token in ("|", "$$") and braces:
            braces[-1].divide(token)
        else:
            add(token)
    for brace in braces:  # never closed, so they are text
        nodes += brace.flat()
    return nodes


def _weighted(option: list[_Node]) -> tuple[float, list[_Node]]:
    """`2::text` as (2.0, text)."""
    if not option or not isinstance(option[0], str):
        return 1.0, option
    weight, first = _split_weight(option[0])
    return weight, [first, *option[1:]]


def _split_weight(text: str) -> tuple[float, str]:
    match = _WEIGHT.match(text)
    return (float(match[1]), text[match.end() :]) if match else (1.0, text)


def _plain(nodes: list[_Node]) -> str:
    """The text of nodes without choices, else nothing that could be a count or a joiner."""
    return "".join(node if isinstance(node, str) else "\0" for node in nodes)


def _unknown(name: str, files: Files) -> str:
    near = difflib.get_close_matches(name, list(files), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(f'__{other}__' for other in near)}?" if near else ""
    return f"There is no wildcard __{name}__ here.{hint}"
