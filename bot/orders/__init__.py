"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .browsing import Change, Details, Gallery, Sample, Show, Wish
from .content import Content, SettingsOf
from .desk import Line, Orders
from .errors import (
    CellUnknown,
    Closing,
    ContentRefused,
    Forbidden,
    JobUnknown,
    NameTaken,
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
from .shelf import Sharing, Shelf
from .values import (
    AuditEntry,
    Bounds,
    CatalogEntry,
    Credit,
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
    Triggers,
    Who,
)

__all__ = [
    "AuditEntry",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Change",
    "Closing",
    "Content",
    "ContentRefused",
    "Export",
    "Credit",
    "Details",
    "Forbidden",
    "Gallery",
    "Gate",
    "Holdings",
    "Job",
    "JobState",
    "JobUnknown",
    "Line",
    "NameTaken",
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
    "Sample",
    "Sharing",
    "Shelf",
    "Show",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Triggers",
    "Who",
    "Words",
    "Wish",
]
