"""What members can ask for: the use-cases, their values and their errors. Knows no Discord."""

from __future__ import annotations

from .bars import NotBarred
from .browsing import Change, Details, Gallery, Sample, Show, Wish
from .content import Content, SettingsOf
from .desk import Line, Orders
from .errors import (
    Barred,
    CellUnknown,
    Closing,
    ContentRefused,
    Forbidden,
    JobUnknown,
    NameTaken,
    NotInMix,
    OrderError,
    PlaceFull,
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
from .moderation import Moderation
from .oversight import AuditPage, Oversight, Overview
from .privacy import Export, Privacy
from .replay import Replay
from .screen import Words
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
    "Content",
    "ContentRefused",
    "Export",
    "Credit",
    "Details",
    "Forbidden",
    "Gallery",
    "Gate",
    "Holdings",
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
    "Privacy",
    "Queue",
    "PlaceFull",
    "QueueFull",
    "QuotaSpent",
    "Replay",
    "ReportUnknown",
    "Rule",
    "SettingsOf",
    "Shared",
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
    "Words",
    "Wish",
    "Worker",
    "shown_to",
]
