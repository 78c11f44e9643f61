"""The one HTTP client of the imports: it asks only addresses that AddressRules allows, and believes nothing it is told.

Redirects are followed here and not by aiohttp, so that every hop passes the same gate and a token stays at its origin.
A name is checked in the same step that connects to it: what was looked up is what is connected to.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .addresses import AddressRules, origin_of, shown
from .errors import AddressRefused, Interrupted, SourceBroken, TooLarge, TooSlow

AGENT = "Loraloom (https://pypi.org/project/loraloom)"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of anything a server may take of us. Times in seconds."""

    connect: float = 10
    answer: float = 30  # from the question to the last header, and for the whole of a small answer
    gap: float = 30  # between two pieces of a body
    window: float = 60  # in every such time ...
    window_bytes: int = 60 * 64 * 1024  # ... so many bytes arrive
    total: float = 15 * 60  # a whole download, however often it is taken up again
    attempts: int = 4
    pause: float = 1  # before the second attempt; doubled before each further one
    redirects: int = 5
    small: int = 2 * MIB  # an answer that is read at once
    reserve: int = 512 * MIB  # what stays free on the disk


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that belongs to one origin, and is sent nowhere else."""

    origin: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, address: str, secret: str) -> Token | None:
        return cls(origin_of(URL(address)), secret) if secret else None


@dataclass(frozen=True, slots=True)
class Small:
    """An answer that was read at once."""

    status: int
    headers: Mapping[str, str]  # in any case
    body: bytes = field(repr=False)

    def json(self) -> object:
        """The body as JSON. Raises SourceBroken."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise SourceBroken("The source answers something that cannot be read.") from None


class Network:
    """`async with Network(rules) as network:`. `resolver` is how names are looked up; whatever it says is checked."""

    def __init__(
        self, rules: AddressRules | None = None, bounds: Bounds | None = None, resolver: AbstractResolver | None = None
    ) -> None:
        self.rules = rules or AddressRules()
        self.bounds = bounds or Bounds()
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(self.rules, self._resolver or aiohttp.ThreadedResolver()),
            socket_factory=self._socket,
            use_dns_cache=False,
            force_close=True,  # every question makes its own connection, through the checks
            limit=16,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.bounds.connect),
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def ask(
        self,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: Token | None = None,
        listed: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of the last hop, whatever its status; its body is still to come. `listed`: the owner's list of
        hosts holds for the address itself (and not for where it leads). Raises AddressRefused, SourceBroken.
        """
        url = parse_url(address)
        for hop in range(self.bounds.redirects + 1):
            self.rules.check(url, listed=listed and hop == 0)
            response = await self._ask_once(url, headers or {}, token)
            try:
                if response.status not in REDIRECTS:
                    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
                        raise SourceBroken(f"{url.host} sends the file compressed, which it was asked not to.")
                    yield response
                    return
                url = _target(url, response)
            finally:
                response.close()
        raise SourceBroken(f"{url.host} leads from one address to the next more than {self.bounds.redirects} times.")

    async def small(
        self,
        address: str,
        *,
        token: Token | None = None,
        cap: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Small:
        """The whole answer, of at most `cap` bytes. Raises TooLarge and what `ask` raises."""
        cap = self.bounds.small if cap is None else cap
        try:
            async with asyncio.timeout(self.bounds.answer), self.ask(address, token=token, headers=headers) as answer:
                body = bytearray()
                async for chunk in paced(answer.content.readany, self.bounds, shown(address)):
                    body += chunk
                    if len(body) > cap:
                        raise TooLarge(f"{shown(address)} answers with more than {cap:,} bytes.")
                return Small(answer.status, answer.headers, bytes(body))
        except TimeoutError:
            raise TooSlow(f"{shown(address)} takes too long to answer.") from None

    async def _ask_once(self, url: URL, headers: Mapping[str, str], token: Token | None) -> aiohttp.ClientResponse:
        assert self._session is not None, "used outside `async with`"
        sent = dict(headers)
        if token is not None and origin_of(url) == token.origin:
            sent["Authorization"] = f"Bearer {token.secret}"
        try:
            async with asyncio.timeout(self.bounds.connect + self.bounds.answer):
                return await self._session.get(url, headers=sent, allow_redirects=False)
        except TimeoutError:
            raise TooSlow(f"{url.host} takes too long to answer.") from None
        except aiohttp.ClientSSLError as error:
            raise SourceBroken(f"{url.host} has no valid certificate for https.") from error
        except aiohttp.ClientConnectionError as error:
            raise Interrupted(f"{url.host} cannot be reached, or hangs up.") from error
        except (aiohttp.ClientError, ValueError) as error:  # garbled or endless headers; a URL that aiohttp refuses
            raise SourceBroken(f"{url.host} answers something that is not HTTP.") from error

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket to a checked address; the wall behind the resolver, which no name and no number passes around."""
        family, kind, protocol, _, (address, port, *_) = info
        if not self.rules.may_connect(str(address), int(port)):
            raise PermissionError("not a public address")
        return socket.socket(family=family, type=kind, proto=protocol)


class _CheckedResolver(AbstractResolver):
    """Looks names up; a name with even one address that is not public does not exist."""

    def __init__(self, rules: AddressRules, inner: AbstractResolver) -> None:
        self._rules = rules
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(self._rules.may_connect(result["host"], result["port"]) for result in found):
            raise AddressRefused(f"{host} is not on the public internet.")
        return found

    async def close(self) -> None:
        await self._inner.close()


async def paced(read: Callable[[], Awaitable[bytes]], bounds: Bounds, who: str) -> AsyncIterator[bytes]:
    """The pieces that `read` gives, to the empty one. Raises TooSlow, and Interrupted when the connection breaks."""
    clock = asyncio.get_running_loop().time
    start, got = clock(), 0
    while True:
        try:
            async with asyncio.timeout(bounds.gap):
                piece = await read()
        except TimeoutError:
            raise TooSlow(f"{who} stopped sending for {bounds.gap:g} seconds.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Interrupted(f"{who} hung up in the middle.") from error
        if not piece:
            return
        yield piece
        got += len(piece)
        if clock() - start >= bounds.window:
            if got < bounds.window_bytes:
                raise TooSlow(f"{who} sends only {got:,} bytes in {bounds.window:g} seconds.")
            start, got = clock(), 0


def parse_url(address: str) -> URL:
    """Raises AddressRefused for what is no URL."""
    try:
        url = URL(address)
        _ = url.host, url.port
    except ValueError:
        raise AddressRefused("This is no address that can be asked.") from None
    return url.with_fragment(None)


def _target(url: URL, response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        plain = location.isascii() and location.isprintable() and " " not in location
        target = url.join(URL(location, encoded=plain)).with_fragment(None)  # a signed address stays as it is written
        _ = target.host, target.port
    except ValueError:
        target = url.with_path("")
        location = ""
    if not location:
        raise SourceBroken(f"{url.host} leads to another address and does not say which.")
    return target
