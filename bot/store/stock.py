"""Which adapters are to be in the engine's memory, and the base models that were added while the bot ran."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from engine import AdapterUse

from ..orders.values import Who
from .audit import Audit
from .database import Database
from .models import FileRow, ModelRow, RunningRow, SettingsRow
from .running import never_drawn

BOT = "bot"  # the scope of what is chosen for all servers together


class StockRows:
    """Pins and the warm set by sha256, models by name. What changes is in the audit, of no server: it is for all."""

    def __init__(self, database: Database, audit: Audit, now: Callable[[], datetime]) -> None:
        self._database = database
        self._audit = audit
        self._now = now

    async def pinned(self) -> frozenset[str]:
        async with self._database.read() as session:
            return frozenset(await session.scalars(select(RunningRow.sha256).where(RunningRow.pinned)))

    async def warm(self) -> frozenset[str]:
        async with self._database.read() as session:
            return frozenset(await _warm(session))

    async def made_for(self, family: str, hashes: Iterable[str]) -> tuple[AdapterUse, ...]:
        """Those of the files that a base model of this family can take, as an engine finds them; by name."""
        fits = (FileRow.sha256.in_(tuple(hashes)), FileRow.family.in_(("", family)))
        async with self._database.read() as session:
            rows = await session.execute(select(FileRow.name, FileRow.sha256).where(*fits).order_by(FileRow.name))
            return tuple(AdapterUse(name, sha256=sha256) for name, sha256 in rows)

    async def pin(self, sha256: str, name: str, who: Who, *, on: bool) -> bool:
        """The file is pinned, or is not (`on` False). Whether that is new."""
        async with self._database.write() as session:
            row = await session.get(RunningRow, sha256)
            if (row is not None and row.pinned) == on:
                return False
            if row is None:
                session.add(never_drawn(sha256))
            await session.flush()
            await session.execute(update(RunningRow).where(RunningRow.sha256 == sha256).values(pinned=on))
            await self._audit.note(session, "adapter pin" if on else "adapter unpin", name[:100], actor=who.member_id)
            return True

    async def keep_warm(self, sha256: str, name: str, who: Who, *, on: bool) -> bool:
        """The file is in the warm set, or is not (`on` False). Whether that is new."""
        async with self._database.write() as session:
            warm = await _warm(session)
            if (sha256 in warm) == on:
                return False
            kept = [*warm, sha256] if on else [one for one in warm if one != sha256]
            await session.merge(SettingsRow(scope=BOT, value={"warm": kept}, changed_at=self._now()))
            await self._audit.note(session, "adapter warm" if on else "adapter cool", name[:100], actor=who.member_id)
            return True

    async def models(self) -> dict[str, str]:
        """Where each base model is that was added, oldest first."""
        async with self._database.read() as session:
            rows = await session.scalars(select(ModelRow).order_by(ModelRow.added_at, ModelRow.name))
            return {row.name: row.source for row in rows}

    async def add_model(self, name: str, source: str, who: Who) -> None:
        async with self._database.write() as session:
            session.add(ModelRow(name=name, source=source, added_at=self._now()))
            await self._audit.note(session, "model add", name, actor=who.member_id)

    async def remove_model(self, name: str, who: Who) -> None:
        async with self._database.write() as session:
            await session.execute(delete(ModelRow).where(ModelRow.name == name))
            await self._audit.note(session, "model remove", name, actor=who.member_id)


async def _warm(session: AsyncSession) -> list[str]:
    value = await session.scalar(select(SettingsRow.value).where(SettingsRow.scope == BOT))
    return [] if value is None else list(value["warm"])
