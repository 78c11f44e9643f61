"""Brings a database to the newest revision, or to any other."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL

MIGRATIONS = Path(__file__).parents[2] / "migrations"


async def upgrade(url: URL, revision: str = "head") -> None:
    """The database has exactly the tables of `revision`."""
    await asyncio.to_thread(command.upgrade, _config(url), revision)


async def downgrade(url: URL, revision: str) -> None:
    """The database is back at `revision`; "base" leaves no table of ours."""
    await asyncio.to_thread(command.downgrade, _config(url), revision)


def _config(url: URL) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config
