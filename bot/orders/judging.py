"""What members say of each other's adapters and pictures: ratings, reviews with a picture, reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine import AdapterNotFound, BadRequest, ImageUnreadable, Request

from .desk import Orders
from .errors import Forbidden, JobUnknown
from .rights import Right, require
from .values import CatalogEntry, Job, JobState, Who
from .verdicts import Reason, Report, ReviewPage

if TYPE_CHECKING:
    from ..importing import PreviewPicture
    from ..store import Store

Redraw = Callable[[bytes, bool], "PreviewPicture"]
"""A picture and whether it is mature, drawn anew so that only its pixels are left; may be slow."""

STARS = 5
WORDS = 1000  # characters of a review or a report
REPORTS_A_DAY = 10
REVIEWS_A_PAGE = 4
_LOOKED_THROUGH = 100  # of one's jobs, the newest, for pictures that an adapter had a part in


class Judging:
    """Every method is one thing that a member may say, or read of what others said."""

    def __init__(self, store: Store, orders: Orders, redraw: Redraw) -> None:
        self._store = store.judging
        self._jobs = store.jobs
        self._orders = orders
        self._redraw = redraw

    async def rate(self, who: Who, name: str, stars: int, words: str = "", job_id: str = "") -> CatalogEntry:
        """The member's one rating of the adapter is this, 1 to 5 stars; with `job_id` a picture of their own job that
        used it. Gives the entry as it is now. `unrate` is the inverse.

        Raises AdapterNotFound, Forbidden for one's own, and BadRequest, JobUnknown or ImageUnreadable for the picture.
        """
        require(who, Right.MEMBER)
        if not 1 <= stars <= STARS:
            raise BadRequest(f"A rating has 1 to {STARS} stars.")
        entry = await self._orders.adapter(who, name)
        if entry.owner_id == who.member_id:
            raise Forbidden("This adapter is yours; others rate it.")
        picture = await self._review_picture(who, entry, job_id) if job_id else None
        if not await self._store.rate(who, entry.id, stars, _words(words), picture):
            raise AdapterNotFound(f"{entry.name} went away meanwhile.")
        return await self._orders.adapter(who, name)

    async def unrate(self, who: Who, name: str) -> CatalogEntry:
        """The member's rating, words and picture of the adapter are gone, if there were any."""
        require(who, Right.MEMBER)
        entry = await self._orders.adapter(who, name)
        await self._store.unrate(who, entry.id)
        return await self._orders.adapter(who, name)

    async def reviews(self, who: Who, entry_id: int, page: int = 1) -> ReviewPage:
        """What was said of an entry that this person sees; of another one, as if nobody had said anything."""
        require(who, Right.MEMBER)
        return await self._store.reviews(who, entry_id, page, REVIEWS_A_PAGE)

    async def pictures(self, who: Who, name: str) -> tuple[Job, ...]:
        """One's own finished jobs that used the adapter and whose pictures are kept, newest first."""
        require(who, Right.MEMBER)
        entry = await self._orders.adapter(who, name)
        page = await self._jobs.history(who.member_id, 1, _LOOKED_THROUGH)
        return tuple(job for job in page.jobs if _shows(job, entry))

    async def report(self, who: Who, name: str, reason: Reason, words: str = "") -> tuple[Report, bool]:
        """The moderators here will look at the adapter; gives the report, and whether it is new.

        The same again is the report that there is, with what became of it. Raises AdapterNotFound, TooOften, and
        Forbidden for one's own.
        """
        require(who, Right.MEMBER)
        entry = await self._orders.adapter(who, name)
        if entry.owner_id == who.member_id:
            raise Forbidden("This adapter is yours. /lora remove takes it away.")
        return await self._store.report(who, entry, reason, _words(words), most=REPORTS_A_DAY)

    async def reportable(self, who: Who, job_id: str) -> Job:
        """A job whose card this person can see here, and not their own. Raises JobUnknown, Forbidden."""
        require(who, Right.MEMBER)
        job = await self._jobs.get(job_id)
        here = job is not None and who.guild_id is not None and job.order.who.guild_id == who.guild_id
        if job is not None and job.order.who.member_id == who.member_id:
            raise Forbidden("This picture is yours; its Delete button takes it away.")
        if job is None or not here:
            raise JobUnknown("There is no such job here.")
        return job

    async def report_job(self, who: Who, job_id: str, reason: Reason, words: str = "") -> tuple[Report, bool]:
        """The moderators here will look at the result, as with `report`."""
        job = await self.reportable(who, job_id)
        return await self._store.report(who, job.id, reason, _words(words), most=REPORTS_A_DAY)

    async def _review_picture(self, who: Who, entry: CatalogEntry, job_id: str) -> PreviewPicture:
        """The first picture of one's own job, drawn anew. `mature` where it was made in an age-restricted place."""
        job = await self._orders.open_job(job_id, who)
        if not _uses(job.request, entry.info.sha256):
            raise BadRequest(f"That picture was made without {entry.name}; choose one that is offered.")
        if not _shows(job, entry):
            raise ImageUnreadable("The pictures of this job are no longer kept; choose another.")
        try:
            data = await asyncio.to_thread(job.pictures[0].path.read_bytes)
        except OSError as error:
            raise ImageUnreadable("The pictures of this job are no longer kept; choose another.") from error
        return await asyncio.to_thread(self._redraw, data, job.order.who.adult)


def _words(text: str) -> str:
    return text.strip()[:WORDS]


def _uses(request: Request, sha256: str) -> bool:
    return any(use.sha256 == sha256 for use in request.named)


def _shows(job: Job, entry: CatalogEntry) -> bool:
    finished = job.state is JobState.POSTED and bool(job.pictures)
    return finished and _uses(job.request, entry.info.sha256)
