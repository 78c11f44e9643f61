"""The drop page: a link by which one member, once, sends a file that is too large for Discord.

A link is signed, names member and server, and ends after a while or when a file was taken. Nothing else is served.
Restarting the bot ends all links, since the key they are signed with lives only in memory. Speaks plain HTTP on this
machine; https to the outside is the business of the owner's reverse proxy.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from engine import EngineError

from ..config import Drop
from ..language import answer_in, preferred, said
from .drop_page import ENGLISH, page
from .errors import DropRefused, ImportRefused, TooLarge, TooSlow
from .importer import Importer
from .names import file_name
from .network import Bounds, paced
from .values import Fetched

AT_ONCE = 4  # uploads that arrive at the same time; more are asked to wait
TRIES = 5  # files a link may send until one is taken


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link says. `guild_id` is None for a direct message; `expires` in seconds since 1970; by `key` the caller
    knows what the file is for.
    """

    member_id: int
    guild_id: int | None
    expires: int
    key: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A validated file that a member sent by the link of this key; `fetched.path` ends with the call that gets it."""

    member_id: int
    guild_id: int | None
    key: str
    fetched: Fetched


OnDrop = Callable[[Dropped], Awaitable[str]]
"""Takes the file and gives the sentence that the page shows. May raise ImportRefused or EngineError to refuse it."""


class DropServer:
    """`async with DropServer(...) as server: server.link(member, guild, key)`; the port is open inside the block."""

    def __init__(
        self,
        config: Drop,
        importer: Importer,
        on_drop: OnDrop,
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._importer = importer
        self._on_drop = on_drop
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._tries: dict[str, tuple[int, int]] = {}  # key -> (files sent, when the link ends)
        self._sending: set[str] = set()
        self.port = config.port

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/drop/{token}", self._show)
        app.router.add_put("/drop/{token}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=15)  # a log would hold the links
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self._config.host, self._config.port)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def link(self, member_id: int, guild_id: int | None, key: str) -> str:
        """An address for this member alone to send one file to, for the configured time. `key` is fit for an address,
        and no two links have the same.
        """
        expires = int(self._clock()) + self._config.minutes * 60
        said = f"{member_id}.{guild_id or 0}.{expires}.{key}"
        base = self._config.url.rstrip("/") or f"http://{self._config.host}:{self.port}"
        return f"{base}/drop/{said}.{self._sign(said)}"

    def read(self, token: str) -> Ticket:
        """The inverse of `link`, for its last part. Raises DropRefused for one that is made up, used or too old."""
        said, _, signature = token.rpartition(".")
        if not said or not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            raise DropRefused(ENGLISH.unknown)
        member, guild, expires, key = said.split(".", 3)
        ticket = Ticket(int(member), int(guild) or None, int(expires), key)
        if ticket.expires <= self._clock():
            raise DropRefused(ENGLISH.expired)
        if self._tries.get(key, (0, 0))[0] >= TRIES:
            raise DropRefused(ENGLISH.used)
        return ticket

    async def _show(self, request: web.Request) -> web.Response:
        answer_in(preferred(request.headers.get("Accept-Language", "")))
        nonce = secrets.token_urlsafe(12)
        words = ENGLISH.spoken()
        try:
            self.read(request.match_info["token"])
            text, status = page(words, nonce, cap=self._importer.cap), 200
        except DropRefused as error:
            text, status = page(words, nonce, refused=said(str(error))), 410
        return web.Response(text=text, status=status, content_type="text/html", headers=_headers(nonce))

    async def _receive(self, request: web.Request) -> web.Response:
        answer_in(preferred(request.headers.get("Accept-Language", "")))
        try:
            ticket = self.read(request.match_info["token"])
            if ticket.key in self._sending or len(self._sending) >= AT_ONCE:
                return _answer(409 if ticket.key in self._sending else 503, ENGLISH.busy)
            self._sending.add(ticket.key)
            try:
                sentence = await self._take(request, ticket)
            finally:
                self._sending.discard(ticket.key)
        except DropRefused as error:
            return _answer(410, str(error))
        except TooLarge as error:
            return _answer(413, str(error))
        except TooSlow as error:
            return _answer(408, str(error))
        except (ImportRefused, EngineError) as error:
            return _answer(422, str(error))
        return _answer(200, sentence)

    async def _take(self, request: web.Request, ticket: Ticket) -> str:
        """The file of this request is with the callback, and its link is used up."""
        self._count(ticket, 1)
        try:
            async with asyncio.timeout(self._bounds.total), self._importer.arrival() as arrival:
                arrival.expect(request.content_length)
                async for piece in paced(request.content.readany, self._bounds, "Your side"):
                    await arrival.take(piece)
                await arrival.finish()
                fetched = await self._importer.from_upload(arrival.path, file_name(request.query.get("name", "")))
                sentence = await self._on_drop(Dropped(ticket.member_id, ticket.guild_id, ticket.key, fetched))
        except TimeoutError:
            raise TooSlow(f"The upload took longer than {self._bounds.total / 60:g} minutes.") from None
        self._count(ticket, TRIES)
        return sentence

    def _count(self, ticket: Ticket, files: int) -> None:
        """The link has sent so many files more; links that have ended are forgotten."""
        now = self._clock()
        self._tries = {key: tried for key, tried in self._tries.items() if tried[1] > now}
        self._tries[ticket.key] = (self._tries.get(ticket.key, (0, 0))[0] + files, ticket.expires)

    def _sign(self, said: str) -> str:
        digest = hmac.new(self._key, said.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _answer(status: int, sentence: str) -> web.Response:
    response = web.json_response({"ok": status == 200, "sentence": said(sentence)}, status=status, headers=_headers(""))
    if status != 200:
        response.force_close()  # whatever the other side still sends is not read
    return response


def _headers(nonce: str) -> dict[str, str]:
    """Nothing but the page's own script and style runs, nobody frames it, no address of it leaks."""
    return {
        "Content-Security-Policy": f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
