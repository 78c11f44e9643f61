"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .desk import Line, Orders
from .errors import (
    Barred,
    CellUnknown,
    Closing,
    Forbidden,
    JobUnknown,
    NotInMix,
    OrderError,
    QueueFull,
    QuotaSpent,
    ReportUnknown,
    StorageBusy,
    StorageError,
    StorageFull,
    TooLate,
    TooOften,
)
from .gate import Gate, Rule
from .judging import Judging
from .moderation import Moderation, NotBarred
from .replay import Replay
from .values import (
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
    "AuditEntry",
    "Barred",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Closing",
    "Forbidden",
    "Gate",
    "Job",
    "JobState",
    "JobUnknown",
    "Judging",
    "Line",
    "Moderation",
    "NotBarred",
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
    "ReportUnknown",
    "Rule",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "TooOften",
    "Who",
]
