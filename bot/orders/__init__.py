"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .browsing import Change, Details, Gallery, Sample, Show, Wish
from .desk import Line, Orders
from .errors import (
    Barred,
    CellUnknown,
    Closing,
    Forbidden,
    JobUnknown,
    NameTaken,
    NotInMix,
    OrderError,
    QueueFull,
    QuotaSpent,
    ReportUnknown,
    SettingRefused,
    StorageBusy,
    StorageError,
    StorageFull,
    TooLate,
    TooOften,
)
from .gate import Gate, Rule
from .governing import Allowed, SettingsChange, SettingsDesk
from .judging import Judging
from .models import BaseModel, Models
from .moderation import Moderation, NotBarred
from .oversight import AuditPage, Oversight, Overview
from .replay import Replay
from .settings import InForce, Level, Settings
from .shelf import Sharing, Shelf
from .shown import shown_to
from .stock import Held, Placed, Stats, Stock, Worker
from .values import (
    AdapterRunning,
    AuditEntry,
    Bounds,
    CatalogEntry,
    Credit,
    Job,
    JobState,
    Order,
    Page,
    Press,
    Price,
    Queue,
    StoredPicture,
    Ticket,
    Triggers,
    Who,
)

__all__ = [
    "AdapterRunning",
    "Allowed",
    "AuditEntry",
    "AuditPage",
    "Barred",
    "BaseModel",
    "Bounds",
    "CatalogEntry",
    "CellUnknown",
    "Change",
    "Closing",
    "Credit",
    "Details",
    "Forbidden",
    "Gallery",
    "Gate",
    "Held",
    "InForce",
    "Job",
    "JobState",
    "JobUnknown",
    "Judging",
    "Level",
    "Line",
    "NameTaken",
    "Models",
    "Moderation",
    "NotBarred",
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
    "ReportUnknown",
    "Rule",
    "Sample",
    "Sharing",
    "Shelf",
    "Show",
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
    "TooOften",
    "Triggers",
    "Who",
    "Wish",
    "Worker",
    "shown_to",
]
