"""What servers, channels and members have chosen. Read with every order, so all of it is in memory too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, select

from ..orders.settings import NOTHING, Settings, from_json, to_json
from ..orders.values import Who
from .audit import Audit
from .database import Database
from .models import SettingsRow

SERVER, CHANNEL, MEMBER = "server", "channel", "member"


def scope(kind: str, number: int) -> str:
    """The key of a level: "server:1", "channel:2", "member:3"."""
    return f"{kind}:{number}"


class SettingsRows:
    """Levels by scope. A level that says nothing has no row, so that setting and resetting are inverses."""

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
        return tuple(known.get(one, NOTHING) for one in scopes)

    async def change(self, scope: str, amend: Callable[[Settings], Settings], *, note: Who | None = None) -> Settings:
        """The level is what `amend` makes of it, written down before this returns. `note`: whose act the audit tells.

        What `amend` raises changes nothing. Raises StorageError.
        """
        async with self._lock:
            known = await self._loaded()
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
            known.pop(scope, None)
            if said != NOTHING:
                known[scope] = said
            return said

    async def num_drawing_with(self, model: str) -> int:
        """How many servers and channels have this base model as their default."""
        async with self._lock:
            known = await self._loaded()
        shared = (said for one, said in known.items() if not one.startswith(MEMBER))
        return sum(said.model == model for said in shared)

    async def forget(self, member_id: int) -> None:
        """Nothing is known of what this person has chosen."""
        await self.change(scope(MEMBER, member_id), lambda _: NOTHING)

    async def _loaded(self) -> dict[str, Settings]:
        if self._known is None:
            async with self._database.read() as session:
                rows = await session.scalars(select(SettingsRow))
                self._known = {row.scope: from_json(row.value) for row in rows}
        return self._known
