"""Drives jobs from their rows through scheduler and fleet to whoever shows them. Knows no Discord."""

from __future__ import annotations

from .poster import Poster, Undeliverable, Unreachable
from .runner import Runner

__all__ = ["Poster", "Runner", "Undeliverable", "Unreachable"]
