"""Grids: one request over two axes, as the WebUI's "X/Y/Z plot" writes them. Pure: axes, cells, labels."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import BadRequest
from .prompt import identified, left_to_chance, untagged
from .types import MAX_ADAPTERS, AdapterUse, Request

MAX_AXIS = 25  # values: what Discord lets one menu offer
MAX_CELLS = 100
Value = float | str
_LONGEST = 60  # characters of a number or range

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*(?:\(\s*({_NUMBER})\s*\)|\[\s*(\d+)\s*\])?\s*")


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a grid. `kind` is one of KINDS, or a weight with the adapter's name: "weight ink".

    Numbers for weight, seed, steps, cfg, strength and clip skip; names for adapter ("ink", "ink:0.5", or "none" for
    the mix as it is), sampler, schedule and vae. For prompt the values are texts: the first stands in the prompt, the
    others take its place.
    """

    kind: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        known = ", ".join(KINDS).replace("weight", "weight NAME")
        good = bool(self.adapter) or (self.kind in KINDS and self.kind != "weight")
        _require(good, f"A grid cannot run over {self.kind!r}; it can over {known}.")
        count = f"An axis has 1 to {MAX_AXIS} values; {self.kind} has {len(self.values)}."
        _require(1 <= len(self.values) <= MAX_AXIS, count)
        _require(len(set(self.values)) == len(self.values), f"A value of {self.kind} comes twice; once is enough.")
        wanted = _type_of(self.kind)
        for value in self.values:
            good = isinstance(value, str) if wanted is str else _is_number(value, whole=wanted is int)
            _require(good, f"{self.kind} cannot be {value!r}; write {_SPELLED[wanted]}.")

    @property
    def adapter(self) -> str:
        """The adapter whose weight this is; "" for every other kind."""
        kind, _, name = self.kind.partition(" ")
        return name.strip() if kind == "weight" else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside the columns or rows of the sheet, such as "seed 1"; texts of a prompt speak alone."""
        head = self.adapter or ("" if self.kind in ("prompt", "sampler", "adapter") else self.kind)
        return tuple(f"{head} {_written(value)}".strip() for value in self.values)

    def __str__(self) -> str:
        """As `read_axis` reads it."""
        return f"{self.kind}: {', '.join(_quoted(_written(value)) for value in self.values)}"

    def naming(self, names: Mapping[str, str]) -> Axis:
        """The axis with these names in place of those that it gives adapters, which are the keys in lower case."""
        if self.adapter:
            return replace(self, kind=" ".join(("weight", names.get(self.adapter.casefold(), self.adapter))))
        if self.kind != "adapter":
            return self
        parts = (str(value).partition(":") for value in self.values)
        named = (names.get(name.strip().casefold(), name) + colon + rest for name, colon, rest in parts)
        return Axis(self.kind, tuple(named))

    def applied(self, request: Request, value: Value) -> Request:
        """The request of a cell where this axis has `value`."""
        return KINDS["weight" if self.adapter else self.kind](request, value, self)


@dataclass(frozen=True, slots=True)
class Grid:
    """One labelled sheet instead of one picture: a column a value of `x`, a row a value of `y`.

    With `keep` the result has every cell as a picture of its own after the sheet, row by row.
    """

    x: Axis
    y: Axis | None = None
    keep: bool = False

    def __post_init__(self) -> None:
        _require(self.y is None or self.y.kind != self.x.kind, f"Both axes run over {self.x.kind}; take another one.")
        _require(len(self) <= MAX_CELLS, f"This grid has {len(self)} cells; {MAX_CELLS} is the most.")

    def __len__(self) -> int:
        """How many cells it has."""
        return len(self.x.values) * (len(self.y.values) if self.y else 1)

    def __str__(self) -> str:
        return f"{self.x} × {self.y}" if self.y else str(self.x)

    @property
    def columns(self) -> int:
        return len(self.x.values)

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that its axes name, each once."""
        named: dict[str, str] = {}
        for axis in filter(None, (self.x, self.y)):
            uses = [axis.adapter] if axis.adapter else []
            if axis.kind == "adapter":
                uses = [use.name for use in map(_read_use, map(str, axis.values)) if use is not None]
            named |= {name.casefold(): name for name in uses if name.casefold() not in named}
        return tuple(named.values())

    def naming(self, names: Mapping[str, str]) -> Grid:
        """The grid with other names for the adapters on its axes, by the old ones in lower case.

        Raises BadRequest where two were names of one.
        """
        return replace(self, x=self.x.naming(names), y=self.y.naming(names) if self.y else None)

    @property
    def rewords(self) -> bool:
        """Whether an axis replaces words of the prompt, tags among them."""
        return "prompt" in (self.x.kind, self.y.kind if self.y else "")

    def cells(self, request: Request) -> tuple[Request, ...]:
        """A plain request a cell, row by row. Drawn by itself it gives the very picture on the sheet.

        The words of a prompt are replaced first, in its tags too; what stands in tags then is in `adapters`, where the
        other axis finds it. Tags of variants and wildcards are left to each picture. A request without a seed has cells
        without one: fill it in first, so that they share it. Raises BadRequest, or PromptError.
        """
        _require(request.count == 1, "A grid draws one picture a cell; leave the count at 1.")
        base = replace(request, grid=None)
        rows = self.y.values if self.y else (None,)
        return tuple(self._cell(base, x, y) for y in rows for x in self.x.values)

    def _cell(self, request: Request, x: Value, y: Value | None) -> Request:
        values = [(self.x, x)] + ([(self.y, y)] if self.y is not None and y is not None else [])
        for axis, value in values:
            request = axis.applied(request, value) if axis.kind == "prompt" else request
        if not left_to_chance(request.prompt):
            request = identified(untagged(request))
        for axis, value in values:
            request = request if axis.kind == "prompt" else axis.applied(request, value)
        return request


