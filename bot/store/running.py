"""How drawing with each adapter file goes: how fast, how often, and whose drawings failed lately."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select

from ..orders.values import AdapterRunning
from .database import Database
from .models import FileRow, RunningRow
from .people import person_of

KEPT = timedelta(hours=24)  # that a failure counts
MOST = 20  # failures that are remembered of one file
NEW = 0.3  # how much the last drawing says about the pace, beside all before it


class Running:
    """A row a file, from the first time that it was drawn with. Whose drawing failed is a number of `people`."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def note(
        self,
        sha256: str,
        seconds_per_step: float = 0.0,
        base_seconds_per_step: float = 0.0,
        failed_for: int | None = None,
    ) -> AdapterRunning | None:
        """One more drawing with the file, which failed where `failed_for` is a member; 0 seconds are not known.

        Gives how it goes now. None, and nothing is written, where no such file is kept.
        """
        async with self._database.write() as session:
            if await session.get(FileRow, sha256) is None:
                return None
            row = await session.get(RunningRow, sha256)
            if row is None:
                session.add(row := never_drawn(sha256))
            row.draws += 1
            row.seconds_per_step = _blended(row.seconds_per_step, seconds_per_step)
            row.base_seconds_per_step = _blended(row.base_seconds_per_step, base_seconds_per_step)
            row.failed_for = self._lately(row)
            if failed_for is not None:
                row.failures += 1
                failure = [await person_of(session, failed_for), self._now().isoformat()]
                row.failed_for = [*row.failed_for, failure][-MOST:]
            await session.flush()
            return self._value(row)

    async def forgive(self, sha256: str) -> None:
        """The failures of the file count no more, as when its owner lets it out of quarantine; the total stays."""
        async with self._database.write() as session:
            row = await session.get(RunningRow, sha256)
            if row is not None:
                row.failed_for = []

    async def of(self, sha256: str) -> AdapterRunning | None:
        """None for a file that was never drawn with."""
        async with self._database.read() as session:
            row = await session.get(RunningRow, sha256)
            return None if row is None else self._value(row)

    async def all(self) -> tuple[AdapterRunning, ...]:
        """Every file that was drawn with, those that fail most first."""
        newest = select(RunningRow).order_by(RunningRow.failures.desc(), RunningRow.draws.desc(), RunningRow.sha256)
        async with self._database.read() as session:
            return tuple(self._value(row) for row in await session.scalars(newest))

    def _lately(self, row: RunningRow) -> list[object]:
        since = self._now() - KEPT
        return [failure for failure in row.failed_for if datetime.fromisoformat(failure[1]) > since]

    def _value(self, row: RunningRow) -> AdapterRunning:
        lately = [failure[0] for failure in self._lately(row)]  # type: ignore[index]
        return AdapterRunning(
            row.sha256,
            row.draws,
            row.failures,
            row.seconds_per_step,
            row.base_seconds_per_step,
            failed_lately=len(lately),
            people_lately=len(set(lately)),
        )


def never_drawn(sha256: str) -> RunningRow:
    """The row of a file of which nothing is known yet."""
    return RunningRow(
        sha256=sha256,
        draws=0,
        failures=0,
        failed_for=[],
        seconds_per_step=0.0,
        base_seconds_per_step=0.0,
        pinned=False,
    )


def _blended(before: float, now: float) -> float:
    if not now:
        return before
    return now if not before else (1 - NEW) * before + NEW * now
