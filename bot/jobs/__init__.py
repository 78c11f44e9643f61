"""Drives jobs from their rows through scheduler and fleet to whoever shows them. Knows no Discord."""

from __future__ import annotations

from .poster import Poster, Undeliverable, Unreachable
from .runner import Runner
from .suspicion import Quarantine

__all__ = ["Poster", "Quarantine", "Runner", "Undeliverable", "Unreachable"]