def read_axis(text: str) -> Axis:
    """An axis from "steps: 10, 20", "seed: 1-4", "cfg: 2-8 (+2)" or "weight ink: 0-1 [5]". Raises BadRequest.

    As in the WebUI: values are parted by commas, quotes keep a comma, `a-b` counts in ones, `(+s)` in steps of s, and
    `[n]` takes n values from a to b.
    """
    kind, colon, listed = text.partition(":")
    _require(bool(colon), f"{text[:60]!r} is no axis; write what it runs over and its values, as in seed: 1-4.")
    kind = " ".join(kind.split())
    kind = kind.casefold() if kind.casefold() in KINDS else re.sub(r"^weight ", "weight ", kind, flags=re.IGNORECASE)
    line = " ".join(listed.split())
    items = [item.strip() for item in next(csv.reader([line], skipinitialspace=True), [])]
    wanted = _type_of(kind)
    if wanted is str:
        return Axis(kind, tuple(items))
    return Axis(kind, tuple(value for item in items for value in _numbers(kind, item, wanted)))


def described(grid: Grid) -> str:
    """The axes as the WebUI writes them behind the fields of an infotext."""
    fields = ["Script: X/Y/Z plot"]
    for letter, axis in (("X", grid.x), ("Y", grid.y)):
        if axis is not None:
            listed = str(axis).partition(": ")[2].replace('"', '""')
            fields += [f"{letter} Type: {axis.kind}", f'{letter} Values: "{listed}"']
    return ", ".join(fields)


# --- values


def _type_of(kind: str) -> type:
    return float if kind.startswith("weight ") else _NUMBERS.get(kind, str)


def _numbers(kind: str, item: str, wanted: type) -> Iterator[float]:
    if re.fullmatch(_NUMBER, item) and len(item) <= _LONGEST:
        yield _exact(kind, float(item), wanted)
        return
    found = _RANGE.fullmatch(item) if len(item) <= _LONGEST else None
    if found is None:
        raise BadRequest(f"{kind} cannot be {item[:40]!r}; write {_SPELLED[wanted]}, or a range such as 1-4.")
    first, last = float(found[1]), float(found[2])
    count = int(found[4]) if found[4] else 0
    if count:
        _require(2 <= count <= MAX_AXIS, f"{item} asks for {count} values; 2 to {MAX_AXIS} are possible.")
        values = [first + (last - first) * i / (count - 1) for i in range(count)]
        yield from (int(value) if wanted is int else round(value, 6) for value in values)
        return
    stride = abs(float(found[3] or 1)) * (1 if last >= first else -1)
    _require(stride != 0, f"{item} goes nowhere in steps of 0.")
    steps = int((last - first) / stride + 1e-9)
    _require(steps < MAX_AXIS, f"{item} has {steps + 1} values; {MAX_AXIS} is the most of an axis.")
    yield from (_exact(kind, round(first + i * stride, 6), wanted) for i in range(steps + 1))


