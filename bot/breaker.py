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

MOST, WITHIN = 500, 600.0  # what refusals may weigh in so many seconds
WEIGHTS = {401: 1.0, 403: 1.0, 429: 0.1}
"""A storm of 429, each waited out, is Discord's doing: 5,000 fit, half of what it bans for. The others are ours."""


class TooManyInvalid(aiohttp.ClientConnectionError):
    """Not sent: too much of what was sent before was invalid. It may be tried again later."""


class Breaker:
    """Weighs what Discord refuses; at MOST `trace` lets no request out until enough of it is WITHIN seconds old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: deque[tuple[float, float]] = deque()  # when, and its weight
        self._open = False

    @property
    def weight(self) -> float:
        """Of the refusals in the last WITHIN seconds."""
        while self._refused and self._refused[0][0] <= self._clock() - WITHIN:
            self._refused.popleft()
        return sum(weight for _, weight in self._refused)

    @property
    def trace(self) -> aiohttp.TraceConfig:
        """For `discord.Client(http_trace=...)`: every request passes it."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._before)
        trace.on_request_end.append(self._after)
        return trace

    async def _before(self, session: object, context: object, request: aiohttp.TraceRequestStartParams) -> None:
        was, self._open = self._open, self.weight >= MOST
        if self._open and not was:
            log.error("Discord refused %d requests; nothing is sent until it forgets them", len(self._refused))
        if self._open:
            raise TooManyInvalid(f"not sent, for Discord refused {len(self._refused)} requests in {WITHIN:g} s")

    async def _after(self, session: object, context: object, request: aiohttp.TraceRequestEndParams) -> None:
        answer: Any = request.response
        shared = answer.headers.get("X-RateLimit-Scope") == "shared"  # a limit that others used up
        weight = WEIGHTS.get(answer.status)
        if weight is not None and not shared and "/api/" in request.url.path:
            self._refused.append((self._clock(), weight))
