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
    SettingRefused,
    StorageBusy,
    StorageError,
    StorageFull,
    TooLate,
)
from .gate import Gate, Rule
from .governing import Allowed, SettingsChange, SettingsDesk
from .replay import Replay
from .settings import InForce, Level, Settings
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
    "Allowed",
    "AuditEntry",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "SettingsChange",
    "Closing",
    "Forbidden",
    "Gate",
    "InForce",
    "Job",
    "JobState",
    "JobUnknown",
    "Level",
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
    "SettingRefused",
    "Settings",
    "SettingsDesk",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
]
