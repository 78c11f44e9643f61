"""What is drawn with one mix, a request without tags and the files of its adapters, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .conduct import USUAL, Conduct
from .folders import Wildcards
from .library import SUFFIX
from .prompt import expanded, identified, untagged
from .strength import Weights
from .types import AdapterReport, AdapterUse, Picture, Request, alone

if TYPE_CHECKING:
    from .adapters.file import Adapter


@dataclass(frozen=True, slots=True)
class Draft:
    """`adapters` are the files of `request.adapters`, in that order."""

    request: Request
    adapters: tuple[Adapter, ...]

    def mix(self, step: int, steps: int, *, hires: bool = False) -> list[tuple[Adapter, Weights]]:
        """What is in force at this step, counted from 1, of the first pass or of a second one (`hires`)."""
        uses = zip(self.adapters, self.request.adapters, strict=True)
        return [(adapter, use.at(step, steps, hires=hires)) for adapter, use in uses]

    @property
    def kind(self) -> tuple[tuple[str, AdapterUse], ...]:
        """The same for drafts that can be drawn together: the same files in the same strengths."""
        uses = zip(self.adapters, self.request.adapters, strict=True)
        return tuple((adapter.info.sha256, replace(use, name="", sha256="")) for adapter, use in uses)

    @property
    def usual(self) -> bool:
        """Whether every weight is one that an adapter has to bear."""
        return all(abs(weight) <= USUAL for use in self.request.adapters for weight in (use.weight, use.text_weight))

    def trial(self, places: Sequence[int]) -> Draft:
        """Its first picture with these of its adapters alone, none of them stronger than is usual."""
        uses = tuple(_usual(self.request.adapters[place]) for place in places)
        request = replace(alone(self.request, 0), adapters=uses)
        return Draft(request, tuple(self.adapters[place] for place in places))


@dataclass(frozen=True, slots=True)
class Drawn:
    """The pictures of `request`, and what the Result says of adapters and machine."""

    request: Request
    pictures: tuple[Picture, ...]
    reports: tuple[AdapterReport, ...]
    conduct: tuple[Conduct, ...] = ()
    remarks: tuple[str, ...] = ()


def together(request: Request, pictures: Iterable[Picture], parts: Sequence[Drawn]) -> Drawn:
    """One order that was drawn in parts; of an adapter the first report counts, and the worst conduct."""
    reports: dict[str, AdapterReport] = {}
    conduct: dict[str, Conduct] = {}
    for part in parts:
        reports |= {report.name: report for report in part.reports if report.name not in reports}
        conduct |= {one.sha256: one for one in part.conduct if one.fault or one.sha256 not in conduct}
    remarks = dict.fromkeys(remark for part in parts for remark in part.remarks)
    return Drawn(request, tuple(pictures), tuple(reports.values()), tuple(conduct.values()), tuple(remarks))


def drafts_of(request: Request, wildcards: Wildcards) -> tuple[Request, ...]:
    """The request, or one for each picture where wildcards or variants make their prompts, tags and all, differ.

    A picture and its seed are the same in any batch.
    """
    read = [expanded(request, index, wildcards) for index in range(request.count)]
    if all(one == request for one in read):
        return (request,)
    return tuple(alone(one, index) for index, one in enumerate(read))


def unfolded(request: Request, wildcards: Wildcards) -> tuple[Request, ...]:
    """The plain requests that this one is drawn as: cells, variants and wildcards chosen, tags in `adapters`.

    `seed` must be set. Raises PromptError, BadRequest.
    """
    cells = (request,) if request.grid is None else request.grid.cells(request)
    return tuple(identified(untagged(one)) for cell in cells for one in drafts_of(cell, wildcards))


def named(use: AdapterUse) -> AdapterUse:
    """A path is nobody's business outside this machine: pictures carry the file's name."""
    return replace(use, name=Path(use.name).stem) if use.name.endswith(SUFFIX) else use


def _usual(use: AdapterUse) -> AdapterUse:
    """The use over all steps and blocks at its weight, at most the usual one, and never at nothing."""
    largest = max(abs(weight) for weight, _ in (*use.curve, (use.weight, 0.0), (use.text_weight, 0.0)))
    sign = -1.0 if use.weight < 0 else 1.0
    return AdapterUse(use.name, sign * min(largest or USUAL, USUAL), sha256=use.sha256)
