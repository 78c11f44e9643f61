"""The chain of revisions and the models say the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect

from bot.store import downgrade, upgrade
from bot.store.database import connect, database_url, wal_is_safe
from bot.store.models import Base


async def _ask(path: Path, question: Callable[[Connection], Any]) -> Any:
    engine = connect(database_url(path), writes=True)
    async with engine.connect() as connection:
        answer = await connection.run_sync(question)
    await engine.dispose()
    return answer


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return compare_metadata(context, Base.metadata)


async def test_the_newest_revision_has_the_tables_of_the_models(tmp_path: Path) -> None:
    """After an upgrade to head there is nothing that autogenerate would add, drop or change."""
    path = tmp_path / "a.db"
    await upgrade(database_url(path))
    assert await _ask(path, _tables) == set(Base.metadata.tables)
    assert await _ask(path, _differences) == []


async def test_down_to_base_leaves_nothing_and_up_again_works(tmp_path: Path) -> None:
    """A downgrade is the inverse of the upgrade, and both can follow each other."""
    path = tmp_path / "a.db"
    url = database_url(path)
    await upgrade(url)
    await downgrade(url, "base")
    assert await _ask(path, _tables) == set()
    await upgrade(url)
    assert await _ask(path, _differences) == []


async def test_every_foreign_key_is_enforced(tmp_path: Path) -> None:
    """The writing connection has foreign keys on and a full sync at every commit."""
    pragmas = await _ask(
        tmp_path / "a.db",
        lambda connection: [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("foreign_keys", "synchronous")
        ],
    )
    assert pragmas == [1, 2]


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
    ],
)
def test_wal_is_used_only_without_the_wal_reset_bug(version: tuple[int, int, int], safe: bool) -> None:
    """Fixed in 3.51.3 and in the backports 3.50.7 and 3.44.6; every other version has it."""
    assert wal_is_safe(version) is safe


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("data/a.db", "sqlite+aiosqlite:///data/a.db"),
        ("sqlite:///data/a.db", "sqlite+aiosqlite:///data/a.db"),
        ("postgresql://bot@db/bot", "postgresql+asyncpg://bot@db/bot"),
    ],
)
def test_a_path_or_a_plain_url_gets_an_async_driver(given: str, url: str) -> None:
    """What people write in a config needs no driver name."""
    assert str(database_url(given)) == url
