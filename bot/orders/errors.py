"""What an order can be refused for, as a tree. `str(error)` is a sentence a member can read and act on.

    OrderError
    ├── QueueFull       the member has as many unfinished jobs as may be
    │   └── PlaceFull       the server or the bot has
    ├── QuotaSpent      the member has ordered as many seconds of drawing today as they may
    ├── JobUnknown      no job of that id for this person: missing and forbidden read the same
    ├── TooLate         the job is past the point where it can be cancelled, a question answered or forgotten
    ├── NotInMix        a new weight for an adapter that the job did not use
    ├── CellUnknown     a cell that the job's sheet does not have
    ├── Forbidden       not for this person, or not in this place
    ├── Barred          the adapter was taken down here or everywhere, or is in quarantine
    ├── ReportUnknown   no report of that number for this person, or no ban of that name
    ├── TooOften        the member has done this as often as one may in a day
    ├── ContentRefused  a word, an adapter or a picture that is not drawn or shown in this place
    ├── NameTaken       another adapter there is called so already
    ├── ShelfFull       the member has added as many adapters as one person may
    ├── Stopped         an import was stopped before it was done; nothing of it was kept
    ├── SettingRefused  a setting that cannot be, or that a wider level does not allow
    ├── Closing         the bot is ending or an admin has closed the line; nothing new is taken
    └── StorageError    what was asked could not be written down, and nothing of it was
        ├── StorageBusy     something else holds the database; it will be free again
        └── StorageFull     the disk has no room

An adapter that is unknown or made for another base model raises the engine's AdapterNotFound or AdapterMismatch.
"""

from __future__ import annotations


class OrderError(Exception):
    """Base of everything an order is refused for."""


class QueueFull(OrderError):
    """The member has as many unfinished jobs as may be."""


class PlaceFull(QueueFull):
    """The server or the bot has as many unfinished jobs as may be."""


class QuotaSpent(OrderError):
    """The member has ordered as many seconds of drawing today as they may."""


class JobUnknown(OrderError):
    """No job of that id for this person."""


class TooLate(OrderError):
    """The job is past the point where it can be cancelled, a question answered or forgotten."""


class NotInMix(OrderError):
    """A new weight for an adapter that the job did not use."""


class CellUnknown(OrderError):
    """A cell that the job's sheet does not have."""


class Forbidden(OrderError):
    """Not for this person, or not in this place."""


class Barred(OrderError):
    """The adapter was taken down here or everywhere, or is in quarantine."""


class ReportUnknown(OrderError):
    """No report of that number for this person, or no ban of that name."""


class TooOften(OrderError):
    """The member has done this as often as one may in a day."""


class ContentRefused(OrderError):
    """A word, an adapter or a picture that is not drawn or shown in this place."""


class NameTaken(OrderError):
    """Another adapter there is called so already."""


class ShelfFull(OrderError):
    """The member has added as many adapters as one person may."""


class Stopped(OrderError):
    """An import was stopped before it was done."""


class SettingRefused(OrderError):
    """A setting that cannot be, or that a wider level does not allow."""


class Closing(OrderError):
    """The bot is ending or an admin has closed the line; nothing new is taken."""


class StorageError(OrderError):
    """What was asked could not be written down, and nothing of it was."""


class StorageBusy(StorageError):
    """Something else holds the database; it will be free again."""


class StorageFull(StorageError):
    """The disk has no room."""
