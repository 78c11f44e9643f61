"""How adapters behave where jobs run, written down after each; what breaks drawings is put into quarantine."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from engine import Conduct

from ..orders.errors import StorageError
from ..orders.values import AdapterRunning, Job

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)


class Quarantine(Protocol):
    """`store.judging.quarantine`: the file is not drawn with until somebody lets it. False: it was there already."""

    async def __call__(self, sha256: str, reason: str, *, by_hand: bool) -> bool: ...


class Suspicion:
    """Knows of a file by its hash alone: what stands in the log can be looked up, and names nobody's work."""

    def __init__(self, store: Store, quarantine: Quarantine | None) -> None:
        self._running = store.running
        self._quarantine = quarantine

    async def drawn(self, conduct: Iterable[Conduct]) -> None:
        """A job was drawn with these."""
        for one in conduct:
            await self._note(one, None)

    async def failed(self, job: Job, conduct: Iterable[Conduct]) -> None:
        """A job failed, and these may be why."""
        for one in conduct:
            await self._note(one, job.order.who.member_id)

    async def lost(self, job: Job) -> None:
        """A job took its workers with it, and nobody can say by what."""
        await self.failed(job, [Conduct(use.name, use.sha256) for use in job.request.adapters])

    async def _note(self, one: Conduct, failed_for: int | None) -> None:
        """Written down, and acted on. The job is over by then, so a fault of the store is only logged."""
        if not one.sha256:
            return
        try:
            seconds = (one.seconds_per_step, one.base_seconds_per_step)
            running = await self._running.note(one.sha256, *seconds, failed_for)
            reason = one.fault or ("" if failed_for is None else _reason(running))
            if reason and self._quarantine is not None and await self._quarantine(one.sha256, reason, by_hand=False):
                log.warning("adapter %s is in quarantine now: %s", one.sha256[:12], reason)
        except StorageError as fault:
            log.warning("how adapter %s behaved could not be written down: %s", one.sha256[:12], fault)


def _reason(running: AdapterRunning | None) -> str:
    if running is None or not running.failing:
        return ""
    return f"{running.failed_lately} drawings with it failed in 24 hours, for {running.people_lately} people."
