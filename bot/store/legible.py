"""Can every value of a database be read as what it is? SQLite finds broken pages, not broken values in whole ones."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import JSON, BigInteger, Column, Enum, Float, Integer, LargeBinary, Table

from engine import EngineError

from .models import Base, UtcTime
from .wire import from_json

NEWEST = 10_000  # jobs whose orders are understood, beside the unfinished ones; the others need only be JSON
Reader = Callable[[object], object]


def first_illegible(connection: sqlite3.Connection) -> str | None:
    """Where the first value stands that cannot be read, or None. Raises sqlite3.DatabaseError for text that is none.

    Tables and columns that a database of an earlier revision has not are left out.
    """
    for table in Base.metadata.sorted_tables:
        found = _in_table(connection, table)
        if found:
            return found
    return _in_orders(connection)


def _in_table(connection: sqlite3.Connection, table: Table) -> str | None:
    there = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table.name})")}
    columns = [c for c in table.columns if c.name in there and not isinstance(c.type, LargeBinary)]
    readers = {column.name: _reader(column) for column in columns}
    if not readers:
        return None
    for row in connection.execute(f"SELECT {', '.join(readers)} FROM {table.name}"):
        for (name, read), value in zip(readers.items(), row, strict=True):
            try:
                if value is not None:
                    read(value)
            except (ValueError, TypeError):
                return f"{name} in a row of {table.name}"
    return None


def _in_orders(connection: sqlite3.Connection) -> str | None:
    there = {str(row[1]) for row in connection.execute("PRAGMA table_info(jobs)")}
    if not {"request", "told", "created_at"} <= there:
        return None
    query = "SELECT id, request FROM jobs WHERE NOT told UNION SELECT id, request FROM (SELECT id, request FROM jobs "
    for job_id, request in connection.execute(query + "ORDER BY created_at DESC LIMIT ?)", (NEWEST,)):
        try:
            from_json(json.loads(request))
        except (ValueError, TypeError, KeyError, AttributeError, EngineError):  # whatever part of it is not what it was
            return f"the order of job {job_id}"
    return None


def _reader(column: Column[object]) -> Reader:
    """Raises ValueError or TypeError for what is no value of the column."""
    kind = column.type
    if isinstance(kind, UtcTime):
        return lambda value: datetime.fromisoformat(value)  # type: ignore[arg-type]
    if isinstance(kind, JSON):
        return lambda value: json.loads(value)  # type: ignore[arg-type]
    if isinstance(kind, Enum):
        return lambda value: _require(value in kind.enums)
    numbers = isinstance(kind, (BigInteger, Integer, Float)) or kind.python_type is bool
    return lambda value: _require(isinstance(value, (int, float) if numbers else str))


def _require(right: bool) -> None:
    if not right:
        raise ValueError
