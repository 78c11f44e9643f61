"""/lora add: an adapter from elsewhere becomes a member's own."""

from __future__ import annotations


class Add:
    """Commands of /lora."""
