"""The audit: written with the act it tells of, never edited, and silent about people who are forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from bot.store import Store, open_store
from bot.store.models import AuditRow, PersonRow
from tests.fakes import GUILD, MEMBER


async def test_entries_come_newest_first_by_server_and_by_pages(store: Store) -> None:
    for number in range(5):
        await store.audit.record("ban", f"file {number}", actor=MEMBER, guild_id=GUILD, details={"reason": "r"})
    await store.audit.record("prune", "pictures", guild_id=None)
    here = await store.audit.entries(GUILD, limit=2)
    assert [entry.subject for entry in here] == ["file 4", "file 3"]
    assert {(entry.actor_id, entry.action) for entry in here} == {(MEMBER, "ban")}
    assert [entry.subject for entry in await store.audit.entries(GUILD, before=here[-1].id)] == [
        "file 2",
        "file 1",
        "file 0",
    ]
    assert (await store.audit.entries(None))[0].actor_id is None
    assert await store.audit.entries(GUILD + 1) == ()


async def test_an_entry_goes_with_its_act_or_not_at_all(store: Store) -> None:
    """An act that is taken back leaves no entry."""
    with pytest.raises(RuntimeError):
        await _acted_and_failed(store)
    assert await store.audit.count() == 0


async def _acted_and_failed(store: Store) -> None:
    async with store.connections.write() as session:
        await store.audit.note(session, "ban", "x", actor=MEMBER)
        raise RuntimeError


CHANGES = [update(AuditRow).values(action="nothing"), delete(AuditRow)]


@pytest.mark.parametrize("change", CHANGES, ids=["edit", "delete"])
async def test_the_database_itself_refuses_an_edit(store: Store, change: object) -> None:
    await store.audit.record("ban", "x", actor=MEMBER)
    with pytest.raises(DBAPIError, match="never edited"):
        await _changed(store, change)
    assert [entry.action for entry in await store.audit.entries(None)] == ["ban"]


async def _changed(store: Store, change: object) -> None:
    async with store.connections.write() as session:
        await session.execute(change)  # type: ignore[call-overload]


async def test_an_edit_from_outside_shows(tmp_path: Path) -> None:
    """Whoever takes the triggers away and changes, adds or removes an entry breaks the chain of digests there."""
    async with open_store(None, tmp_path) as store:
        for number in range(4):
            await store.audit.record("ban", f"file {number}", actor=MEMBER)
        assert await store.audit.first_edited() is None
    with closing(sqlite3.connect(tmp_path / "loraloom.db")) as connection:
        connection.executescript("DROP TRIGGER audit_is_kept_from_update; DROP TRIGGER audit_is_kept_from_delete;")
        connection.execute("DELETE FROM audit WHERE id = 3")
        connection.commit()
    async with open_store(None, tmp_path) as store:
        assert await store.audit.first_edited() == 4


async def test_a_person_who_is_forgotten_is_in_no_entry(store: Store) -> None:
    """The entry stays, the chain holds, and nothing leads from it to the person."""
    await store.audit.record("ban", "x", actor=MEMBER)
    async with store.connections.write() as session:
        await store.audit.forget(session, MEMBER)
    assert [entry.actor_id for entry in await store.audit.entries(None)] == [None]
    assert await store.audit.first_edited() is None
    async with store.connections.read() as session:
        assert (await session.scalars(select(PersonRow))).all() == []
    await store.audit.record("ban", "y", actor=MEMBER)
    first, second = sorted(await store.audit.entries(None), key=lambda entry: entry.id)
    assert (first.actor_id, second.actor_id) == (None, MEMBER)
