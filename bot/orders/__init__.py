"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .desk import Line, Orders
from .errors import CellUnknown, JobUnknown, NotInMix, OrderError, QueueFull, TooLate
from .replay import Replay
from .values import (
    CatalogEntry,
    Job,
    JobState,
    Order,
    Page,
    Press,
    Price,
    Queue,
    StoredPicture,
    Ticket,
    Who,
)

__all__ = [
    "CatalogEntry",
    "CellUnknown",
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
    "Price",
    "Queue",
    "QueueFull",
    "Replay",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
]
