"""Whoever waits for the database may be cancelled at any moment; nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from bot.store import Store


def is_free(file: Path) -> bool:
    """Whether a stranger may write, now or in half a second."""
    with closing(sqlite3.connect(file, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True


async def read(store: Store) -> None:
    async with store.connections.read() as session:
        for _ in range(3):
            await session.execute(text("SELECT * FROM catalog_entries"))


async def test_a_reader_or_writer_that_is_cancelled_leaves_no_lock(store: Store) -> None:
    """Somewhere between the first statement and the last, before the garbage collector comes."""
    await store.adopt_builtins()
    rng, file = random.Random(1), Path(str(store.connections._writer.url.database))
    for number in range(300):
        work = read(store) if number % 2 else store.audit.record("test", "a note", guild_id=None)
        task = asyncio.ensure_future(work)
        await asyncio.sleep(rng.random() * 0.006)
        for _ in range(1 + number // 2 % 3):  # whoever cancels may do it again
            task.cancel()
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(is_free, file), number
    await store.audit.record("test", "the last note", guild_id=None)
