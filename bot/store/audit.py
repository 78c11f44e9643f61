"""The record of what was done to people's things, which nobody can edit: not the bot, and not unnoticed from outside.

An entry names its actor by a number; the people table says who that is. Forgetting a person removes the latter only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.values import AuditEntry
from .database import Database
from .models import AuditRow, PersonRow
from .people import person_of

BEFORE_THE_FIRST = "0" * 64


class Audit:
    """Entries by place and time. `note` belongs into the transaction of the act it tells of."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def note(
        self,
        session: AsyncSession,
        action: str,
        subject: str,
        *,
        actor: int | None = None,
        guild_id: int | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """The entry is written when the session's transaction is. `details` name no person: they outlive them."""
        person = None if actor is None else await person_of(session, actor)
        last = await session.scalar(select(AuditRow.digest).order_by(AuditRow.id.desc()).limit(1))
        row = AuditRow(
            at=self._now(),
            actor=person,
            guild_id=guild_id,
            action=action,
            subject=subject,
            details=dict(details or {}),
        )
        row.digest = _digest(last or BEFORE_THE_FIRST, row)
        session.add(row)
        await session.flush()

    async def record(self, action: str, subject: str, **about: object) -> None:
        """An entry for an act that changed nothing else in the database."""
        async with self._database.write() as session:
            await self.note(session, action, subject, **about)  # type: ignore[arg-type]

    async def entries(
        self, guild_id: int | None, *, before: int | None = None, limit: int = 20
    ) -> tuple[AuditEntry, ...]:
        """The newest entries of a server (None: of all of them), older than the entry `before`."""
        query = select(AuditRow, PersonRow.member_id).outerjoin(PersonRow, PersonRow.id == AuditRow.actor)
        if guild_id is not None:
            query = query.where(AuditRow.guild_id == guild_id)
        if before is not None:
            query = query.where(AuditRow.id < before)
        async with self._database.read() as session:
            rows = await session.execute(query.order_by(AuditRow.id.desc()).limit(limit))
            return tuple(_entry(row, member) for row, member in rows)

    async def forget(self, session: AsyncSession, member_id: int) -> None:
        """No entry says any more that it was this person."""
        await session.execute(delete(PersonRow).where(PersonRow.member_id == member_id))

    async def first_edited(self) -> int | None:
        """The first entry that is not as it was written, or None: no entry was changed, added between or taken out.

        The newest entries could be taken off the end without a sign; a backup has them.
        """
        before = BEFORE_THE_FIRST
        async with self._database.read() as session:
            for row in await session.scalars(select(AuditRow).order_by(AuditRow.id)):
                if row.digest != _digest(before, row):
                    return row.id
                before = row.digest
        return None

    async def count(self) -> int:
        async with self._database.read() as session:
            return await session.scalar(select(func.count()).select_from(AuditRow)) or 0


def _digest(before: str, row: AuditRow) -> str:
    at = row.at.astimezone(UTC).isoformat()
    said = [before, at, row.actor, row.guild_id, row.action, row.subject, row.details]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _entry(row: AuditRow, member_id: int | None) -> AuditEntry:
    return AuditEntry(row.id, row.at, member_id, row.guild_id, row.action, row.subject, row.details)
