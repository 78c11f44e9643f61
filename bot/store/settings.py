"""What servers, channels and members have chosen. Read with every order, so what servers and channels have is in memory
too; a member's own is read anew, for it may have been forgotten meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, or_, select

from ..orders.settings import NOTHING, Settings, from_json, to_json
from ..orders.values import Who
from .audit import Audit
from .database import Database
from .models import SettingsRow

SHARED, MEMBER = ("server:", "channel:"), "member:"


class SettingsRows:
    """Levels by scope ("server:1", "channel:2", "member:3"). One that says nothing has no row, so that setting and
    resetting are inverses.
    """

    def __init__(self, database: Database, audit: Audit, now: Callable[[], datetime]) -> None:
        self._database = database
        self._audit = audit
        self._now = now
        self._known: dict[str, Settings] | None = None
        self._lock = asyncio.Lock()  # what is in memory is as the database was last written

    async def of(self, *scopes: str) -> tuple[Settings, ...]:
        """What each of these levels says. Raises StorageError."""
        async with self._lock:
            known = await self._loaded()
        return tuple([await self._own(one) if _is_own(one) else known.get(one, NOTHING) for one in scopes])

    async def change(self, scope: str, amend: Callable[[Settings], Settings], *, note: Who | None = None) -> Settings:
        """The level is what `amend` makes of it, written down before this returns. `note`: whose act the audit tells.

        What `amend` raises changes nothing. Raises StorageError.
        """
        async with self._lock:
            known = await self._loaded()
            was = await self._own(scope) if _is_own(scope) else known.get(scope, NOTHING)
            said = amend(was)
            if said == was:
                return was
            async with self._database.write() as session:
                if said == NOTHING:
                    await session.execute(delete(SettingsRow).where(SettingsRow.scope == scope))
                else:
                    await session.merge(SettingsRow(scope=scope, value=to_json(said), changed_at=self._now()))
                if note is not None:
                    details = {"was": to_json(was), "is": to_json(said)}
                    about = {"actor": note.member_id, "guild_id": note.guild_id, "details": details}
                    await self._audit.note(session, "settings", scope, **about)  # type: ignore[arg-type]
            if not _is_own(scope):
                known[scope] = said
            return said

    async def num_drawing_with(self, model: str) -> int:
        """How many servers and channels have this base model as their default."""
        async with self._lock:
            known = await self._loaded()
        return sum(said.model == model for said in known.values())

    async def _own(self, scope: str) -> Settings:
        async with self._database.read() as session:
            value = await session.scalar(select(SettingsRow.value).where(SettingsRow.scope == scope))
            return NOTHING if value is None else from_json(value)

    async def _loaded(self) -> dict[str, Settings]:
        if self._known is None:
            async with self._database.read() as session:
                shared = or_(*(SettingsRow.scope.startswith(kind) for kind in SHARED))
                rows = await session.scalars(select(SettingsRow).where(shared))
                self._known = {row.scope: from_json(row.value) for row in rows}
        return self._known


def _is_own(scope: str) -> bool:
    return scope.startswith(MEMBER)
