"""The golden table of prompts as it is read: `python -m tests.bench.golden`. Exits 1 where one is read otherwise.

Rows and what they should be are tests/engine/prompt/golden.py, by hand; the tests hold them one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from engine.prompt import parse_prompt, written
from tests.engine.prompt import golden

STEPS = 10


def main() -> int:
    wrong = total = 0
    for title, rows, read in TABLES:
        print(f"\n{title}")
        for prompt, wanted in rows.items():
            found = read(prompt)
            good = _agrees(found, wanted)
            wrong, total = wrong + (not good), total + 1
            print(f"{'' if good else 'WRONG '}{prompt!r:<60} {_shown(found)}")
    print(f"\n{total} prompts, {wrong} read otherwise than they should be")
    return 1 if wrong else 0


def _weighed(prompt: str) -> object:
    (sub,) = parse_prompt(prompt).at(1, STEPS)
    return sub.segments


def _edited(prompt: str) -> object:
    schedule = parse_prompt(prompt).schedule(STEPS)
    return tuple((last, "".join(text for text, _ in sub.segments)) for last, (sub,) in schedule)


def _edited_segments(prompt: str) -> object:
    return tuple((last, sub.segments) for last, (sub,) in parse_prompt(prompt).schedule(STEPS))


def _parts(prompt: str) -> object:
    return tuple((sub.weight, "".join(text for text, _ in sub.segments)) for sub in parse_prompt(prompt).at(1, STEPS))


def _tagged(prompt: str) -> object:
    parsed = parse_prompt(prompt)
    return (parsed.text, parsed.adapters, *parsed.errors)


def _agrees(found: Any, wanted: Any) -> bool:
    """A bad tag's row says only a part of its sentence."""
    if len(found) == len(wanted) == 3 and isinstance(wanted[2], str):
        return bool(found[:2] == wanted[:2] and wanted[2] in found[2])
    return bool(found == wanted)


def _shown(found: Any) -> str:
    """Adapters as the tags that they are."""
    if len(found) > 1 and isinstance(found[0], str):
        text, adapters, *errors = found
        return " | ".join([repr(text), " ".join(map(written, adapters)), *errors])
    return str(found)


TABLES: tuple[tuple[str, Mapping[str, object], Callable[[str], object]], ...] = (
    ("Weights", golden.WEIGHTING, _weighed),
    (f"Editing and turns over {STEPS} steps", golden.EDITING, _edited),
    ("Weights in edited text", golden.EDITED_SEGMENTS, _edited_segments),
    ("AND", golden.CONJUNCTION, _parts),
    ("Tags", golden.TAGS, _tagged),
    ("Tags that cannot be used", golden.BAD_TAGS, _tagged),
)

if __name__ == "__main__":
    sys.exit(main())
