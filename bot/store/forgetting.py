"""The rows of one person leave the database, and what other people have there stays whole."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from ..orders.values import Shared
from .catalog import PRIVATE
from .models import (
    BanRow,
    EntryRow,
    FavouriteRow,
    FileRow,
    JobRow,
    QuestionRow,
    RatingRow,
    ReportRow,
    SampleRow,
)


@dataclass(frozen=True, slots=True)
class Left:
    """What is still to go from the disk: jobs by id, samples by file name, adapters by hash."""

    jobs: frozenset[str]
    samples: frozenset[str]
    hashes: tuple[str, ...]


async def forget_rows(session: AsyncSession, member_id: int, shared: Shared) -> Left:
    """No row names the person or holds their words, when the session's transaction is committed. The audit and the
    settings, which are in memory too, are apart.

    Entries that they had shared are removed, or stay where they are and are nobody's; whether their credit line stays
    is the person's choice, for forks by others too.
    """
    jobs = frozenset(await session.scalars(select(JobRow.id).where(JobRow.member_id == member_id)))
    mine = [EntryRow.owner_id == member_id]
    if shared is not Shared.CREDITED:
        await _drop_words(session, member_id, EntryRow.credit)
    if shared is Shared.REMOVED:
        await _drop_words(session, member_id, EntryRow.description)
    if shared is not Shared.REMOVED:
        stay = update(EntryRow).where(*mine, EntryRow.visibility != PRIVATE)
        await session.execute(stay.values(owner_id=None))
    entries = (await session.execute(select(EntryRow.id, EntryRow.sha256).where(*mine))).all()
    gone = [entry.id for entry in entries]
    await _drop_reports(session, member_id, jobs, gone)
    of_them = or_(SampleRow.entry_id.in_(gone), SampleRow.member_id == member_id)
    samples = set(await session.scalars(delete(SampleRow).where(of_them).returning(SampleRow.file)))
    samples -= set(await session.scalars(select(SampleRow.file).where(SampleRow.file.in_(samples))))  # of forks
    await session.execute(delete(EntryRow).where(EntryRow.id.in_(gone)))
    hashes = await _drop_files(session, {entry.sha256 for entry in entries})
    await _drop_judgements(session, member_id)
    await session.execute(delete(QuestionRow).where(QuestionRow.member_id == member_id))
    await session.execute(delete(JobRow).where(JobRow.member_id == member_id))
    return Left(jobs, frozenset(samples), hashes)


async def _drop_words(session: AsyncSession, member_id: int, column: InstrumentedAttribute[str]) -> None:
    """The person's entries say nothing in that column, nor do forks that took it over from them."""
    own = await session.execute(select(EntryRow.id, column).where(EntryRow.owner_id == member_id, column != ""))
    said = {row[0]: row[1] for row in own}
    forks = select(EntryRow.id, EntryRow.forked_from, column).where(EntryRow.forked_from.in_(said))
    same = [fork for fork, original, words in await session.execute(forks) if words == said[original or 0]]
    await session.execute(update(EntryRow).where(EntryRow.id.in_([*said, *same])).values({column: ""}))


async def _drop_reports(session: AsyncSession, member_id: int, jobs: frozenset[str], entries: list[int]) -> None:
    """Reports stay, for moderators must act on them: without who wrote them and their words, and without the names and
    prompts of what is gone.
    """
    reported = update(ReportRow).where(ReportRow.member_id == member_id)
    await session.execute(reported.values(member_id=None, words=""))
    await session.execute(update(ReportRow).where(ReportRow.decided_by == member_id).values(decided_by=None))
    about = or_(ReportRow.entry_id.in_(entries), ReportRow.job_id.in_(jobs))
    await session.execute(update(ReportRow).where(about).values(subject=""))


async def _drop_files(session: AsyncSession, hashes: set[str]) -> tuple[str, ...]:
    """Files that no entry shows any more say nothing of themselves, as long as they are kept for the sake of others: of
    a job that draws with one, or of the quarantine. A ban of any of them says its hash in place of a name.
    """
    files = (await session.scalars(select(FileRow).where(FileRow.sha256.in_(hashes)))).all()
    banned = BanRow.hash.in_([value for file in files for value in (file.sha256, file.tensor_sha256)])
    await session.execute(update(BanRow).where(banned).values(name=func.substr(BanRow.hash, 1, 12)))
    unseen = (FileRow.sha256.in_(hashes), FileRow.sha256.not_in(select(EntryRow.sha256)))
    silent = {"name": "", "title": "", "author": "", "license": "", "triggers": [], "more": {}}
    return tuple(await session.scalars(update(FileRow).where(*unseen).values(silent).returning(FileRow.sha256)))


async def _drop_judgements(session: AsyncSession, member_id: int) -> None:
    """Ratings and favourites are gone, and the entries that had them count as if they had never been."""
    rated = list(
        await session.scalars(delete(RatingRow).where(RatingRow.member_id == member_id).returning(RatingRow.entry_id))
    )
    mean = select(func.coalesce(func.avg(RatingRow.stars), 0.0)).where(RatingRow.entry_id == EntryRow.id)
    number = select(func.count()).select_from(RatingRow).where(RatingRow.entry_id == EntryRow.id)
    counted = (
        update(EntryRow)
        .where(EntryRow.id.in_(rated))
        .values(stars=mean.scalar_subquery(), ratings=number.scalar_subquery())
    )
    await session.execute(counted.execution_options(synchronize_session=False))
    kept = list(
        await session.scalars(
            delete(FavouriteRow).where(FavouriteRow.member_id == member_id).returning(FavouriteRow.entry_id)
        )
    )
    hearts = select(func.count()).select_from(FavouriteRow).where(FavouriteRow.entry_id == EntryRow.id)
    counted = update(EntryRow).where(EntryRow.id.in_(kept)).values(favourites=hearts.scalar_subquery())
    await session.execute(counted.execution_options(synchronize_session=False))
