"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .content import Content, SettingsOf
from .desk import Line, Orders
from .errors import (
    CellUnknown,
    Closing,
    ContentRefused,
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
from .privacy import Export, Privacy
from .replay import Replay
from .screen import Words
from .values import (
    AuditEntry,
    Bounds,
    CatalogEntry,
    Holdings,
    Job,
    JobState,
    Order,
    Page,
    Press,
    Price,
    Queue,
    Shared,
    StoredPicture,
    Ticket,
    Who,
)

__all__ = [
    "AuditEntry",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Closing",
    "Content",
    "ContentRefused",
    "Export",
    "Forbidden",
    "Gate",
    "Holdings",
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
    "Privacy",
    "Queue",
    "QueueFull",
    "QuotaSpent",
    "Replay",
    "Rule",
    "SettingsOf",
    "Shared",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
    "Words",
]
