"""Engines and transactions: one writing connection, separate readers, and what SQLite must be told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, exc, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from ..orders.errors import StorageBusy, StorageError, StorageFull

T = TypeVar("T")
BUSY_MS = 5_000
FULL = "The disk of the bot is full, so nothing new can be kept."
UNWRITABLE = "The bot cannot write to its memory; its owner finds the reason in the log."


class Database:
    """`write` transactions follow one another on one connection; `read` ones run beside them and change nothing."""

    def __init__(self, url: URL) -> None:
        self._writer = connect(url, writes=True)
        self._readers = connect(url, writes=False)
        self._sessions = sessionmaker()
        self._writing = async_sessionmaker(
            self._writer, class_=WholeSession, expire_on_commit=False, sync_session_class=self._sessions
        )
        self._reading = async_sessionmaker(self._readers, class_=WholeSession, expire_on_commit=False)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction, committed at the end and rolled back on an error. Keep it short. Raises StorageError."""
        with _typed():
            async with self._writing.begin() as session:
                yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """One consistent look at the database. Raises StorageError."""
        with _typed():
            async with self._reading() as session:
                yield session

    def when_written(self, listener: Callable[[Collection[object]], None]) -> None:
        """From here on `listener` gets the rows that each committed transaction has added, changed or removed.

        They are the ones that the session held as objects: statements over many rows tell nobody.
        """

        @event.listens_for(self._sessions, "after_flush")
        def collect(session: Session, context: object) -> None:
            session.info.setdefault(listener, []).extend((*session.new, *session.dirty, *session.deleted))

        @event.listens_for(self._sessions, "after_commit")
        def tell(session: Session) -> None:
            listener(session.info.pop(listener, ()))

    async def touch(self) -> None:
        """A transaction that holds the write lock was begun and taken back. Raises StorageError."""
        with _typed():
            async with self._writing() as session:
                await session.execute(text("SELECT 1"))

    async def compact(self) -> None:
        """Nothing that was deleted can be found in the database's files. Raises StorageError while others read.

        The whole file is written anew, which takes about a second for 100 MB; whoever writes meanwhile waits. Other
        databases than SQLite see to this themselves.
        """
        if self._writer.dialect.name != "sqlite":
            return
        with _typed():
            async with self._writer.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None, "a connection that was just opened has one"
                try:
                    await driver.execute("VACUUM")  # outside of any transaction, unlike everything else
                    await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                except sqlite3.Error as error:
                    raise exc.DBAPIError("VACUUM", None, error) from error

    async def aclose(self) -> None:
        await self._readers.dispose()
        await self._writer.dispose()


class WholeSession(AsyncSession):
    """One whose statements come to their end also where whoever waits for them is cancelled meanwhile.

    A statement that is cut off keeps its lock on a SQLite file until Python's garbage collector comes to its cursor,
    and nobody can write until then.
    """

    async def execute(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().execute(*args, **options))

    async def scalar(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().scalar(*args, **options))

    async def scalars(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().scalars(*args, **options))

    async def get(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().get(*args, **options))

    async def get_one(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().get_one(*args, **options))

    async def merge(self, *args: Any, **options: Any) -> Any:
        return await _whole(super().merge(*args, **options))

    async def flush(self, objects: Any = None) -> None:
        await _whole(super().flush(objects))

    async def refresh(self, *args: Any, **options: Any) -> None:
        await _whole(super().refresh(*args, **options))

    async def delete(self, instance: object) -> None:
        await _whole(super().delete(instance))


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. Cancelled, however often, it is waited for all the same; then the cancellation goes on."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        task.exception()  # nobody else will ask for it
        raise asyncio.CancelledError
    return task.result()


def database_url(database: str | Path) -> URL:
    """A path or a URL as a URL with an async driver."""
    if isinstance(database, Path) or "://" not in database:
        return URL.create("sqlite+aiosqlite", database=str(database))
    url = make_url(database)
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def connect(url: URL, *, writes: bool, foreign_keys: bool = True) -> AsyncEngine:
    """An engine whose transactions on SQLite begin at once for writing, or cannot write at all."""
    pool = {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": 4}
    connections = create_async_engine(url, hide_parameters=True, **pool)  # they hold prompts and interaction tokens
    if connections.dialect.name == "sqlite":
        _prepare_sqlite(connections, _pragmas(writes, foreign_keys), "BEGIN IMMEDIATE" if writes else "BEGIN")
    return connections


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug: 3.51.3, and the backports 3.50.7 and 3.44.6."""
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def _pragmas(writes: bool, foreign_keys: bool) -> list[str]:
    pragmas = [f"busy_timeout={BUSY_MS}", f"foreign_keys={'ON' if foreign_keys else 'OFF'}", "synchronous=FULL"]
    if writes:
        return [
            *pragmas,
            "secure_delete=ON",
            "journal_mode=" + ("WAL" if wal_is_safe(sqlite3.sqlite_version_info) else "DELETE"),
        ]
    return [*pragmas, "query_only=ON"]


def _prepare_sqlite(connections: AsyncEngine, pragmas: list[str], begin: str) -> None:
    @event.listens_for(connections.sync_engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: `on_begin` does
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(connections.sync_engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


@contextmanager
def _typed() -> Iterator[None]:
    """The driver's errors in words for members. A broken constraint is a defect of ours and stays what it is."""
    try:
        yield
    except exc.TimeoutError as error:  # every connection is taken
        raise StorageBusy("Too much is being written down at once here; try again in a moment.") from error
    except exc.DBAPIError as error:
        kind = str(getattr(error.orig, "sqlite_errorname", ""))
        if kind.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StorageBusy("The bot's memory is busy; try again in a moment.") from error
        if kind.startswith("SQLITE_FULL"):
            raise StorageFull(FULL) from error
        if kind.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise StorageError(UNWRITABLE) from error
        raise
