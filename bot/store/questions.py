"""Cards that wait for an answer: what their buttons mean is kept here, and the buttons carry a number alone.

So a card outlives a restart, nobody can forge what it means, and of two presses at once one counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from ..orders.values import Who
from .database import Database
from .models import QuestionRow

LIFE = timedelta(days=1)


class Questions:
    """`ask` and `take` are inverses. A question is its asker's alone, in the server where it was asked."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def ask(self, who: Who, kind: str, value: Mapping[str, Any], life: timedelta = LIFE) -> str:
        """The question is open for `life`; gives its number, 22 characters. `value` is JSON. Old ones are forgotten."""
        number, now = secrets.token_urlsafe(16), self._now()
        async with self._database.write() as session:
            await session.execute(delete(QuestionRow).where(QuestionRow.expires_at < now))
            session.add(
                QuestionRow(
                    id=number,
                    member_id=who.member_id,
                    guild_id=who.guild_id,
                    kind=kind,
                    value=dict(value),
                    expires_at=now + life,
                )
            )
        return number

    async def look(self, who: Who, kind: str, number: str) -> dict[str, Any] | None:
        """What the question is about, which stays open. None: answered, too old, somebody else's or never asked."""
        async with self._database.read() as session:
            found = await session.scalar(select(QuestionRow.value).where(*self._open(who, kind, number)))
            return None if found is None else dict(found)

    async def amend(self, who: Who, kind: str, number: str, value: Mapping[str, Any]) -> bool:
        """The open question is about this now. False where `look` gives None."""
        change = update(QuestionRow).where(*self._open(who, kind, number)).values(value=dict(value))
        async with self._database.write() as session:
            return await session.scalar(change.returning(QuestionRow.id)) is not None

    async def take(self, who: Who, kind: str, number: str) -> dict[str, Any] | None:
        """The question is answered: of several who take it, one gets what it is about, and the others None."""
        taken = delete(QuestionRow).where(*self._open(who, kind, number)).returning(QuestionRow.value)
        async with self._database.write() as session:
            found = await session.scalar(taken)
            return None if found is None else dict(found)

    def _open(self, who: Who, kind: str, number: str) -> tuple[ColumnElement[bool], ...]:
        return (
            QuestionRow.id == number,
            QuestionRow.member_id == who.member_id,
            QuestionRow.guild_id.is_(None) if who.guild_id is None else QuestionRow.guild_id == who.guild_id,
            QuestionRow.kind == kind,
            QuestionRow.expires_at >= self._now(),
        )
