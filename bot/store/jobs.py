"""Job rows: every change is one short transaction, and a change of state happens only from the state it expects."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Update, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from engine import Request, Result, cost

from ..orders.errors import QueueFull, QuotaSpent
from ..orders.values import UNFINISHED, Bounds, Job, JobState, Order, Page, StoredPicture, Who
from .credits import credits_of
from .database import Database
from .files import PictureFolder
from .models import EntryRow, JobRow, PictureRow
from .wire import from_json, to_json

S = JobState
DAY = timedelta(hours=24)
IN_LINE = (S.ACKED, S.QUEUED)
NOT_RENDERED = (S.RECEIVED, *IN_LINE, S.RUNNING)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_SENT = (undefer(JobRow.image), undefer(JobRow.mask))  # what is read only for one job


def utc_now() -> datetime:
    return datetime.now(UTC)


class JobRows:
    """Jobs by id. A method that gives a bool gives False when somebody else changed the job first.

    Lists of jobs come without the pictures that their drawing started from, and without credits.
    """

    def __init__(self, database: Database, pictures: PictureFolder, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._pictures = pictures
        self._now = now

    # what is there

    async def get(self, job_id: str) -> Job | None:
        async with self._database.read() as session:
            row = await session.get(JobRow, job_id, options=_SENT)
            if row is None:
                return None
            job = self._job(row, row.image, row.mask)
            return replace(job, credits=await credits_of(session, job.request, job.order.who))

    async def exists(self, job_id: str) -> bool:
        """False once the job's member has been forgotten."""
        async with self._database.read() as session:
            return await session.scalar(select(JobRow.id).where(JobRow.id == job_id)) is not None

    async def unfinished(self, member_id: int) -> tuple[Job, ...]:
        """The member's jobs that have not come to an end, oldest first."""
        return await self._list(JobRow.member_id == member_id, JobRow.state.in_(UNFINISHED))

    async def unfinished_in(self, guild_id: int | None) -> tuple[Job, ...]:
        """A server's jobs that have not come to an end, oldest first; None: those of the whole bot."""
        here = () if guild_id is None else (JobRow.guild_id == guild_id,)
        return await self._list(*here, JobRow.state.in_(UNFINISHED))

    async def untold(self, member_id: int | None = None) -> tuple[Job, ...]:
        """Every job, or every one of a member, who has not seen how it ends: what a restart takes up, oldest first."""
        mine = () if member_id is None else (JobRow.member_id == member_id,)
        return await self._list(JobRow.told.is_(False), *mine)

    async def history(self, member_id: int, number: int, size: int) -> Page:
        """What the member has not deleted."""
        mine = (JobRow.member_id == member_id, ~JobRow.pictures.any(PictureRow.deleted))
        async with self._database.read() as session:
            count = await session.scalar(select(func.count()).select_from(JobRow).where(*mine)) or 0
            pages = max(1, -(-count // size))
            number = min(max(1, number), pages)
            newest = select(JobRow).where(*mine).order_by(JobRow.created_at.desc(), JobRow.id.desc())
            rows = await session.scalars(newest.limit(size).offset((number - 1) * size))
            return Page(tuple(self._job(row) for row in rows), number, pages)

    async def running(self) -> tuple[Job, ...]:
        """Every job that a worker draws, by what its row says."""
        return await self._list(JobRow.state == S.RUNNING)

    async def overdue(self, age: timedelta) -> tuple[Job, ...]:
        """The jobs in line that were ordered longer ago than `age`, oldest first."""
        return await self._list(JobRow.state.in_(IN_LINE), JobRow.created_at < self._now() - age)

    async def paces(self, count: int) -> tuple[tuple[float, float], ...]:
        """Of the last so many jobs that were drawn their cost and seconds, the newest last."""
        drawn = select(JobRow.cost, JobRow.seconds).where(JobRow.cost > 0, JobRow.seconds.is_not(None))
        async with self._database.read() as session:
            rows = await session.execute(drawn.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(count))
            return tuple(reversed([(row.cost, row.seconds) for row in rows]))

    async def is_told(self, job_id: str) -> bool:
        """Whether the member has seen how the job ended."""
        async with self._database.read() as session:
            return bool(await session.scalar(select(JobRow.told).where(JobRow.id == job_id)))

    # from received to queued

    async def record(
        self,
        order: Order,
        bounds: Bounds | None = None,
        *,
        charge: float = 0.0,
        entry_ids: Collection[int] = (),
        mature: bool = False,
    ) -> Job:
        """The order is a job row, charged to its member, and the catalog entries are counted as used, all or nothing.

        The same interaction again gives the job that it already has. Raises QueueFull or QuotaSpent.
        """
        async with self._database.write() as session:
            known = select(JobRow).where(JobRow.interaction_id == order.interaction_id)
            row = await session.scalar(known.options(*_SENT))
            if row is not None:
                return self._job(row, row.image, row.mask)
            await self._admit(session, order.who, bounds or Bounds(), charge)
            session.add(row := _row(order, charge, self._now(), mature))
            used = update(EntryRow).where(EntryRow.id.in_(entry_ids)).values(uses=EntryRow.uses + 1)
            await session.execute(used)
            await session.flush()
            return self._job(row, order.request.image, order.request.mask)

    async def spent(self, member_id: int) -> float:
        """Seconds of drawing that the member has ordered in the last 24 hours, less what came to nothing."""
        async with self._database.read() as session:
            return await self._spent(session, member_id)

    async def _admit(self, session: AsyncSession, who: Who, bounds: Bounds, charge: float) -> None:
        """Returns when one more job fits the bounds."""
        mine, theirs = JobRow.member_id == who.member_id, JobRow.guild_id == who.guild_id
        own, here = func.count().filter(mine), func.count().filter(theirs)
        unfinished = select(own, here, func.count()).where(JobRow.state.in_(UNFINISHED))
        num_own, num_here, num_everywhere = (await session.execute(unfinished)).one()
        if num_own >= bounds.per_member:
            raise QueueFull(
                f"You have {bounds.per_member} unfinished jobs, the most one person may have. Wait or cancel one."
            )
        bounds.require_room(num_here, num_everywhere)
        allowance = bounds.allowance(who.roles)
        left = None if allowance is None else allowance - await self._spent(session, who.member_id)
        if left is not None and charge > left:
            raise QuotaSpent(
                f"This would take about {charge:.0f} s of drawing, and you have {max(0, left):.0f} s left of your "
                f"{allowance:.0f} s in 24 hours. Fewer steps or pictures or a smaller size take less."
            )

    async def _spent(self, session: AsyncSession, member_id: int) -> float:
        today = (JobRow.member_id == member_id, JobRow.created_at > self._now() - DAY)
        return await session.scalar(select(func.coalesce(func.sum(JobRow.charge), 0.0)).where(*today)) or 0.0

    async def acked(self, job_id: str, channel_id: int, message_id: int | None) -> None:
        """The job's message is known, unless the result was posted meanwhile; a job only received is now acked."""
        known = {} if message_id is None else {"message_channel_id": channel_id, "message_id": message_id}
        state = case((JobRow.state == S.RECEIVED, S.ACKED), else_=JobRow.state)
        async with self._database.write() as session:
            not_posted = (JobRow.id == job_id, JobRow.state != S.POSTED)
            await session.execute(
                update(JobRow).where(*not_posted).values(state=state, updated_at=self._now(), **known)
            )

    async def unanswered(self, job_id: str) -> bool:
        """A job that Discord would not let us answer for never runs: its member has read that nothing came of it."""
        values = {"told": True, "sentence": "The answer came too late.", "charge": 0.0}
        return await self._finish(job_id, (S.RECEIVED,), S.CANCELLED, **values)

    async def queue(self, job_id: str) -> Job | None:
        """The job is in line; None when it was already, or is past it."""
        return await self._moved_job(job_id, (S.RECEIVED, S.ACKED), S.QUEUED)

    # running

    async def start(self, job_id: str) -> Job | None:
        """The job runs as its next attempt. None when it is not queued any more."""
        return await self._moved_job(job_id, (S.QUEUED,), S.RUNNING, attempt=JobRow.attempt + 1)

    async def requeue(self, job_id: str, attempt: int, *, lost: bool) -> bool:
        """The running attempt is over and the job queued again; `lost` counts against it."""
        losses = JobRow.losses + (1 if lost else 0)
        return await self._move(job_id, (S.RUNNING,), S.QUEUED, attempt_was=attempt, losses=losses)

    async def rendered(self, job: Job, result: Result) -> bool:
        """The pictures of the running attempt are on disk and in the row, and the request is complete."""
        files = await self._pictures.write(job.id, job.attempt, result.pictures)
        values: dict[str, Any] = {
            "request": to_json(result.request),
            "report": _report(job.request, result),
            "seconds": result.seconds,
            "charge": result.seconds,
            "cost": cost(job.request),
        }
        if any(picture.flagged for picture in result.pictures):
            values["mature"] = True
        kept = False
        try:
            async with self._database.write() as session:
                moved = await self._moved(session, job.id, (S.RUNNING,), S.RENDERED, attempt_was=job.attempt, **values)
                if moved:
                    session.add_all(_picture_row(job.id, file) for file in files)
            kept = moved
        finally:
            if not kept:
                await self._pictures.remove(file.path.name for file in files)
        return kept

    # to the end

    async def posting(self, job_id: str) -> bool:
        """True also when the job is being posted already: a post is idempotent."""
        return await self._move(job_id, (S.RENDERED, S.POSTING), S.POSTING)

    async def posted(self, job_id: str, channel_id: int, message_id: int) -> bool:
        where = {"message_channel_id": channel_id, "message_id": message_id}
        return await self._finish(job_id, (S.POSTING,), S.POSTED, told=True, **where)

    async def dead(self, job_id: str, sentence: str) -> bool:
        """The job is given up, drawn or not; its member is still to be told."""
        return await self._finish(job_id, UNFINISHED, S.DEAD, sentence=sentence, charge=0.0)

    async def withheld(self, job_id: str, sentence: str) -> bool:
        """The job was drawn, and is not shown where it was ordered; it costs what it took, and /history keeps it."""
        return await self._finish(job_id, (S.RENDERED, S.POSTING), S.DEAD, sentence=sentence)

    async def failed(self, job_id: str, attempt: int | None, sentence: str) -> bool:
        """`attempt` None: whichever is the last."""
        return await self._finish(job_id, NOT_RENDERED, S.FAILED, attempt_was=attempt, sentence=sentence, charge=0.0)

    async def expired(self, job_id: str, sentence: str) -> bool:
        """A job in line has failed, for it waited too long."""
        return await self._finish(job_id, IN_LINE, S.FAILED, sentence=sentence, charge=0.0)

    async def cancelled(self, job_id: str, sentence: str) -> bool:
        return await self._finish(job_id, NOT_RENDERED, S.CANCELLED, sentence=sentence, charge=0.0)

    async def told(self, job_id: str) -> None:
        """The member has been shown how the job ended."""
        async with self._database.write() as session:
            await session.execute(update(JobRow).where(JobRow.id == job_id).values(told=True))

    async def erase(self, job_id: str) -> None:
        """The job has no pictures any more, neither in the database nor on the disk."""
        async with self._database.write() as session:
            names = (await session.scalars(select(PictureRow.file).where(PictureRow.job_id == job_id))).all()
            await session.execute(update(PictureRow).where(PictureRow.job_id == job_id).values(deleted=True))
            await session.execute(_without_image(JobRow.id == job_id))
        await self._pictures.remove(names)

    async def prune(self, age: timedelta) -> int:
        """No picture older than `age` is kept, neither drawn nor sent along; gives how many were on the disk."""
        before = self._now() - age
        async with self._database.write() as session:
            await session.execute(_without_image(JobRow.finished_at < before))
        return await self._pictures.prune(before)

    async def sweep(self) -> int:
        """No picture is on the disk that no row knows of: what a crash left; gives how many there were."""
        async with self._database.read() as session:
            known = set(await session.scalars(select(PictureRow.file).where(PictureRow.deleted.is_(False))))
        return await self._pictures.sweep(known)

    async def _finish(self, job_id: str, was: Collection[JobState], state: JobState, **values: Any) -> bool:
        return await self._move(job_id, was, state, finished_at=self._now(), **values)

    async def _move(self, job_id: str, was: Collection[JobState], state: JobState, **values: Any) -> bool:
        async with self._database.write() as session:
            return await self._moved(session, job_id, was, state, **values)

    async def _moved_job(self, job_id: str, was: Collection[JobState], state: JobState, **values: Any) -> Job | None:
        """The job as it is after the move, or None when it was in none of these states."""
        async with self._database.write() as session:
            if not await self._moved(session, job_id, was, state, **values):
                return None
            row = await session.get_one(JobRow, job_id, options=_SENT)
            return self._job(row, row.image, row.mask)

    async def _moved(
        self,
        session: AsyncSession,
        job_id: str,
        was: Collection[JobState],
        state: JobState,
        *,
        attempt_was: int | None = None,
        **values: Any,
    ) -> bool:
        """Compare and set: True when the job was in one of these states, with that attempt where one is given."""
        change = update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(was))
        if attempt_was is not None:
            change = change.where(JobRow.attempt == attempt_was)
        change = change.values(state=state, updated_at=self._now(), **values).returning(JobRow.id)
        return await session.scalar(change.execution_options(synchronize_session=False)) is not None

    async def _list(self, *where: ColumnElement[bool]) -> tuple[Job, ...]:
        async with self._database.read() as session:
            rows = await session.scalars(select(JobRow).where(*where).order_by(JobRow.created_at, JobRow.id))
            return tuple(self._job(row) for row in rows)

    def _job(self, row: JobRow, image: bytes | None = None, mask: bytes | None = None) -> Job:
        who = Who(
            row.member_id,
            row.member_name,
            row.guild_id,
            row.channel_id,
            adult=row.adult,
            locale=row.locale,
            parent_id=row.parent_id,
        )
        request = from_json(row.request, image, mask)
        asked_at = row.asked_at.astimezone(UTC)  # as it comes back from the database
        order = Order(row.interaction_id, row.application_id, row.token, asked_at, who, request, row.parent_job)
        return Job(
            id=row.id,
            state=row.state,
            attempt=row.attempt,
            order=order,
            created_at=row.created_at,
            finished_at=row.finished_at,
            seconds=row.seconds,
            pictures=tuple(self._picture(picture) for picture in row.pictures if not picture.deleted),
            report=tuple(row.report),
            sentence=row.sentence,
            message_id=row.message_id,
            channel_id=row.message_channel_id,
            mature=row.mature,
            losses=row.losses,
        )

    def _picture(self, row: PictureRow) -> StoredPicture:
        path = self._pictures.folder / row.file
        return StoredPicture(row.place, path, row.sha256, row.seed, row.width, row.height, row.infotext)


def _report(request: Request, result: Result) -> list[str]:
    """One line an adapter, and what else there is to say of the drawing; an adapter that the engine found by content
    has its catalog name again."""
    names = {use.sha256: use.name for use in request.adapters if use.sha256}
    lines = [str(replace(report, name=names.get(report.name, report.name))) for report in result.reports]
    return [*lines, *result.remarks]


def _without_image(*where: ColumnElement[bool]) -> Update:
    """Start pictures become empty, not null: a job that had one cannot be drawn again without it."""
    return update(JobRow).where(*where, JobRow.image.is_not(None)).values(image=b"", mask=None)


def _row(order: Order, charge: float, now: datetime, mature: bool) -> JobRow:
    job_id = _base36(order.interaction_id)
    return JobRow(
        id=job_id,
        interaction_id=order.interaction_id,
        application_id=order.application_id,
        token=order.token,
        member_id=order.who.member_id,
        member_name=order.who.name,
        guild_id=order.who.guild_id,
        channel_id=order.who.channel_id,
        parent_id=order.who.parent_id,
        request=to_json(order.request),
        image=order.request.image,
        mask=order.request.mask,
        parent_job=order.parent_job,
        nonce=f"loom-{job_id}",
        state=S.RECEIVED,
        attempt=0,
        losses=0,
        charge=charge,
        told=False,
        sentence="",
        report=[],
        locale=order.who.locale,
        adult=order.who.adult,
        mature=mature,
        asked_at=order.created_at,
        created_at=now,
        updated_at=now,
        message_id=None,
        message_channel_id=None,
        seconds=None,
        cost=None,
        finished_at=None,
        pictures=[],
    )


def _picture_row(job_id: str, picture: StoredPicture) -> PictureRow:
    return PictureRow(
        job_id=job_id,
        place=picture.index,
        file=picture.path.name,
        sha256=picture.sha256,
        seed=picture.seed,
        width=picture.width,
        height=picture.height,
        infotext=picture.infotext,
        deleted=False,
    )


def _base36(number: int) -> str:
    """A snowflake in 13 characters or less, in the order of time like the snowflake itself."""
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
