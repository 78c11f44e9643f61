"""What servers, channels and members have chosen. Asked before anything is answered, so all of it is in memory too."""

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

SERVER, CHANNEL, MEMBER = "server:", "channel:", "member:"


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
        """What each of these levels says, from memory: at once, also while something is written. Raises StorageError
        where it was never read.
        """
        known = await self._loaded()
        return tuple(known.get(one, NOTHING) for one in scopes)

    async def change(self, scope: str, amend: Callable[[Settings], Settings], *, note: Who | None = None) -> Settings:
        """The level is what `amend` makes of it, written down before this returns. `note`: whose act the audit tells.

        What `amend` raises changes nothing. Raises StorageError.
        """
        known = await self._loaded()
        async with self._lock:
            was = known.get(scope, NOTHING)
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
            known[scope] = said
            return said

    async def num_drawing_with(self, model: str) -> int:
        """How many servers and channels have this base model as their default."""
        known = await self._loaded()
        return sum(said.model == model for scope, said in known.items() if not scope.startswith(MEMBER))

    async def forget(self, member_id: int) -> None:
        """Nothing is known of what this person has chosen, neither in memory nor in the database."""
        scope = f"{MEMBER}{member_id}"
        async with self._lock:
            if self._known is not None:
                self._known.pop(scope, None)
            async with self._database.write() as session:
                await session.execute(delete(SettingsRow).where(SettingsRow.scope == scope))

    async def _loaded(self) -> dict[str, Settings]:
        if self._known is not None:
            return self._known
        async with self._lock:
            if self._known is None:
                self._known = await self._read()
            return self._known

    async def _read(self) -> dict[str, Settings]:
        levels = or_(*(SettingsRow.scope.startswith(kind) for kind in (SERVER, CHANNEL, MEMBER)))
        async with self._database.read() as session:
            rows = await session.scalars(select(SettingsRow).where(levels))
            return {row.scope: from_json(row.value) for row in rows}
