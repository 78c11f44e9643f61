"""Shows each job's end exactly once, however often Discord or the bot went away in between."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from engine import Progress

from ..orders.gate import Gate
from ..orders.values import Job, JobState, Who
from .poster import Poster, Undeliverable, Unreachable

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between tries
NOT_SHOWN = "The pictures are drawn, but could not be shown here. /history has them."
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Forgotten(Exception):
    """The job's member has asked to be forgotten: there is nothing to show any more, and nobody to show it to."""


class Withheld(Exception):
    """The pictures may not be shown any more where they were ordered; the sentence is for their member."""


class Outbox:
    """The store knows what is still to be shown; the poster shows it."""

    def __init__(self, store: Store, poster: Poster, sleep: Sleep = asyncio.sleep, *, gate: Gate | None = None) -> None:
        self._store = store
        self._poster = poster
        self._gate = gate or Gate(store)
        self._sleep = sleep
        self.ended: Counter[JobState] = Counter()  # how many jobs came to which end, since the start

    async def now(self, job: Job) -> Who:
        """Who ordered the job, and the place as it is now."""
        return replace(job.order.who, adult=await self._poster.adult(job))

    async def answered(self, job: Job) -> bool:
        """Whether its member has read that the job is in line; True also where nobody can tell any more."""
        try:
            return await self._insist(job.id, lambda: self._poster.answered(job))
        except Undeliverable:
            return True
        except Forgotten:
            return False

    async def progress(self, job: Job, progress: Progress) -> None:
        """The member has seen how far the job is, or will see the next step instead."""
        await self._poster.progress(job, progress)

    async def post(self, job_id: str) -> None:
        """A rendered job is posted, or dead when nobody will ever take its pictures, or they are not fit to be shown
        where they were ordered: then that is told.
        """
        if not await self._store.jobs.posting(job_id):
            return
        job = await self._store.jobs.get(job_id)
        if job is None:
            return
        try:
            channel_id, message_id = await self._insist(job_id, lambda: self._show(job))
        except Forgotten:
            return
        except Withheld as objection:
            log.info("job %s is not shown where it was ordered", job_id)
            await self._store.jobs.withheld(job_id, str(objection))
            await self.close(job_id)
        except Undeliverable as refusal:
            log.warning("job %s cannot be shown: %s", job_id, refusal)
            await self._store.jobs.dead(job_id, NOT_SHOWN)
            await self.close(job_id)
        else:
            if await self._store.jobs.posted(job_id, channel_id, message_id):
                self.ended[JobState.POSTED] += 1

    async def _show(self, job: Job) -> tuple[int, int]:
        """One try, for what the place and the adapters are then: an outage may last for hours. Raises Withheld."""
        objection = await self._gate.withheld(job, await self.now(job), drawn=True)
        if objection:
            raise Withheld(objection)
        return await self._poster.post(job, job.nonce)

    async def close(self, job_id: str) -> None:
        """The member has seen that the job ended without pictures, if there is still a place to see it."""
        job = await self._store.jobs.get(job_id)
        if job is None:
            return
        try:
            await self._insist(job_id, lambda: self._poster.close(job))
        except Forgotten:
            return
        except Undeliverable as refusal:
            log.warning("nobody can be told how job %s ended: %s", job_id, refusal)
        await self._store.jobs.told(job_id)
        self.ended[job.state] += 1

    async def _insist(self, job_id: str, call: Callable[[], Awaitable[T]]) -> T:
        """The call's result, tried again with growing pauses while the other side cannot be reached.

        Raises Forgotten once the job is gone with everything of its member.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await call()
            except Unreachable as outage:
                log.info("trying again in %g s: %s", pause, outage)
            await self._sleep(pause)
            if not await self._store.jobs.exists(job_id):
                raise Forgotten(job_id)
            pause = min(2 * pause, LONGEST_PAUSE)
