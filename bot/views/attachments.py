"""Files that members send to Discord, read piece by piece from where Discord keeps them and from nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from ..importing import AddressRefused, Interrupted, SourceMissing

if TYPE_CHECKING:
    from ..client import Bot

HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
PIECE = 1 << 16  # bytes
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)  # seconds


class Attachments:
    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def pieces(self, address: str) -> AsyncIterator[bytes]:
        """The file at an address that an interaction gave. Raises AddressRefused, SourceMissing, Interrupted."""
        if self._bot.simulated:  # SimCord has its files in memory, under addresses that lead nowhere
            yield await self._bot.http.get_from_cdn(address)
            return
        if not self._is_discords(address):
            raise AddressRefused("That file does not lie at Discord.")
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session,
                session.get(address, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
            ):
                if answer.status != 200:
                    raise SourceMissing("Discord does not keep that file any more; send it once more.")
                async for piece in answer.content.iter_chunked(PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Interrupted("Discord could not be reached, or hung up; send the file once more.") from error

    def _is_discords(self, address: str) -> bool:
        url, stand_in = urlsplit(address), urlsplit(self._bot.config.discord_api)
        if stand_in.netloc:
            return (url.scheme, url.netloc) == (stand_in.scheme, stand_in.netloc)
        return url.scheme == "https" and url.netloc in HOSTS
