"""What may be drawn, for whom and where: rules asked when a job is ordered, when it begins and when it is shown.

In between an adapter may have been banned or taken back, a channel be no longer for adults, a setting be another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from engine import AdapterError, AdapterUse, Request

from .bars import NotBarred
from .content import Content
from .errors import OrderError, StorageError
from .values import CatalogEntry, Job, Who

if TYPE_CHECKING:
    from ..store import Store


class Rule(Protocol):
    """Raises OrderError or the engine's AdapterError where this person may not have this drawn in this place."""

    async def __call__(self, request: Request, entries: Sequence[CatalogEntry], who: Who) -> None: ...


class Gate:
    """Every rule has to let a request pass; the first that does not says why. Those about what is shown are always
    among them: what is not for everybody, and what is banned.
    """

    def __init__(self, store: Store, rules: Iterable[Rule] = (), *, content: Content | None = None) -> None:
        self._catalog = store.catalog
        self.content = content or Content()
        self._bar = NotBarred(store)
        self._rules: tuple[Rule, ...] = (self.content, self._bar, *rules)

    async def admit(self, request: Request, entries: Sequence[CatalogEntry], who: Who) -> None:
        """Returns for a request that may be drawn with these entries. Raises OrderError or AdapterError."""
        for rule in self._rules:
            await rule(request, entries, who)

    async def objection(self, job: Job, who: Who | None = None) -> str:
        """Why a job that was ordered may not be drawn or shown any more; "" while it may. `who`: its member as of now.

        Raises StorageError.
        """
        who = who or job.order.who
        entries = []
        for use, entry in await self._found(job, who):
            if entry is None:
                return f"{use.name} is no longer here for you, so this is not drawn. Order it again without it."
            entries.append(entry)
        try:
            await self.admit(job.request, entries, who)
        except StorageError:
            raise
        except (OrderError, AdapterError) as objection:
            return str(objection)
        return ""

    async def withheld(self, job: Job, who: Who, *, drawn: bool = False) -> str:
        """Why the pictures of a job may not be shown to its member in the place `who` is in now; "" where they may.

        `drawn`: they are shown for the first time. That its owner took an adapter back meanwhile, by removing it or by
        keeping it for themselves, is no reason: it was ordered while it was there, and what comes after is refused. A
        ban is about the pictures too. Raises StorageError.
        """
        barred = await self._bar.withheld(job.request, who)
        if barred or not job.mature:
            return barred
        entries = [entry for _, entry in await self._found(job, who) if entry is not None]
        return await self.content.objection(entries, who, drawn=drawn)

    async def _found(self, job: Job, who: Who) -> list[tuple[AdapterUse, CatalogEntry | None]]:
        """Every adapter that the job asks for, and its entry as this person sees it."""
        return [(use, await self._catalog.find_file(who, use.sha256)) for use in job.request.named]
