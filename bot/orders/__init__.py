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
from .models import BaseModel, Models
from .oversight import AuditPage, Oversight, Overview
from .replay import Replay
from .settings import InForce, Level, Settings
from .shown import shown_to
from .stock import Held, Placed, Stats, Stock, Worker
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
    "AuditPage",
    "BaseModel",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Closing",
    "Forbidden",
    "Gate",
    "Held",
    "InForce",
    "Job",
    "JobState",
    "JobUnknown",
    "Level",
    "Line",
    "Models",
    "NotInMix",
    "Order",
    "OrderError",
    "Orders",
    "Oversight",
    "Overview",
    "Page",
    "Placed",
    "Press",
    "Price",
    "Queue",
    "QueueFull",
    "QuotaSpent",
    "Replay",
    "Rule",
    "SettingRefused",
    "Settings",
    "SettingsChange",
    "SettingsDesk",
    "Stats",
    "Stock",
    "StorageBusy",
    "StorageError",
    "StorageFull",
    "StoredPicture",
    "Ticket",
    "TooLate",
    "Who",
    "Worker",
    "shown_to",
]
