"""Prompt editing: `[a:b:t]`, `[b:t]` and `[a::t]` switch at step t, `[a|b|c]` takes turns.

    template = ( text | group | edit | turns )*
    group    = "(" template [":" template] ")"  |  "[" template "]"          stays as it is, for `emphasis` to read
    edit     = "[" [template ":"] template ":" number "]"
    turns    = "[" template ("|" template)+ "]"

In the second pass of hires fix steps go on counting where the `earlier` ones of the first ended: a whole t counts from
there, and as a fraction t is 1 at the start of the second pass and 2 at its end. Turns begin anew.

Outside of every bracket, a bracket or colon that fits nowhere stands for itself. A "|" that fits nowhere, or a
backslash with nothing to escape, makes the whole prompt literal. One pass with a stack of our own: no recursion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Every alternative is chosen by its first character and never gives back what it took, so matching is linear.
_TOKEN = re.compile(r"[^\\()\[\]:|]++|\\.|[\\()\[\]:|]")
_NUMBER = re.compile(r"\s*+([+-]?+(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?+)\s*+")


@dataclass(frozen=True, slots=True, eq=False)
class _Edit:
    """`before` up to and including step `when`, then `after`; as a fraction, `when` counts in whole pictures."""

    before: list[_Node]
    after: list[_Node]
    when: float
    fraction: bool

    def last(self, steps: int, earlier: int) -> int:
        """The last step that shows `before`; 0 where none does."""
        when = (self.when - bool(earlier)) * steps if self.fraction else self.when - earlier
        return int(max(0.0, min(when, steps)))

    def at(self, step: int, steps: int, earlier: int) -> list[_Node]:
        return self.before if step <= self.last(steps, earlier) else self.after


@dataclass(frozen=True, slots=True, eq=False)
class _Turns:
    """One option after the other, a step each. A single option is a group."""

    options: list[list[_Node]]

    def at(self, step: int, _steps: int, _earlier: int) -> list[_Node]:
        return self.options[(step - 1) % len(self.options)]


_Node = str | _Edit | _Turns


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A prompt whose text depends on the step."""

    nodes: list[_Node]
    edits: list[_Edit] = field(default_factory=list)
    turns: bool = False

    def at(self, step: int, steps: int, earlier: int = 0) -> str:
        """The text in force at this step, counted from 1, of a pass of `steps` after `earlier` ones."""
        texts: list[str] = []
        todo = self.nodes[::-1]
        while todo:
            node = todo.pop()
            if isinstance(node, str):
                texts.append(node)
            else:
                todo += reversed(node.at(step, steps, earlier))
        return "".join(texts)

    def ends(self, steps: int, earlier: int = 0) -> set[int]:
        """The steps after which the text may change."""
        return set(range(1, steps)) if self.turns else {edit.last(steps, earlier) for edit in self.edits}


def template(text: str) -> Template:
    """The prompt, ready to be asked for any step. Text that is no template is one all the same: it never changes."""
    if "[" not in text:
        return Template([text])  # most prompts: only a square bracket can begin what changes
    try:
        return _Reader().read(text)
    except _Literal:
        return Template([text])


class _Literal(Exception):
    """The prompt as a whole is plain text."""


@dataclass(slots=True, eq=False)
class _Bracket:
    """A bracket not yet closed: what stands in it so far, in parts divided by the marks ":" and "|"."""

    opener: str
    parts: list[list[_Node]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)

    def divide(self, mark: str) -> None:
        self.marks.append(mark)
        self.parts.append([])

    def flat(self) -> list[_Node]:
        """All of it as it was written."""
        nodes = [self.opener, *self.parts[0]]
        for mark, part in zip(self.marks, self.parts[1:], strict=True):
            nodes += [mark, *part]
        return nodes

    def closed(self, closer: str) -> _Edit | _Turns | None:
        """What the bracket says once it is closed like that, or None where it fits nothing."""
        round_ = self.opener + closer == "()"
        if not round_ and self.opener + closer != "[]":
            return None
        if not self.marks or (round_ and self.marks == [":"]):
            return _Turns([[*self.flat(), closer]])
        if round_:
            return None
        return _Turns(self.parts) if set(self.marks) == {"|"} else self._edit()

    def _edit(self) -> _Edit | None:
        *texts, number = self.parts
        if len(self.marks) > 2 or "|" in self.marks or len(number) != 1 or not isinstance(number[0], str):
            return None
        match = _NUMBER.fullmatch(number[0])
        if match is None:
            return None
        before = texts[0] if len(texts) == 2 else []
        return _Edit(before, texts[-1], float(match[1]), "." in match[1])


class _Reader:
    def __init__(self) -> None:
        self._brackets: list[_Bracket] = []
        self._nodes: list[_Node] = []  # outside of every bracket
        self._edits: list[_Edit] = []
        self._turns = False

    def read(self, text: str) -> Template:
        for token in _TOKEN.findall(text):
            if token in ("(", "["):
                self._brackets.append(_Bracket(token))
            elif token in (")", "]"):
                self._close(token)
            elif token in (":", "|"):
                self._mark(token)
            elif token == "\\":
                raise _Literal
            else:
                self._add(token)
        self._dissolve()
        return Template(self._nodes, self._edits, self._turns)

    def _add(self, node: _Node) -> None:
        (self._brackets[-1].parts[-1] if self._brackets else self._nodes).append(node)

    def _mark(self, mark: str) -> None:
        if self._brackets:
            self._brackets[-1].divide(mark)
        elif mark == ":":
            self._nodes.append(mark)
        else:
            raise _Literal

    def _close(self, closer: str) -> None:
        node = self._brackets[-1].closed(closer) if self._brackets else None
        if node is None:
            self._dissolve()
            self._nodes.append(closer)
            return
        self._brackets.pop()
        if isinstance(node, _Edit):
            self._edits.append(node)
        else:
            self._turns |= len(node.options) > 1
        self._add(node)

    def _dissolve(self) -> None:
        """No open bracket can fit any more, because what fits nowhere may only stand outside of them all."""
        for bracket in self._brackets:
            if "|" in bracket.marks:
                raise _Literal
            self._nodes += bracket.flat()
        self._brackets.clear()
