"""What is kept: jobs, catalog, pictures and adapter files, in one data folder and one database."""

from __future__ import annotations

from .catalog import Catalog
from .jobs import JobRows
from .migrate import downgrade, upgrade
from .open import Store, open_store

__all__ = ["Catalog", "JobRows", "Store", "downgrade", "open_store", "upgrade"]
