"""What the job runner asks of whoever shows results to people: Discord, or a fake in tests."""

from __future__ import annotations

from typing import Protocol

from engine import Progress

from ..orders.values import Job


class Poster(Protocol):
    """All but `progress` raise `Unreachable` when the other side cannot be reached now, `Undeliverable` when never."""

    async def answered(self, job: Job) -> bool:
        """Whether its member has read that the job is in line; True also where nobody can tell any more."""

    async def adult(self, job: Job) -> bool:
        """Whether the place where the job was ordered is age-restricted now. Unknown is no; never raises."""

    async def progress(self, job: Job, progress: Progress) -> None:
        """Shows how far a running job is. Called at most every 2 s a job; failures are the poster's to swallow."""

    async def post(self, job: Job, nonce: str) -> tuple[int, int]:
        """Shows the finished pictures and gives (channel id, message id). Idempotent for the same nonce."""

    async def close(self, job: Job) -> None:
        """Shows that a job failed, was cancelled or could not be posted, with `job.sentence`. Idempotent."""


class Unreachable(Exception):
    """Discord cannot be reached, or did not answer, now; the same call may succeed later."""


class Undeliverable(Exception):
    """Discord will never take this: the channel is gone, the bot was removed. The job is dead."""
