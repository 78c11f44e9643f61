"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .desk import Line, Orders
from .errors import JobUnknown, NotInMix, OrderError, QueueFull, TooLate
from .replay import Replay
from .values import (
    CatalogEntry,
    Job,
    JobState,
    Order,
    Page,
    Press,
    Queue,
    StoredPicture,
    Ticket,
    Who,
)

__all__ = [
    "CatalogEntry",
    "Job",
    "JobState",
    "JobUnknown",
    "Line",
    "NotInMix",
    "Order",
    "OrderError",
    "Orders",
    "Page",
    "Press",
    "Queue",
    "QueueFull",
    "Replay",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
]
