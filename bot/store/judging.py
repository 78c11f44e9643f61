"""What members say of entries and results, and what moderators decide: ratings, reviews, reports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from ..orders.errors import TooOften
from ..orders.values import CatalogEntry, Who
from ..orders.verdicts import Outcome, Reason, Report, Review, ReviewPage, Turn
from .audit import Audit
from .bans import ANYWHERE, Bans
from .catalog import visible_to
from .database import Database
from .files import PictureFolder
from .models import EntryRow, FileRow, PictureRow, RatingRow, ReportRow, SampleRow
from .samples import SampleFolder

if TYPE_CHECKING:
    from ..importing import PreviewPicture

REVIEW = "review"
DAY = timedelta(days=1)
AGAIN = timedelta(days=30)  # for so long a decided report of the same person answers the same complaint


class Judging(Bans):
    """Ratings, reviews and reports, beside the bans and the quarantine that follow from them.

    Each method sees for itself that the person may: what they do not see is to them what does not exist.
    """

    def __init__(
        self,
        database: Database,
        audit: Audit,
        samples: SampleFolder,
        pictures: PictureFolder,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(database, audit, now)
        self._samples = samples
        self._pictures = pictures

    # ratings and reviews

    async def rate(
        self, who: Who, entry_id: int, stars: int, words: str, picture: PreviewPicture | None = None
    ) -> bool:
        """This is what the member says of the entry, in place of anything before. `unrate` is the inverse.

        False: there is no such entry for this person, or it is their own.
        """
        file = None if picture is None else await self._samples.add(picture.webp)
        gone = [] if file is None else [file]  # unless it is kept
        try:
            async with self._database.write() as session:
                rated = await session.scalar(select(EntryRow).where(EntryRow.id == entry_id, visible_to(who)))
                theirs = rated is not None and rated.owner_id != who.member_id
                if theirs:
                    before = await _without_review(session, entry_id, who.member_id)
                    session.add(_rating(who, entry_id, stars, words, self._now()))
                    if picture is not None and file is not None:
                        session.add(_sample(entry_id, who.member_id, file, picture))
                    await _count(session, entry_id)
            if theirs:
                gone = before
        finally:
            await self._samples.remove(gone)
        return theirs

    async def unrate(self, who: Who, entry_id: int) -> bool:
        """The member says nothing of the entry any more. False: they did not before."""
        async with self._database.write() as session:
            mine = (RatingRow.entry_id == entry_id, RatingRow.member_id == who.member_id)
            known = await session.scalar(select(RatingRow.stars).where(*mine))
            gone = await _without_review(session, entry_id, who.member_id)
            await _count(session, entry_id)
        await self._samples.remove(gone)
        return known is not None

    async def reviews(self, who: Who, entry_id: int, number: int, size: int) -> ReviewPage:
        """What was said of a visible entry; who said it only for people of the same server, and grown-up pictures only
        in age-restricted places.
        """
        there = select(EntryRow.id).where(EntryRow.id == entry_id, visible_to(who))
        of_entry = RatingRow.entry_id.in_(there)
        fits = true() if who.adult else SampleRow.mature.is_(False)
        same = and_(SampleRow.entry_id == RatingRow.entry_id, SampleRow.member_id == RatingRow.member_id)
        query = select(RatingRow, SampleRow.file).outerjoin(SampleRow, and_(same, SampleRow.kind == REVIEW, fits))
        async with self._database.read() as session:
            count = await session.scalar(select(func.count()).select_from(RatingRow).where(of_entry)) or 0
            pages = max(1, -(-count // size))
            number = min(max(1, number), pages)
            newest = query.where(of_entry).order_by(RatingRow.created_at.desc(), RatingRow.member_id)
            rows = await session.execute(newest.limit(size).offset((number - 1) * size))
            return ReviewPage(tuple(self._review(who, row, file) for row, file in rows), number, pages)

    # reports

    async def report(
        self, who: Who, about: CatalogEntry | str, reason: Reason, words: str, *, most: int
    ) -> tuple[Report, bool]:
        """The moderators' queue holds the complaint about an entry or a job (its id), and whether it is a new one.

        The same again from the same person is the report that there is, decided or not. Raises TooOften after `most` of
        them in 24 hours.
        """
        now = self._now()
        of = ReportRow.job_id == about if isinstance(about, str) else ReportRow.entry_id == about.id
        recent = or_(ReportRow.outcome == Outcome.OPEN, ReportRow.decided_at > now - AGAIN)
        async with self._database.write() as session:
            mine = ReportRow.member_id == who.member_id
            known = select(ReportRow).where(mine, of, recent).order_by(ReportRow.id.desc())
            row = await session.scalar(known.limit(1))
            if row is not None:
                return _report(row), False
            today = select(func.count()).select_from(ReportRow).where(mine, ReportRow.created_at > now - DAY)
            if (await session.scalar(today) or 0) >= most:
                raise TooOften(f"You have reported {most} things in 24 hours, the most one person may. Try tomorrow.")
            row = _report_row(who, about, reason, words)
            row.created_at = now
            session.add(row)
            await session.flush()
            return _report(row), True

    async def open_report(self, who: Who, after: int = 0, *, back: bool = False) -> Turn | None:
        """The first open report behind the one numbered `after`, or the last before it; past an end, from the other.

        Of this server; of everywhere for the people who run this bot. None: nothing is open.
        """
        mine = (_judged_by(who), ReportRow.outcome == Outcome.OPEN)
        side = ReportRow.id < after if back else ReportRow.id > after
        order = ReportRow.id.desc() if back else ReportRow.id
        async with self._database.read() as session:
            row = await session.scalar(select(ReportRow).where(*mine, side).order_by(order).limit(1))
            if row is None:
                row = await session.scalar(select(ReportRow).where(*mine).order_by(order).limit(1))
            if row is None:
                return None
            counted = select(func.count()).select_from(ReportRow).where(*mine)
            total = await session.scalar(counted) or 1
            number = await session.scalar(counted.where(ReportRow.id <= row.id)) or 1
            return Turn(_report(row), number, total, await self._picture(session, row))

    async def reported(self, who: Who, report_id: int) -> Report | None:
        """The report, decided or not, for those who may decide it."""
        query = select(ReportRow).where(ReportRow.id == report_id, _judged_by(who))
        async with self._database.read() as session:
            row = await session.scalar(query)
            return None if row is None else _report(row)

    async def decide(self, who: Who, report: Report, outcome: Outcome) -> bool:
        """The report is decided, with everything that follows from it, in one transaction.

        Of several who decide at once one does, and the others get False. A ban answers the other open reports about the
        same file where it holds, a deletion those about the same picture.
        """
        decided = {"outcome": outcome, "decided_by": who.member_id, "decided_at": self._now()}
        open_ = update(ReportRow).where(_judged_by(who), ReportRow.outcome == Outcome.OPEN)
        async with self._database.write() as session:
            first = open_.where(ReportRow.id == report.id).values(**decided).returning(ReportRow.id)
            if await session.scalar(first) is None:
                return False
            if outcome is not Outcome.DISMISSED:
                await session.execute(open_.where(_as_answered(report, outcome)).values(**decided))
            await self._follow(session, who, report, outcome)
        return True

    async def _follow(self, session: AsyncSession, who: Who, report: Report, outcome: Outcome) -> None:
        if outcome in (Outcome.HIDDEN, Outcome.TAKEN_DOWN):
            where = ANYWHERE if outcome is Outcome.TAKEN_DOWN or report.guild_id is None else report.guild_id
            tensors = select(FileRow.tensor_sha256).where(FileRow.sha256 == report.sha256)
            hashes = (report.sha256, await session.scalar(tensors) or "")
            because = report.reason.because
            await self._write_ban(session, hashes, where, report.subject, because, who.member_id)
        elif outcome is Outcome.DELETED and report.job_id is not None:
            of_job = PictureRow.job_id == report.job_id
            await session.execute(update(PictureRow).where(of_job).values(deleted=True))
        details = {"reason": report.reason.value, "outcome": outcome.value}
        await self._audit.note(
            session,
            "decide report",
            f"report {report.id}",
            actor=who.member_id,
            guild_id=report.guild_id,
            details=details,
        )

    async def _picture(self, session: AsyncSession, row: ReportRow) -> Path | None:
        of_job = select(PictureRow.file).where(PictureRow.job_id == row.job_id, ~PictureRow.deleted)
        of_entry = select(SampleRow.file).where(SampleRow.entry_id == row.entry_id, SampleRow.kind != REVIEW)
        if row.job_id is not None:
            file = await session.scalar(of_job.order_by(PictureRow.place).limit(1))
            return self._pictures.folder / file if file else None
        file = await session.scalar(of_entry.order_by(SampleRow.id).limit(1))
        return self._samples.path(file) if file else None

    def _review(self, who: Who, row: RatingRow, file: str | None) -> Review:
        named = who.guild_id is not None and row.guild_id == who.guild_id
        picture = None if file is None else self._samples.path(file)
        return Review(row.member_id if named else None, row.stars, row.words, row.created_at, picture)


def _judged_by(who: Who) -> ColumnElement[bool]:
    """Whose reports a moderator decides: those of the server; the people who run this bot decide all."""
    if who.owner:
        return true()
    return and_(ReportRow.guild_id == who.guild_id, ReportRow.guild_id.is_not(None))


def _as_answered(report: Report, outcome: Outcome) -> ColumnElement[bool]:
    """The other reports that this outcome answers."""
    if outcome is Outcome.DELETED:
        return and_(ReportRow.job_id == report.job_id, ReportRow.job_id.is_not(None))
    same = and_(ReportRow.sha256 == report.sha256, ReportRow.sha256 != "")
    return same if outcome is Outcome.TAKEN_DOWN else and_(same, ReportRow.guild_id == report.guild_id)


async def _without_review(session: AsyncSession, entry_id: int, member_id: int) -> list[str]:
    """Neither rating nor review picture of the member is left on the entry; gives the files to remove."""
    rating = (RatingRow.entry_id == entry_id, RatingRow.member_id == member_id)
    sample = (SampleRow.entry_id == entry_id, SampleRow.member_id == member_id, SampleRow.kind == REVIEW)
    await session.execute(delete(RatingRow).where(*rating))
    return list(await session.scalars(delete(SampleRow).where(*sample).returning(SampleRow.file)))


async def _count(session: AsyncSession, entry_id: int) -> None:
    """The entry says how many ratings it has and what their mean is."""
    await session.flush()
    of_entry = RatingRow.entry_id == entry_id
    mean = select(func.coalesce(func.avg(RatingRow.stars), 0)).where(of_entry).scalar_subquery()
    number = select(func.count()).select_from(RatingRow).where(of_entry).scalar_subquery()
    await session.execute(update(EntryRow).where(EntryRow.id == entry_id).values(stars=mean, ratings=number))


def _rating(who: Who, entry_id: int, stars: int, words: str, now: datetime) -> RatingRow:
    return RatingRow(
        entry_id=entry_id,
        member_id=who.member_id,
        guild_id=who.guild_id,
        stars=stars,
        words=words,
        created_at=now,
    )


def _sample(entry_id: int, member_id: int, file: str, picture: PreviewPicture) -> SampleRow:
    return SampleRow(
        entry_id=entry_id,
        kind=REVIEW,
        member_id=member_id,
        file=file,
        width=picture.width,
        height=picture.height,
        mature=picture.mature,
    )


def _report_row(who: Who, about: CatalogEntry | str, reason: Reason, words: str) -> ReportRow:
    entry = None if isinstance(about, str) else about
    return ReportRow(
        guild_id=who.guild_id,
        member_id=who.member_id,
        entry_id=None if entry is None else entry.id,
        job_id=None if entry is not None else about,
        subject="" if entry is None else entry.name,
        sha256="" if entry is None else entry.info.sha256,
        reason=reason.value,
        words=words,
        outcome=Outcome.OPEN.value,
    )


def _report(row: ReportRow) -> Report:
    return Report(
        id=row.id,
        guild_id=row.guild_id,
        member_id=row.member_id,
        entry_id=row.entry_id,
        job_id=row.job_id,
        subject=row.subject,
        sha256=row.sha256,
        reason=Reason(row.reason),
        words=row.words,
        created_at=row.created_at,
        outcome=Outcome(row.outcome),
        decided_at=row.decided_at,
    )
