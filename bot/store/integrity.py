"""Is the database whole, and ours? Asked before every start, so that damage is found before anything is built on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.script import ScriptDirectory

from .errors import DatabaseBroken, DatabaseNewer
from .journal import lost
from .legible import first_illegible
from .migrate import MIGRATIONS

HEADER = b"SQLite format 3\0"
UNPACKED = ".restore-"  # begins the name of the folder in which a restore unpacks a backup
RESTORE = "Restore a backup with `python -m bot restore FILE`, or move the whole data folder away to begin anew."


def check(database: Path) -> str | None:
    """The revision of a whole database, or None where there has never been one. Reads only.

    A file that is empty or gone is no fresh start while pictures or adapters lie beside it, or a restore that was cut
    short: opening it would make an empty database over what was lost. Nor is a database whole whose own log has lost
    what was committed in it. Raises DatabaseBroken or DatabaseNewer.
    """
    size = database.stat().st_size if database.is_file() else 0
    if size == 0:
        if _was_used(database.parent):
            state = "empty" if database.is_file() else "gone"
            raise DatabaseBroken(f"{database} is {state}, but files that it kept account of are here. {RESTORE}")
        return None
    with database.open("rb") as file:
        head = file.read(20)
    if not head.startswith(HEADER):
        raise DatabaseBroken(f"{database} is not an SQLite database any more. {RESTORE}")
    if any(version not in (1, 2) for version in head[18:20]):  # SQLite would read it, and not write
        raise DatabaseBroken(f"{database} is damaged: its head asks for a format that SQLite never had. {RESTORE}")
    if missing := lost(database):  # before SQLite plays back what is left of it, and removes the log
        raise DatabaseBroken(f"{missing}. {RESTORE}")
    revision = _examined(database)
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    if revision is not None and revision not in known:
        raise DatabaseNewer(
            f"{database} is at revision {revision}, which a newer Loraloom has made. Update this one, or restore a "
            "backup from before that."
        )
    return revision


def newest() -> str | None:
    """The revision that this Loraloom works with."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _examined(database: Path) -> str | None:
    """The revision of a database in which SQLite finds no fault. Its own journal, left by a crash, is played back."""
    try:
        with closing(sqlite3.connect(database, timeout=10)) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            strays = connection.execute("PRAGMA foreign_key_check").fetchone()
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            rows = connection.execute("SELECT version_num FROM alembic_version") if "alembic_version" in tables else ()
            revision = next((str(row[0]) for row in rows), None)
            illegible = first_illegible(connection) if faults == ["ok"] and strays is None else None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter for names that are no text any more
        raise DatabaseBroken(f"{database} cannot be read: {error}. {RESTORE}") from error
    if faults != ["ok"]:
        raise DatabaseBroken(f"{database} is damaged: {'; '.join(faults)}. {RESTORE}")
    if strays is not None:
        raise DatabaseBroken(f"{database} is damaged: a row of {strays[0]} points to nothing in {strays[2]}. {RESTORE}")
    if illegible is not None:
        raise DatabaseBroken(f"{database} is damaged: {illegible} cannot be read. {RESTORE}")
    if tables and revision is None and tables != {"alembic_version"}:
        raise DatabaseBroken(f"{database} holds tables that are not of Loraloom. {RESTORE}")
    return revision


def _was_used(folder: Path) -> bool:
    kept = (folder / "adapters", folder / "pictures", *folder.glob(f"{UNPACKED}*"))
    return any(path.is_file() for place in kept if place.is_dir() for path in place.rglob("[!.]*"))
