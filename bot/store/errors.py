"""Why a data folder cannot be opened. Each sentence says what to do; all end the bot with `EXIT_CONFIG`.

    DataFolderError
    ├── FolderInUse       another process works on this folder
    ├── DatabaseBroken    the database is damaged, or gone while its files are here
    ├── DatabaseNewer     a newer Loraloom has made it
    └── BackupUnusable    a backup that is damaged, or no place to restore it to

What goes wrong later, while the folder is open, is a `bot.orders.StorageError`.
"""

from __future__ import annotations


class DataFolderError(Exception):
    """The data folder cannot be opened."""


class FolderInUse(DataFolderError):
    """Another process works on this folder."""


class DatabaseBroken(DataFolderError):
    """The database is damaged, or gone while its files are here."""


class DatabaseNewer(DataFolderError):
    """A newer Loraloom has made it."""


class BackupUnusable(DataFolderError):
    """A backup that is damaged, or no place to restore it to."""
