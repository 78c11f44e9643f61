"""Whose work a job is drawn with: the credit of every adapter, as a result's card shows it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from engine import AdapterUse, Request

from ..orders.values import CatalogEntry, Credit, Who, read_short_id
from .catalog import entry_of, seen_by
from .models import EntryRow, FileRow


async def credits_of(session: AsyncSession, request: Request, who: Who) -> tuple[Credit, ...]:
    """One for each adapter of the request that there is something to say of. Of an entry that is no longer there the
    file's own words remain.
    """
    uses = {use.sha256: use for use in reversed(request.named) if use.sha256}
    if not uses:
        return ()
    entries: dict[str, list[CatalogEntry]] = {}
    for row in await session.scalars(seen_by(who).where(EntryRow.sha256.in_(uses))):
        entries.setdefault(row.sha256, []).append(entry_of(row))
    found = await session.execute(
        select(FileRow.sha256, FileRow.author, FileRow.license).where(FileRow.sha256.in_(uses))
    )
    files = {sha256: (author, terms) for sha256, author, terms in found}
    told = (_credit(use, entries.get(sha256, []), *files.get(sha256, ("", ""))) for sha256, use in uses.items())
    return tuple(credit for credit in told if credit.by or credit.license or credit.advice)


def _credit(use: AdapterUse, entries: list[CatalogEntry], author: str, terms: str) -> Credit:
    meant = [entry for entry in entries if entry.name == use.name or entry.id == read_short_id(use.name)]
    for entry in (*meant, *entries):
        return Credit(use.name, entry.maker, entry.terms, entry.advice(use.weight))
    return Credit(use.name, author, terms)