def _exact(kind: str, value: float, wanted: type) -> float:
    if wanted is not int:
        return value
    _require(value == int(value), f"{kind} cannot be {value:g}; write {_SPELLED[int]}.")
    return int(value)


def _is_number(value: Value, *, whole: bool) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and (not whole or value == int(value))


def _written(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def _quoted(text: str) -> str:
    """In quotes, as csv has them, where it holds a comma or a quote."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


# --- what the kinds do to a request


def _changed(request: Request, field: str, value: Value) -> Request:
    changes: dict[str, Any] = {field: value}
    return replace(request, **changes)


def _whole(field: str) -> Applied:
    return lambda request, value, axis: _changed(request, field, int(value))


def _decimal(field: str) -> Applied:
    return lambda request, value, axis: _changed(request, field, float(value))


def _name(field: str) -> Applied:
    return lambda request, value, axis: _changed(request, field, str(value))


def _weighted(request: Request, value: Value, axis: Axis) -> Request:
    return _mixed(request, axis.adapter, float(value))


def _with_adapter(request: Request, value: Value, axis: Axis) -> Request:
    use = _read_use(str(value))
    return request if use is None else _mixed(request, use.name, use.weight)


def _replaced(request: Request, value: Value, axis: Axis) -> Request:
    """Search and replace, in the prompt and the negative one."""
    old, new = str(axis.values[0]), str(value)
    found = bool(old) and (old in request.prompt or old in request.negative)
    _require(found, f"{old[:60]!r}, the first value of the axis, does not stand in the prompt.")
    return replace(request, prompt=request.prompt.replace(old, new), negative=request.negative.replace(old, new))


def _mixed(request: Request, name: str, weight: float) -> Request:
    """The request with this adapter at this weight, in its place where the mix has it."""
    uses = list(request.adapters)
    for place, use in enumerate(uses):
        if use.name.casefold() == name.casefold():
            uses[place] = replace(use, weight=weight, te_weight=None)
            return replace(request, adapters=tuple(uses))
    known = next((use for use in request.known if use.name.casefold() == name.casefold()), AdapterUse(name))
    _require(len(uses) < MAX_ADAPTERS, f"There is no room for {name}: {MAX_ADAPTERS} adapters at once are the most.")
    return replace(request, adapters=(*uses, replace(known, weight=weight, te_weight=None)))


def _read_use(text: str) -> AdapterUse | None:
    """ "ink" or "ink:0.5"; None for "none"."""
    name, _, weight = text.partition(":")
    if name.strip().casefold() in ("none", ""):
        return None
    try:
        return AdapterUse(name.strip(), float(weight) if weight.strip() else 1.0)
    except ValueError:
        raise BadRequest(f"{text[:60]!r} is no adapter with a weight; write it as ink:0.5.") from None


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise BadRequest(sentence)


Applied = Callable[[Request, Value, Axis], Request]
KINDS: dict[str, Applied] = {
    "weight": _weighted,
    "adapter": _with_adapter,
    "seed": _whole("seed"),
    "steps": _whole("steps"),
    "cfg": _decimal("cfg"),
    "sampler": _name("sampler"),
    "schedule": _name("schedule"),
    "strength": _decimal("strength"),
    "clip skip": _whole("clip_skip"),
    "vae": _name("vae"),
    "prompt": _replaced,
}
"""What an axis can run over, and what it does to a request; a weight is written with its adapter."""
_NUMBERS: dict[str, type] = {"seed": int, "steps": int, "clip skip": int, "cfg": float, "strength": float}
_SPELLED = {int: "a whole number", float: "a number", str: "a name"}
