"""A Request as JSON and back, without loss; the picture and the mask that it starts from are bytes and go beside it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from engine import AdapterUse, Axis, Grid, Hires, Request


def to_json(request: Request) -> dict[str, Any]:
    """Every field of the request but `image` and `mask`."""
    fields = asdict(replace(request, image=None, mask=None))
    del fields["image"], fields["mask"]
    return fields


def from_json(fields: dict[str, Any], image: bytes | None = None, mask: bytes | None = None) -> Request:
    """The request that `to_json` was given. Unknown fields are refused, not dropped; one that is missing, as in rows of
    an earlier version, has its default. There a grid had the files that its axes name.
    """
    hires, grid = fields.get("hires"), fields.get("grid")
    known = fields.get("known", ()) if grid is None else (*fields.get("known", ()), *grid.get("adapters", ()))
    return Request(
        **fields
        | {
            "adapters": _uses(fields.get("adapters", ())),
            "hires": None if hires is None else Hires(**hires),
            "grid": None if grid is None else _grid(grid),
            "image": image,
            "mask": mask,
            "known": _uses(known),
            "notes": tuple(fields.get("notes", ())),
        }
    )


def _grid(fields: dict[str, Any]) -> Grid:
    axes = {letter: fields[letter] and _axis(fields[letter]) for letter in ("x", "y")}
    return Grid(**{key: value for key, value in fields.items() if key != "adapters"} | axes)


def _axis(fields: dict[str, Any]) -> Axis:
    return Axis(**fields | {"values": tuple(fields["values"])})


def _uses(listed: Any) -> tuple[AdapterUse, ...]:
    return tuple(AdapterUse(**use) for use in listed)
