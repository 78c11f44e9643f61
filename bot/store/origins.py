"""Where entries came from, and what has become of them there since."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update

from ..importing import AtSource, Provenance, Removed, Unknown, Updated
from ..orders.additions import Origin
from .database import Database
from .models import OriginRow


class Origins:
    """One origin an entry, written with it and never changed; what is noticed at the source is beside it."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def of(self, entry_id: int) -> Origin | None:
        """None for an entry that came with the bot."""
        async with self._database.read() as session:
            row = await session.get(OriginRow, entry_id)
            return None if row is None else _origin(row)

    async def due(self, before: datetime, limit: int) -> tuple[Origin, ...]:
        """Those that were not looked after since that time, the longest first."""
        query = select(OriginRow).where(OriginRow.checked_at < before)
        async with self._database.read() as session:
            rows = await session.scalars(query.order_by(OriginRow.checked_at, OriginRow.entry_id).limit(limit))
            return tuple(_origin(row) for row in rows)

    async def note(self, entry_id: int, found: AtSource) -> None:
        """This was found at the source now. What could not be asked leaves what was known before."""
        values: dict[str, object] = {"checked_at": self._now()}
        if not isinstance(found, Unknown):
            values["at_source"] = _spelled(found)
        async with self._database.write() as session:
            await session.execute(update(OriginRow).where(OriginRow.entry_id == entry_id).values(**values))


def _origin(row: OriginRow) -> Origin:
    return Origin(row.entry_id, Provenance.from_json(row.value), _read(row.at_source), row.checked_at)


def _spelled(found: AtSource) -> str:
    match found:
        case Updated(version, source):
            return json.dumps({"version": version, "source": source})
        case Removed(why):
            return json.dumps({"why": why})
    return ""


def _read(text: str) -> Updated | Removed | None:
    """The inverse of `_spelled`."""
    if not text:
        return None
    said = json.loads(text)
    return Removed(said["why"]) if "why" in said else Updated(said["version"], said["source"])
