"""Which adapter files may not be used: banned here or everywhere by what is in them, or in quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Select, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from ..orders.verdicts import Ban
from .audit import Audit
from .database import Database
from .models import BanRow, FileRow, QuarantineRow

ANYWHERE = 0  # in place of a server's id
LEAST_DIGITS = 10  # of a hash that a ban is found by


def banned_files(guild_id: int | None) -> Select[str]:
    """The files that may not be used there (None: in a direct message), by their hash or that of their tensors."""
    file = aliased(FileRow)
    hashes = select(BanRow.hash).where(_in_force(guild_id))
    return select(file.sha256).where(or_(file.sha256.in_(hashes), file.tensor_sha256.in_(hashes)))


class Bans:
    """Bans by hash, so that they hold under every name and for every fork; quarantine by file.

    Every change is noted in the audit in the same transaction.
    """

    def __init__(self, database: Database, audit: Audit, now: Callable[[], datetime]) -> None:
        self._database = database
        self._audit = audit
        self._now = now

    async def banned(self, hashes: Iterable[str], guild_id: int | None) -> str | None:
        """Why one of these hashes may not be kept or used there; None: they may. One banned everywhere is, too."""
        reason = select(BanRow.reason).where(BanRow.hash.in_(tuple(hashes)), _in_force(guild_id))
        async with self._database.read() as session:
            found: str | None = await session.scalar(reason.order_by(BanRow.guild_id).limit(1))
            return found

    async def banned_file(self, sha256: str, guild_id: int | None) -> str | None:
        """As `banned`, of a file by its own hash alone; also of one that nobody has any more."""
        tensors = select(FileRow.tensor_sha256).where(FileRow.sha256 == sha256)
        meant = or_(BanRow.hash == sha256, BanRow.hash.in_(tensors))
        reason = select(BanRow.reason).where(meant, _in_force(guild_id))
        async with self._database.read() as session:
            found: str | None = await session.scalar(reason.order_by(BanRow.guild_id).limit(1))
            return found

    async def bans(self, guild_id: int) -> tuple[Ban, ...]:
        """The bans of that server, newest first; ANYWHERE: those that hold everywhere."""
        query = select(BanRow).where(BanRow.guild_id == guild_id).order_by(BanRow.created_at.desc(), BanRow.name)
        async with self._database.read() as session:
            return tuple(_ban(row) for row in await session.scalars(query))

    async def ban(
        self, hashes: Iterable[str], guild_id: int, name: str, reason: str, *, actor: int | None = None
    ) -> None:
        """The hashes are banned there (ANYWHERE: everywhere), for this reason. `unban` is the inverse."""
        async with self._database.write() as session:
            await self._write_ban(session, hashes, guild_id, name, reason, actor)

    async def unban(self, wanted: str, guild_id: int, *, actor: int | None = None) -> Ban | None:
        """What is banned there under that name, or whose hash begins so, is allowed again, with all files of the same
        tensors; gives one of the bans. None: nothing of the kind is banned there.
        """
        async with self._database.write() as session:
            rows = list(await session.scalars(select(BanRow).where(BanRow.guild_id == guild_id)))
            found = [row for row in rows if _is_meant(row, wanted)]
            if not found:
                return None
            acts = {(row.name, row.created_at) for row in found}
            together = {row.hash for row in rows if (row.name, row.created_at) in acts}
            hashes = together | await _kindred(session, together)
            await session.execute(delete(BanRow).where(BanRow.guild_id == guild_id, BanRow.hash.in_(hashes)))
            ban = _ban(found[0])
            details = {"name": ban.name, "everywhere": guild_id == ANYWHERE}
            await self._audit.note(
                session, "unban", f"adapter {ban.hash[:12]}", actor=actor, guild_id=guild_id or None, details=details
            )
            return ban

    async def quarantined(self, sha256: str, *, by_hand: bool = False) -> str | None:
        """Why that file is not drawn with for now; None: it is. `by_hand`: only where a person has said so."""
        query = select(QuarantineRow.reason).where(QuarantineRow.sha256 == sha256)
        if by_hand:
            query = query.where(QuarantineRow.by_hand)
        async with self._database.read() as session:
            found: str | None = await session.scalar(query)
            return found

    async def quarantine(self, sha256: str, reason: str, *, by_hand: bool = False, actor: int | None = None) -> bool:
        """The file is not drawn with until it is released. False: there is no such file, or it was in quarantine.

        What people put there stays as they said; a person's reason takes the place of the bot's.
        """
        async with self._database.write() as session:
            row = await session.get(QuarantineRow, sha256)
            if await session.get(FileRow, sha256) is None or (row is not None and (row.by_hand or not by_hand)):
                return False
            now = self._now()
            await session.merge(QuarantineRow(sha256=sha256, reason=reason, by_hand=by_hand, created_at=now))
            details = {"reason": reason, "by_hand": by_hand}
            await self._audit.note(session, "quarantine", f"adapter {sha256[:12]}", actor=actor, details=details)
            return True

    async def release(self, sha256: str, *, actor: int | None = None) -> bool:
        """The file may be drawn with again. False: it was not in quarantine."""
        gone = delete(QuarantineRow).where(QuarantineRow.sha256 == sha256).returning(QuarantineRow.sha256)
        async with self._database.write() as session:
            if await session.scalar(gone) is None:
                return False
            await self._audit.note(session, "release", f"adapter {sha256[:12]}", actor=actor)
            return True

    async def _write_ban(
        self,
        session: AsyncSession,
        hashes: Iterable[str],
        guild_id: int,
        name: str,
        reason: str,
        actor: int | None,
    ) -> None:
        now, named = self._now(), tuple(dict.fromkeys(filter(None, hashes)))
        for one in named:
            await session.merge(BanRow(hash=one, guild_id=guild_id, name=name, reason=reason, created_at=now))
        details = {"name": name, "reason": reason, "everywhere": guild_id == ANYWHERE}
        await self._audit.note(
            session, "ban", f"adapter {named[0][:12]}", actor=actor, guild_id=guild_id or None, details=details
        )


def _in_force(guild_id: int | None) -> ColumnElement[bool]:
    return BanRow.guild_id.in_({ANYWHERE, guild_id or ANYWHERE})


async def _kindred(session: AsyncSession, hashes: Iterable[str]) -> set[str]:
    """These files, the files with these tensors, and the hashes of both."""
    named = tuple(hashes)
    same = select(FileRow.tensor_sha256).where(or_(FileRow.sha256.in_(named), FileRow.tensor_sha256.in_(named)))
    files = await session.execute(
        select(FileRow.sha256, FileRow.tensor_sha256).where(FileRow.tensor_sha256.in_(same.scalar_subquery()))
    )
    return {one for pair in files for one in pair}


def _is_meant(row: BanRow, wanted: str) -> bool:
    said = wanted.strip().casefold()
    return row.name.casefold() == said or (len(said) >= LEAST_DIGITS and row.hash.startswith(said))


def _ban(row: BanRow) -> Ban:
    return Ban(row.hash, row.guild_id, row.name, row.reason, row.created_at)
