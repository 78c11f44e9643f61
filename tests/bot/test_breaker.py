"""The breaker between the bot and a ban."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bot.breaker import MOST, WITHIN, Breaker, TooManyInvalid
from bot.client import Bot
from bot.config import BotConfig
from bot.replies import OUTAGES
from tests.fakes import FakeClock


@asynccontextmanager
async def answering(breaker: Breaker) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A session that passes the breaker, and the address of a site that answers with the status it is asked for."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=int(request.match_info["status"]), headers={"X-RateLimit-Scope": request.query_string}
        )

    app = web.Application()
    app.router.add_get("/{where}/{status}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession(trace_configs=[breaker.trace]) as session:
            yield session, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("/api/401", 1.0),
        ("/api/403", 1.0),
        ("/api/429", 0.1),
        ("/api/429?shared", 0.0),
        ("/api/404", 0.0),
        ("/api/200", 0.0),
        ("/attachments/403", 0.0),
    ],
)
async def test_what_discord_counts_is_weighed(path: str, weight: float) -> None:
    """Discord's own list; a limit that others used up, and a picture that is gone, are not on it."""
    breaker = Breaker()
    async with answering(breaker) as (session, url), session.get(url + path):
        pass
    assert breaker.weight == weight


async def test_at_the_limit_nothing_is_sent_until_the_refusals_are_old() -> None:
    """The error is one that everybody takes for an outage, so that nothing is given up."""
    clock = FakeClock()
    breaker = Breaker(clock)
    async with answering(breaker) as (session, url):
        for _ in range(MOST):
            async with session.get(f"{url}/api/403"):
                pass
        with pytest.raises(TooManyInvalid) as refused:
            await session.get(f"{url}/api/200")
        assert isinstance(refused.value, OUTAGES)
        clock.time += WITHIN
        async with session.get(f"{url}/api/200") as answer:
            assert answer.status == 200
    assert breaker.weight == 0


async def test_every_request_of_the_bot_passes_it() -> None:
    bot = Bot(BotConfig())
    assert bot.http.http_trace is not None
    assert bot.http.http_trace.on_request_end[0] == bot.breaker._after
