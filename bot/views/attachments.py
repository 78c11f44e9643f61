"""Files that members send to Discord, read piece by piece from where Discord keeps them and from nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..importing import AddressRules, Network, SourceMissing, paced

if TYPE_CHECKING:
    from ..client import Bot

HOSTS = ("cdn.discordapp.com", "media.discordapp.net")


class Attachments:
    """Discord's files by their addresses; where a stand-in plays Discord, those of the stand-in."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        stand_in = urlsplit(bot.config.discord_api)
        origins = frozenset({f"{stand_in.scheme}://{stand_in.netloc}"} if stand_in.netloc else ())
        self._rules = AddressRules(HOSTS, origins)

    async def pieces(self, address: str) -> AsyncIterator[bytes]:
        """The file at an address that an interaction gave. Raises AddressRefused, SourceMissing, Interrupted."""
        if self._bot.simulated:  # SimCord has its files in memory, under addresses that lead nowhere
            yield await self._bot.http.get_from_cdn(address)
            return
        async with Network(self._rules) as network, network.ask(address, listed=True) as answer:
            if answer.status != 200:
                raise SourceMissing("Discord does not keep that file any more; send it once more.")
            async for piece in paced(answer.content.readany, network.bounds, "Discord"):
                yield piece
