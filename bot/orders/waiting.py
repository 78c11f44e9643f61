"""Files that came by the drop page: each waits in a place of its own until its member says yes or no to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from ..importing import Fetched, Importer
from .errors import TooLate

WAITS = 60 * 60.0  # seconds


@dataclass(slots=True, eq=False)
class _File:
    key: str
    fetched: Fetched
    place: AsyncExitStack
    ends: asyncio.Task[None] | None = None
    use: asyncio.Lock = field(default_factory=asyncio.Lock)


class Waiting:
    """A member has one file that waits, the newest, for `seconds` at most; a restart ends every wait.

    `put` and `let_go` are inverses.
    """

    def __init__(self, importer: Importer, seconds: float = WAITS) -> None:
        self._importer = importer
        self._seconds = seconds
        self._files: dict[int, _File] = {}

    async def put(self, member_id: int, key: str, fetched: Fetched) -> None:
        """The file waits under this key, and is no longer where it was; what waited for the member is gone."""
        async with AsyncExitStack() as place:
            held = await place.enter_async_context(self._importer.held(fetched))
            await self.let_go(member_id)
            self._files[member_id] = file = _File(key, held, place.pop_all())
            file.ends = asyncio.create_task(self._end(member_id, key))

    def holds(self, member_id: int, key: str) -> bool:
        """Whether that file of the member still waits."""
        file = self._files.get(member_id)
        return file is not None and file.key == key

    @asynccontextmanager
    async def taking(self, member_id: int, key: str) -> AsyncIterator[Fetched]:
        """The file, which is gone behind the block; where the block raises, it waits on. Raises TooLate."""
        if not self.holds(member_id, key):
            raise gone()
        file = self._files[member_id]
        async with file.use:
            yield file.fetched
        await self.let_go(member_id, key)

    async def let_go(self, member_id: int, key: str = "") -> None:
        """That file of the member ("": any) is gone, once nobody uses it."""
        file = self._files.get(member_id)
        if file is None or key not in ("", file.key):
            return
        del self._files[member_id]
        if file.ends is not None and file.ends is not asyncio.current_task():
            file.ends.cancel()
        async with file.use:
            await file.place.aclose()

    async def aclose(self) -> None:
        """No file waits any more."""
        for member_id in list(self._files):
            await self.let_go(member_id)

    async def _end(self, member_id: int, key: str) -> None:
        await asyncio.sleep(self._seconds)
        await self.let_go(member_id, key)


def gone() -> TooLate:
    return TooLate("The file that you sent is not here any more. Send /lora add with large:True once more.")
