"""/live, /ready and /metrics on this machine only, for systemd, Docker and Prometheus.

Figures carry no member, prompt or adapter: whoever reads them learns how the bot is, not what it draws.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .config import ConfigError
from .orders import StorageError

if TYPE_CHECKING:
    from .client import Bot

LOOP_EVERY = 0.5  # seconds between looks at how late the event loop is
PATIENCE = 5.0  # seconds that a bot has to answer
BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


class Health:
    """What is asked about one bot."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._began = time.monotonic()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        words = "How late the event loop came back."
        self._lag = Histogram("loraloom_loop_lag_seconds", words, buckets=BUCKETS, registry=self._registry)

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/live", self.live), web.get("/ready", self.ready), web.get("/metrics", self.metrics)])
        return app

    async def live(self, request: web.Request) -> web.Response:
        """The event loop answers."""
        return web.Response(text="live\n")

    async def ready(self, request: web.Request) -> web.Response:
        """Connected, the database takes writes, and the engine answers; else 503 with what is missing."""
        missing = [name for name, well in (await self.state()).items() if not well]
        return web.Response(text=f"{', '.join(missing) or 'ready'}\n", status=503 if missing else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        text = generate_latest(self._registry)  # here, in a millisecond: what it counts changes on the event loop
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def state(self) -> dict[str, bool]:
        """Each thing that must be well, and whether it is."""
        working = self._bot.working
        return {
            "gateway": self._bot.is_ready(),
            "database": working and await self._writes(),
            "engine": working and self._bot.runner.drawing and await self._bot.runner.answers(),
        }

    async def _writes(self) -> bool:
        try:
            await self._bot.orders.touch()
        except StorageError:
            return False
        return True

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment, as Prometheus asks for them."""
        yield _gauge("up_seconds", "Seconds since the start.", time.monotonic() - self._began)
        yield _gauge("gateway_latency_seconds", "Heartbeat to acknowledgement.", self._bot.latency)
        yield _gauge(
            "discord_refusals", "What Discord refused in 10 minutes; at 500 we stop.", self._bot.breaker.weight
        )
        if self._bot.working:
            runner = self._bot.runner
            yield _gauge("jobs_waiting", "Jobs in line.", runner.waiting)
            yield _gauge("jobs_running", "Jobs with a worker.", runner.running)
            yield _gauge("posts_open", "Pieces of work on jobs that are under way, posts among them.", runner.busy)
            yield _gauge("pause_seconds", "Until drawing goes on after failures in a row; else 0.", runner.pause)
            ends = CounterMetricFamily("loraloom_jobs_ended", "Jobs that ended since the start.", labels=["state"])
            for state, count in runner.ended.items():
                ends.add_metric([state.value], count)
            yield ends
            for worker in runner.workers:
                if worker.holds.seconds_per_step is not None:
                    yield _gauge("step_seconds", "Seconds of the last steps.", worker.holds.seconds_per_step)
                if worker.holds.free_vram is not None:
                    yield _gauge("vram_free_bytes", "Free memory of the graphics card.", worker.holds.free_vram)
            yield _gauge("disk_free_bytes", "Room for the data folder.", self._bot.orders.room())

    async def watch_loop(self) -> None:
        """Notes how late the event loop comes back, for ever."""
        while True:
            asked = time.monotonic()
            await asyncio.sleep(LOOP_EVERY)
            self._lag.observe(max(0.0, time.monotonic() - asked - LOOP_EVERY))


async def answers(port: int) -> bool:
    """Whether a bot on this machine says at this port that it is live."""
    patience = aiohttp.ClientTimeout(total=PATIENCE)
    url = f"http://127.0.0.1:{port}/live"
    try:
        async with aiohttp.ClientSession(timeout=patience) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def served(bot: Bot, port: int) -> AsyncIterator[Health]:
    """The figures are at http://127.0.0.1:port, or nowhere when `port` is 0. Raises ConfigError: the port is taken."""
    health = Health(bot)
    if not port:
        yield health
        return
    runner = web.AppRunner(health.app(), access_log=None)
    await runner.setup()
    watching = asyncio.create_task(health.watch_loop(), name="event loop lag")
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise ConfigError(f"[health] port: {port} cannot be opened ({error}); choose another one, or 0.") from error
        yield health
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await runner.cleanup()


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"loraloom_{name}", words, value=float(value))
