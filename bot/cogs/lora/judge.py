"""/lora rate, report: what members say of an adapter."""

from __future__ import annotations


class Judge:
    """Commands of /lora."""
