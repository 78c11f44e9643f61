"""What is banned or in quarantine: not drawn with, and what was drawn with it is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine import Request

from .errors import Barred
from .values import CatalogEntry, Who

if TYPE_CHECKING:
    from ..store import Store


class NotBarred:
    """A Rule of the Gate: what is banned here or everywhere, or in quarantine, is not drawn with."""

    def __init__(self, store: Store) -> None:
        self._store = store.judging

    async def __call__(self, request: Request, entries: Sequence[CatalogEntry], who: Who) -> None:
        """Raises Barred for the first of the entries that may not be used here."""
        for entry in entries:
            if sentence := await self.objection(who, entry):
                raise Barred(sentence)

    async def objection(self, who: Who, entry: CatalogEntry) -> str:
        """Why nobody may draw with the adapter here, as a sentence that may stand in a channel; "" where one may."""
        reason = await self._store.banned((entry.info.sha256, entry.info.tensor_sha256), who.guild_id)
        if reason is not None:
            return f"{entry.public_name} was taken down here because {reason}."
        reason = await self._store.quarantined(entry.info.sha256)
        if reason is not None:
            return f"{entry.public_name} is in quarantine until the people who run this bot release it: {reason}."
        return ""

    async def withheld(self, request: Request, who: Who) -> str:
        """Why what was drawn for the request may not be shown here, as a sentence that may stand in a channel; "" where
        it may.

        Asked by the files' hashes, for what is banned most people do not even see. A quarantine into which the bot put
        a file for how it runs is about drawing; one by a person may be about what it draws.
        """
        for use in request.named:
            reason = await self._store.banned_file(use.sha256, who.guild_id)
            if reason is not None:
                return f"{use.name} was taken down here because {reason}, so what was drawn with it is not shown here."
            reason = await self._store.quarantined(use.sha256, by_hand=True)
            if reason is not None:
                return (
                    f"{use.name} is in quarantine until the people who run this bot release it: {reason}. What was "
                    "drawn with it is not shown meanwhile."
                )
        return ""
