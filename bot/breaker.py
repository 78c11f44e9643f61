"""Discord bans an address for 10,000 invalid requests (401, 403, 429) in 10 minutes. Long before that nothing is sent.

https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp

log = logging.getLogger(__name__)

MOST, WITHIN = 500, 600.0  # invalid requests, in so many seconds
INVALID = (401, 403, 429)


class TooManyInvalid(aiohttp.ClientConnectionError):
    """Not sent: too much of what was sent before was invalid. It may be tried again later."""


class Breaker:
    """Counts what Discord refuses; at MOST refusals `trace` lets no request out until they are WITHIN seconds old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: deque[float] = deque()
        self._open = False

    @property
    def count(self) -> int:
        """Invalid requests of the last WITHIN seconds."""
        while self._refused and self._refused[0] <= self._clock() - WITHIN:
            self._refused.popleft()
        return len(self._refused)

    @property
    def trace(self) -> aiohttp.TraceConfig:
        """For `discord.Client(http_trace=...)`: every request passes it."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._before)
        trace.on_request_end.append(self._after)
        return trace

    async def _before(self, session: object, context: object, request: aiohttp.TraceRequestStartParams) -> None:
        was, self._open = self._open, self.count >= MOST
        if self._open and not was:
            log.error("Discord refused %d requests in %g s; nothing is sent until it forgets them", MOST, WITHIN)
        if self._open:
            raise TooManyInvalid(f"not sent, for Discord refused {MOST} requests in {WITHIN:g} s")

    async def _after(self, session: object, context: object, request: aiohttp.TraceRequestEndParams) -> None:
        answer: Any = request.response
        shared = answer.headers.get("X-RateLimit-Scope") == "shared"  # a limit that others used up
        if answer.status in INVALID and not shared and "/api/" in request.url.path:
            self._refused.append(self._clock())
