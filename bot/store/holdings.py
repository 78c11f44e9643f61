"""What the bot holds of one person, and how none of it is left.

Deleting a row is not enough: SQLite leaves its bytes in the file. `secure_delete` overwrites most of them, but not the
copies that its B-trees leave behind when pages are split; those go only when the database is written anew (`VACUUM`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.errors import StorageError
from ..orders.values import Holdings, Shared
from .audit import Audit
from .catalog import PRIVATE, Catalog
from .database import Database
from .files import AdapterFolder, PictureFolder
from .forgetting import forget_rows
from .models import (
    AuditRow,
    Base,
    EntryRow,
    FavouriteRow,
    JobRow,
    OriginRow,
    PersonRow,
    PictureRow,
    QuestionRow,
    RatingRow,
    ReportRow,
    SampleRow,
    SettingsRow,
    TagRow,
)
from .settings import SettingsRows
from .tombstones import Tombstone, Tombstones

log = logging.getLogger(__name__)

FORGOTTEN = "forgotten"  # the audit's word for a tombstone that was carried out here; its subject is the mark
SENT = ("image", "mask")  # columns of a job that are files
SECRET = frozenset({"token"})  # opens the bot's answers, and says nothing about anybody
TRIES, PAUSE = 5, 1.0  # to compact a database that others are reading


def rows_of(member_id: int) -> dict[type[Base], ColumnElement[bool]]:
    """Every table that says something of a person, and which of its rows are theirs to have."""
    jobs = select(JobRow.id).where(JobRow.member_id == member_id)
    entries = select(EntryRow.id).where(EntryRow.owner_id == member_id)
    person = select(PersonRow.id).where(PersonRow.member_id == member_id)
    return {
        JobRow: JobRow.member_id == member_id,
        PictureRow: PictureRow.job_id.in_(jobs),
        EntryRow: EntryRow.owner_id == member_id,
        TagRow: TagRow.entry_id.in_(entries),
        OriginRow: OriginRow.entry_id.in_(entries),
        SampleRow: or_(
            SampleRow.member_id == member_id, and_(SampleRow.entry_id.in_(entries), SampleRow.member_id.is_(None))
        ),
        FavouriteRow: FavouriteRow.member_id == member_id,
        RatingRow: RatingRow.member_id == member_id,
        ReportRow: ReportRow.member_id == member_id,
        QuestionRow: QuestionRow.member_id == member_id,
        SettingsRow: SettingsRow.scope == f"member:{member_id}",
        AuditRow: AuditRow.actor.in_(person),
    }


class People:
    """One person's things, by member id. `catch_up` carries out what `forget` had done before a backup came back."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        pictures: PictureFolder,
        adapters: AdapterFolder,
        catalog: Catalog,
        settings: SettingsRows,
        audit: Audit,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._folder = folder
        self._pictures, self._adapters, self._previews = pictures, adapters, folder / "previews"
        self._catalog = catalog
        self._settings = settings
        self._audit = audit
        self._now = now
        self._tombstones = Tombstones(folder)
        self._forgetting = asyncio.Lock()

    async def holdings(self, member_id: int) -> Holdings:
        mine = rows_of(member_id)
        shared = (EntryRow.owner_id == member_id, EntryRow.visibility != PRIVATE)
        async with self._database.read() as session:

            async def count(kind: type[Base], *where: ColumnElement[bool]) -> int:
                found = select(func.count()).select_from(kind).where(mine[kind], *where)
                return await session.scalar(found) or 0

            return Holdings(
                jobs=await count(JobRow),
                pictures=await count(PictureRow, ~PictureRow.deleted),
                private=await count(EntryRow, EntryRow.visibility == PRIVATE),
                shared=await count(EntryRow, *shared),
                credited=await count(EntryRow, *shared, EntryRow.credit != ""),
                ratings=await count(RatingRow),
                favourites=await count(FavouriteRow),
                reports=await count(ReportRow),
            )

    async def records(self, member_id: int) -> dict[str, list[dict[str, Any]]]:
        """Table by table the rows that say something of the person, but for files and secrets."""
        found: dict[str, list[dict[str, Any]]] = {}
        async with self._database.read() as session:
            for kind, where in rows_of(member_id).items():
                shown = [column for column in kind.__table__.c if column.name not in SECRET and column.name not in SENT]
                rows = await session.execute(select(*shown).where(where))
                found[kind.__tablename__] = [dict(row) for row in rows.mappings()]
        return found

    async def sent(self, member_id: int) -> tuple[str, ...]:
        """The jobs to which the person had sent a picture that is still kept."""
        kept = (JobRow.member_id == member_id, func.length(JobRow.image) > 0)
        async with self._database.read() as session:
            return tuple(await session.scalars(select(JobRow.id).where(*kept).order_by(JobRow.created_at.desc())))

    async def sent_with(self, job_id: str) -> tuple[bytes, ...]:
        """The picture, and the mask if there was one, that were sent with that job."""
        async with self._database.read() as session:
            found = (await session.execute(select(JobRow.image, JobRow.mask).where(JobRow.id == job_id))).one()
            return tuple(filter(None, found))

    async def files(self, member_id: int) -> tuple[Path, ...]:
        """Pictures, newest first, then samples and adapters of theirs, as far as they are on the disk."""
        mine = rows_of(member_id)
        newest = select(PictureRow.file).join(JobRow).where(JobRow.member_id == member_id)
        async with self._database.read() as session:
            pictures = list(await session.scalars(newest.order_by(JobRow.created_at.desc(), PictureRow.place)))
            samples = list(await session.scalars(select(SampleRow.file).where(mine[SampleRow])))
            hashes = list(await session.scalars(select(EntryRow.sha256).where(EntryRow.owner_id == member_id)))
        paths = [
            *(self._pictures.folder / name for name in pictures),
            *(self._previews / name for name in samples),
            *(self._adapters.path(sha256) for sha256 in dict.fromkeys(hashes)),
        ]
        return await asyncio.to_thread(lambda: tuple(path for path in paths if path.is_file()))

    async def forget(self, member_id: int, shared: Shared) -> None:
        """Nothing says any more that there was this person: no row, no file, no byte left over in the database.

        From the first moment it is sure to come to its end, if not now, then at the next start. The person may come
        back, as somebody new.
        """
        async with self._forgetting:
            stone = await asyncio.to_thread(self._tombstones.add, member_id, shared)
            await self._carry_out({member_id: stone})
            await self._compact()
            every = await asyncio.to_thread(self._tombstones.every)
            await self._done([one for one in every if one.digest == stone.digest])  # also of tries that failed

    async def catch_up(self) -> int:
        """Whoever was forgotten while this database lay in a backup, or the process died, is forgotten; how many."""
        stones = await asyncio.to_thread(self._tombstones.every)
        if not stones:
            return 0
        async with self._database.read() as session:
            done = await _noted(session)
            pending = [stone for stone in stones if stone.mark not in done]
            if not pending:
                return 0
            members = await _everybody(session)
        found = await asyncio.to_thread(self._tombstones.matched, pending, members)
        await self._carry_out(found)
        await self._catalog.sweep()
        await self._compact()
        if found:
            log.info("Forgot %d people again, who were in this database but had asked to be forgotten", len(found))
        await self._done(pending)
        return len(found)

    async def _carry_out(self, found: dict[int, Tombstone]) -> None:
        for member_id, stone in found.items():
            await self._settings.forget(member_id)
            async with self._database.write() as session:
                left = await forget_rows(session, member_id, stone.shared)
                await self._audit.forget(session, member_id)
                await asyncio.to_thread(self._unlink, left.jobs, left.samples)  # a crash here: rows and stone are there
            await self._catalog.sweep(left.hashes)

    async def _done(self, stones: Collection[Tombstone]) -> None:
        async with self._database.write() as session:
            done = await _noted(session)
            for stone in stones:
                if stone.mark not in done:
                    await self._audit.note(session, FORGOTTEN, stone.mark)

    def _unlink(self, jobs: Collection[str], samples: Collection[str]) -> None:
        """Of a job every file goes, also one that a crash has left and no row knows of."""
        for path in [path for path in self._pictures.folder.iterdir() if path.name.partition("-")[0] in jobs]:
            path.unlink(missing_ok=True)
        for name in samples:
            (self._previews / name).unlink(missing_ok=True)
        for copy in self._folder.glob("loraloom.before-*.db*"):  # kept in case an update fails, and full of everybody
            copy.unlink(missing_ok=True)
        for aside in self._folder.parent.glob(f"{self._folder.name}.before-*"):
            log.warning("%s still holds somebody who asked to be forgotten; delete it when you can", aside)

    async def _compact(self) -> None:
        """No byte of what was deleted is left in the database's files."""
        for _ in range(TRIES):
            try:
                await self._database.compact()
            except StorageError as fault:
                log.info("the database is not compacted yet: %s", fault)
                await asyncio.sleep(PAUSE)
            else:
                return
        log.warning(
            "the database could not be compacted: bytes of what was deleted may be in it until it is used again"
        )


async def _noted(session: AsyncSession) -> set[str]:
    """The marks of the tombstones that were carried out in this database."""
    return set(await session.scalars(select(AuditRow.subject).where(AuditRow.action == FORGOTTEN)))


async def _everybody(session: AsyncSession) -> set[int]:
    """The id of everybody of whom there is something."""
    columns = (
        *(JobRow.member_id, EntryRow.owner_id, SampleRow.member_id, FavouriteRow.member_id, RatingRow.member_id),
        *(ReportRow.member_id, ReportRow.decided_by, QuestionRow.member_id, PersonRow.member_id),
    )
    found = set(await session.scalars(union(*(select(column) for column in columns))))
    scopes = await session.scalars(select(SettingsRow.scope).where(SettingsRow.scope.startswith("member:")))
    return {*filter(None, found), *(int(scope.partition(":")[2]) for scope in scopes)}
