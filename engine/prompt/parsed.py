"""A prompt taken apart once, and what of it is in force at each step."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

from ..types import AdapterUse
from .editing import Template, template
from .emphasis import Segments, segments
from .tags import adapters_of, find_tags, without_tags

MAX_SUBPROMPTS = 16  # each costs a pass through the UNet at every step
_LATE = 1 << 30  # a step behind all steps: what `[a:b:t]` becomes at last, in a second pass if not in the first
_MAX_WEIGHT = 1e6  # keeps a number of 300 digits from becoming infinite

Texts = tuple[tuple[float, str], ...]  # (weight, text) of each sub-prompt

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"\s*+([+-]?+(?:\d++\.?+|\d*+\.\d++))\s*+")


@dataclass(frozen=True, slots=True)
class SubPrompt:
    """What stands between two ANDs, and how hard it pulls. `segments` hold ("BREAK", -1.0) for a new chunk."""

    weight: float
    segments: Segments


@dataclass(frozen=True, slots=True)
class Track:
    """One sub-prompt over all steps: (last step, segments up to it), in order. Neighbours may be alike.

    A stage is there for each place where the text may change, because the WebUI encodes all of them together.
    """

    weight: float
    stages: tuple[tuple[int, Segments], ...]

    def at(self, step: int) -> Segments:
        """The segments in force at this step, counted from 1."""
        stage = bisect_left(self.stages, step, key=itemgetter(0))
        return self.stages[min(stage, len(self.stages) - 1)][1]


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt without its tags, the adapters they asked for, and a sentence for each one that cannot be used.

    `steps` are those of one pass: of the only one, or of hires fix's second after `earlier` ones of its first.
    """

    text: str
    adapters: tuple[AdapterUse, ...] = ()
    errors: tuple[str, ...] = ()
    divided: bool = True  # AND divides the text

    def at(self, step: int, steps: int, earlier: int = 0) -> tuple[SubPrompt, ...]:
        """The sub-prompts in force at this step of `steps`, counted from 1. Cheap after the first call for `steps`."""
        stages = _stages(self.text, self.divided, steps, earlier)
        stage = bisect_left(stages, step, key=itemgetter(0))
        return _subprompts(stages[min(stage, len(stages) - 1)][1])

    def schedule(self, steps: int, earlier: int = 0) -> tuple[tuple[int, tuple[SubPrompt, ...]], ...]:
        """(last step, sub-prompts in force up to it), in order. Neighbours differ in text, the last ends at `steps`."""
        return tuple((last, _subprompts(texts)) for last, texts in _stages(self.text, self.divided, steps, earlier))

    def texts(self, steps: int, earlier: int = 0) -> tuple[str, ...]:
        """Every text that a sub-prompt is at some step, of `steps` or later, each once; with the signs of weighting."""
        found: dict[str, None] = {}
        for _, edited in _templates(self.text, self.divided):
            for last in sorted({*edited.ends(steps, earlier), steps, _LATE}):
                found[edited.at(last, steps, earlier)] = None
        return tuple(found)

    def tracks(self, steps: int, earlier: int = 0) -> tuple[Track, ...]:
        """Each sub-prompt by itself over `steps` steps."""
        templates = _templates(self.text, self.divided)
        return tuple(Track(weight, _track(edited, steps, earlier)) for weight, edited in templates)


def parse_prompt(text: str) -> ParsedPrompt:
    """The prompt, taken apart. Never fails: what cannot be read is in `.errors` or stays as text."""
    tags = list(find_tags(text))
    adapters, errors = adapters_of(tags)
    parsed = ParsedPrompt(without_tags(text, tags), adapters, errors)
    parts = len(_AND.findall(parsed.text)) + 1
    if parts <= MAX_SUBPROMPTS:
        return parsed
    excess = f"AND joins {parts} prompts; {MAX_SUBPROMPTS} is the most."
    return ParsedPrompt(parsed.text, adapters, (*errors, excess))


def parse_negative(text: str) -> ParsedPrompt:
    """A negative prompt: weighting and editing count in it, tags and AND are text."""
    return ParsedPrompt(text, divided=False)


@lru_cache(maxsize=32)
def _stages(text: str, divided: bool, steps: int, earlier: int) -> tuple[tuple[int, Texts], ...]:
    """(last step, texts up to it), each stage different from the one before."""
    templates = _templates(text, divided)
    ends = {steps}.union(*(edited.ends(steps, earlier) for _, edited in templates))
    stages: list[tuple[int, Texts]] = []
    for last in sorted(end for end in ends if 1 <= end <= steps):
        texts = tuple((weight, edited.at(last, steps, earlier)) for weight, edited in templates)
        if stages and stages[-1][1] == texts:
            stages.pop()
        stages.append((last, texts))
    return tuple(stages)


@lru_cache(maxsize=32)
def _templates(text: str, divided: bool) -> tuple[tuple[float, Template], ...]:
    return tuple((weight, template(part)) for weight, part in (_divided(text) if divided else [(1.0, text)]))


def _track(edited: Template, steps: int, earlier: int) -> tuple[tuple[int, Segments], ...]:
    ends = edited.ends(steps, earlier) | {steps}
    return tuple((last, segments(edited.at(last, steps, earlier))) for last in sorted(ends) if 1 <= last <= steps)


def _divided(text: str) -> list[tuple[float, str]]:
    """The parts between ANDs, each with the weight that `:number` at its end gives it."""
    return [_weighted(part) for part in _AND.split(text)]


def _weighted(part: str) -> tuple[float, str]:
    text, colon, number = part.rpartition(":")
    match = _WEIGHT.fullmatch(number) if colon else None
    if match is None:
        return 1.0, part.rstrip()
    return max(-_MAX_WEIGHT, min(float(match[1]), _MAX_WEIGHT)), text.rstrip()


def _subprompts(texts: Texts) -> tuple[SubPrompt, ...]:
    return tuple(SubPrompt(weight, segments(text)) for weight, text in texts)
