"""A Request as JSON and back, without loss; the picture it starts from is bytes and travels beside it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from engine import AdapterUse, Request


def to_json(request: Request) -> dict[str, Any]:
    """Every field of the request but `image`."""
    fields = asdict(replace(request, image=None)) | {"adapters": [asdict(use) for use in request.adapters]}
    del fields["image"]
    return fields


def from_json(fields: dict[str, Any], image: bytes | None = None) -> Request:
    """The request that `to_json` was given. Unknown fields are refused, not dropped."""
    adapters = tuple(AdapterUse(**use) for use in fields.get("adapters", ()))
    return Request(**fields | {"adapters": adapters, "notes": tuple(fields.get("notes", ())), "image": image})
