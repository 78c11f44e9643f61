"""What is kept: jobs, catalog, pictures and adapter files, in one data folder and one database."""

from __future__ import annotations

from .backup import back_up, restore
from .catalog import Catalog
from .errors import BackupUnusable, DatabaseBroken, DatabaseNewer, DataFolderError, FolderInUse
from .jobs import JobRows
from .migrate import downgrade, upgrade
from .open import Store, open_store

__all__ = [
    "BackupUnusable",
    "Catalog",
    "DataFolderError",
    "DatabaseBroken",
    "DatabaseNewer",
    "FolderInUse",
    "JobRows",
    "Store",
    "back_up",
    "downgrade",
    "open_store",
    "restore",
    "upgrade",
]
