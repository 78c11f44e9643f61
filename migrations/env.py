"""What Alembic runs: from `bot.store.upgrade` with a URL, or from its own command line on the data folder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from alembic import context
from sqlalchemy import URL, Connection

from bot.store.database import connect, database_url
from bot.store.models import Base

OPTIONS = {
    "target_metadata": Base.metadata,
    "render_as_batch": True,
    "compare_type": True,
    "transaction_per_migration": True,
    "transactional_ddl": True,
}


def url() -> URL:
    given: URL | None = context.config.attributes.get("url")
    return given or database_url(Path(os.environ.get("LORALOOM_DATA", "data")) / "loraloom.db")


def migrate(connection: Connection | None = None) -> None:
    """Runs the revisions, or writes their SQL when there is no connection."""
    context.configure(connection=connection, url=None if connection else url(), literal_binds=not connection, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


async def online() -> None:
    engine = connect(url(), writes=True, foreign_keys=False)  # a batch rebuild drops the table that others point to
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    migrate()
else:
    asyncio.run(online())
