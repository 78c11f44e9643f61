"""A Request as JSON and back, without loss."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any

from engine import AdapterUse, Request


def to_json(request: Request) -> dict[str, Any]:
    """Every field of the request; picture bytes as base64."""
    image = None if request.image is None else b64encode(request.image).decode("ascii")
    return asdict(request) | {"adapters": [asdict(use) for use in request.adapters], "image": image}


def from_json(fields: dict[str, Any]) -> Request:
    """The request that `to_json` was given. Unknown fields are refused, not dropped."""
    image = fields.get("image")
    adapters = tuple(AdapterUse(**use) for use in fields.get("adapters", ()))
    return Request(**fields | {"adapters": adapters, "image": None if image is None else b64decode(image)})
