"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .desk import Line, Orders
from .errors import (
    CellUnknown,
    Closing,
    Forbidden,
    JobUnknown,
    NotInMix,
    OrderError,
    QueueFull,
    QuotaSpent,
    StorageBusy,
    StorageError,
    StorageFull,
    TooLate,
)
from .gate import Gate, Rule
from .replay import Replay
from .values import (
    AdapterRunning,
    AuditEntry,
    Bounds,
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
    "AdapterRunning",
    "AuditEntry",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Closing",
    "Forbidden",
    "Gate",
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
    "QuotaSpent",
    "Replay",
    "Rule",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
]
