"""/lora edit, share, fork, favourite, remove: whose an adapter is, who sees it, what it says."""

from __future__ import annotations


class Share:
    """Commands of /lora."""
