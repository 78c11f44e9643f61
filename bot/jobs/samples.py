"""A picture of each adapter that was added, drawn here: the same words and seeds for all, so that they can be compared.

Which are still to be drawn the store knows, so a restart forgets none. One is drawn at a time, in line like the job of
one more member; nothing is posted, and nobody's quota pays for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from engine import AdapterUse, Cancelled, EngineError, Request, Result

from ..importing import ImportRefused, Preview, redraw
from ..orders.errors import OrderError, StorageError
from ..orders.gate import Gate
from ..orders.values import CatalogEntry, Who

if TYPE_CHECKING:
    from ..store import Store

log = logging.getLogger(__name__)

SUBJECT = "a house"
SEED, COUNT = 1, 2
WORDS = 3  # trigger words that go before the subject
LATER = 60.0  # seconds until what the database or a lost worker kept from being drawn is tried again


class Draws(Protocol):
    """Where pictures are drawn that nobody ordered: `Runner`."""

    async def draw(self, request: Request) -> Result: ...
    def family(self, model: str = "") -> str: ...


class Samples:
    """Between `start` and `aclose`, what is missing is drawn, and more whenever `wake` says that there is some."""

    def __init__(self, store: Store, draws: Draws, gate: Gate | None = None) -> None:
        self._store = store
        self._draws = draws
        self._gate = gate or Gate(store)
        self._more = asyncio.Event()
        self._refused: set[int] = set()  # entries that cannot be drawn, asked once in a life
        self._drawing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._drawing = asyncio.create_task(self._run(), name="samples")

    async def aclose(self) -> None:
        if self._drawing is not None:
            self._drawing.cancel()
            await asyncio.wait({self._drawing})

    def wake(self) -> None:
        self._more.set()

    async def draw_missing(self) -> None:
        """Every added entry that can be drawn with the usual base model has its pictures."""
        last = 0
        while found := await self._store.drawings.undrawn(after=last):
            for entry in found:
                last = entry.id
                if entry.id not in self._refused and self._fits(entry):
                    await self._draw(entry)

    async def _run(self) -> None:
        while True:
            self._more.clear()
            try:
                await self.draw_missing()
                await self._more.wait()
            except (StorageError, Cancelled, OSError) as fault:
                log.info("Sample pictures wait: %s", fault)
                await asyncio.sleep(LATER)

    async def _draw(self, entry: CatalogEntry) -> None:
        request, owner = sample_request(entry), Who(entry.owner_id or 0, "", entry.guild_id, 0)
        try:
            await self._gate.admit(request, (entry,), owner)
            result = await self._draws.draw(request)
            pictures = [await asyncio.to_thread(redraw, one.png, Preview("", one.flagged)) for one in result.pictures]
        except StorageError:
            raise
        except (EngineError, ImportRefused, OrderError) as error:
            log.info("No sample of %s was drawn: %s", entry.name, error)
            self._refused.add(entry.id)
        else:
            await self._store.drawings.keep(entry.id, pictures)

    def _fits(self, entry: CatalogEntry) -> bool:
        family = self._draws.family()
        return not family or not entry.info.family or family == entry.info.family


def sample_request(entry: CatalogEntry) -> Request:
    """What is drawn of an entry: its words, and a subject that every model knows."""
    words = (entry.chosen or entry.info.triggers)[:WORDS]
    uses = (AdapterUse(entry.name, entry.weight, sha256=entry.info.sha256),)
    prompt = ", ".join([SUBJECT, *(word[:100] for word in words)])
    return Request(prompt=prompt, adapters=uses, seed=SEED, count=COUNT)
