"""Adapter tags: `<lora:name>`, `<lora:name:both>`, `<lora:name:te:unet>`, or `te=` and `unet=`; lyco is the same."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import BadRequest
from ..types import AdapterUse

_KINDS = ("lora", "lyco")
_WEIGHTS = ("te", "unet")
_LATER = {
    "dyn": "a dynamic rank (dyn)",
    "lbw": "block weights (lbw)",
    "lbwe": "block weights (lbwe)",
    "start": "a first step (start)",
    "stop": "a last step (stop)",
    "step": "a range of steps (step)",
    "hr": "a weight of its own for hires fix (hr)",
    "hrte": "a weight of its own for hires fix (hrte)",
    "hrunet": "a weight of its own for hires fix (hrunet)",
}
_NUMBER = re.compile(r"\s*+[+-]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+\s*+")
_LONGEST = 60  # characters of a tag that a sentence repeats


class _BadTag(Exception):
    """Why a tag cannot be used."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`<kind:arg:arg>` at text[start:end]."""

    kind: str
    args: tuple[str, ...]
    start: int
    end: int

    def __str__(self) -> str:
        text = f"<{self.kind}:{':'.join(self.args)}>"
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"

    def use(self) -> AdapterUse:
        """The adapter it asks for. Raises _BadTag."""
        if self.kind.lower() not in _KINDS:
            raise _BadTag(f"{self.kind!r} is no kind of adapter; there are lora and lyco.")
        name = self.args[0].strip()
        if not name:
            raise _BadTag("it names no adapter.")
        return _use(name, *_weights(self.args[1:]))


def find_tags(text: str) -> Iterator[Tag]:
    """Every tag, from left to right; a tag ends at the first ">" and may hold anything else."""
    at = text.find("<")
    while at >= 0:
        colon = at + 1
        while colon < len(text) and _is_word(text[colon]):
            colon += 1
        if colon == at + 1 or not text.startswith(":", colon):
            at = text.find("<", colon)
            continue
        end = text.find(">", colon) + 1
        if not end:
            return
        yield Tag(text[at + 1 : colon], tuple(text[colon + 1 : end - 1].split(":")), at, end)
        at = text.find("<", end)


def without_tags(text: str, tags: list[Tag]) -> str:
    """The text with each tag cut out, and no more space around the hole than there was on one side of it."""
    if not tags:
        return text
    kept = ""
    starts = [0, *(tag.end for tag in tags)]
    ends = [*(tag.start for tag in tags), len(text)]
    pieces: list[str] = []
    for start, end in zip(starts, ends, strict=True):
        piece = text[start:end]
        if start and (not kept or kept[-1] == " "):
            piece = piece.lstrip(" ")
        if end < len(text) and _may_begin_tag(piece):
            piece += " "  # or what follows the hole would become a tag that nobody wrote
        kept = piece or kept
        pieces.append(piece)
    joined = "".join(pieces)
    return joined.rstrip(" ") if tags[-1].end == len(text.rstrip(" ")) else joined


def adapters_of(tags: list[Tag]) -> tuple[tuple[AdapterUse, ...], tuple[str, ...]]:
    """The adapters the tags ask for, each once, and a sentence for each tag that cannot be used."""
    mix: dict[str, AdapterUse] = {}
    errors: list[str] = []
    for tag in tags:
        try:
            use = tag.use()
            old = mix.get(key(use))
            mix[key(use)] = added(old, use) if old else use
        except (_BadTag, BadRequest) as error:
            errors.append(f"{tag} at character {tag.start + 1} is left out: {error}")
    return tuple(mix.values()), tuple(errors)


def key(use: AdapterUse) -> str:
    """What makes two uses the same adapter: the name, upper and lower case alike."""
    return use.name.casefold()


def added(use: AdapterUse, more: AdapterUse) -> AdapterUse:
    """The use with the weights of another one of the same adapter added."""
    return _use(use.name, _sum(use.text_weight, more.text_weight), _sum(use.weight, more.weight), use.sha256)


def written(use: AdapterUse) -> str:
    """The tag that asks for this adapter. What a tag cannot hold is left out of the name."""
    name = use.name.translate({ord(sign): None for sign in ":>"}).strip()
    weights = (use.weight,) if use.text_weight == use.weight else (use.text_weight, use.weight)
    return f"<lora:{':'.join((name, *(_short(weight) for weight in weights)))}>"


def _use(name: str, text_encoder: float, unet: float, sha256: str = "") -> AdapterUse:
    return AdapterUse(name, unet, None if text_encoder == unet else text_encoder, sha256)


def _weights(args: tuple[str, ...]) -> tuple[float, float]:
    """(text encoder, UNet): by place, then by name; the UNet's is the text encoder's unless given."""
    named: dict[str, float] = {}
    placed: list[float] = []
    for arg in args:
        key, equals, value = arg.partition("=")
        key = key.strip().lower()
        if not equals:
            placed.append(_placed(arg, len(placed)))
        elif key not in _WEIGHTS:
            raise _BadTag(
                _unsupported(_LATER[key]) if key in _LATER else f"{key!r} is no argument; there are te and unet."
            )
        elif key in named:
            raise _BadTag(f"{key} is given twice.")
        else:
            named[key] = _number(value)
    text_encoder = named.get("te", placed[0] if placed else 1.0)
    return text_encoder, named.get("unet", placed[1] if len(placed) > 1 else text_encoder)


def _placed(arg: str, place: int) -> float:
    if place >= len(_WEIGHTS):
        raise _BadTag(_unsupported("a third number, a dynamic rank,"))
    return _number(arg)


def _number(text: str) -> float:
    if "@" in text:
        raise _BadTag(_unsupported("a weight that changes over the steps"))
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise _BadTag(f"{text.strip()[:_LONGEST]!r} is not a number.")
    return number


def _unsupported(what: str) -> str:
    return f"{what} is not supported yet."


def _sum(one: float, other: float) -> float:
    return round(one + other, 9)


def _short(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _may_begin_tag(text: str) -> bool:
    _, sign, word = text.rpartition("<")
    return bool(sign) and all(map(_is_word, word))
