"""What is told to whoever watches over the bot."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import aiohttp
import pytest

from bot.breaker import Breaker
from bot.config import ConfigError
from bot.health import answers, served
from bot.orders import StorageFull
from bot.store import Store
from tests.bot.worlds import world


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def asked(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/{path}") as answer:
        return answer.status, await answer.text()


async def test_a_bot_at_work_is_live_and_ready(port: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here, served(here.bot, port):
        assert await asked(port, "live") == (200, "live\n")
        assert await asked(port, "ready") == (200, "ready\n")
        assert await answers(port)
    assert not await answers(port)


async def test_an_engine_that_is_gone_makes_it_unready_but_not_dead(port: int, tmp_path: Path) -> None:
    """The loop still answers; what is missing is named."""
    async with world(tmp_path) as here, served(here.bot, port):
        await here.fleet.break_down()
        assert await asked(port, "ready") == (503, "engine\n")
        assert (await asked(port, "live"))[0] == 200


async def test_an_engine_that_hangs_makes_it_unready_before_it_is_given_up(port: int, tmp_path: Path) -> None:
    """It is asked, not only looked at."""
    async with world(tmp_path) as here, served(here.bot, port):
        here.fleet.silent = True
        assert await asked(port, "ready") == (503, "engine\n")
        here.fleet.silent = False
        assert await asked(port, "ready") == (200, "ready\n")


async def test_an_engine_that_is_given_a_rest_is_not_ready_and_says_for_how_long(port: int, tmp_path: Path) -> None:
    """After failures in a row; whoever watches sees both."""
    async with world(tmp_path) as here, served(here.bot, port):
        assert "loraloom_pause_seconds 0.0" in (await asked(port, "metrics"))[1]
        for job in "abc":
            here.bot.runner._breather.broke(job)
        assert await asked(port, "ready") == (503, "engine\n")
        assert "loraloom_pause_seconds 1" in (await asked(port, "metrics"))[1]


async def test_a_database_that_takes_no_writes_makes_it_unready(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(store: Store) -> None:
        raise StorageFull("The disk is full.")

    monkeypatch.setattr(Store, "touch", full)
    async with world(tmp_path) as here, served(here.bot, port):
        assert await asked(port, "ready") == (503, "database\n")


async def test_the_figures_count_jobs_and_name_nobody(port: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here, served(here.bot, port):
        await here.drawn("a very private flower")
        status, text = await asked(port, "metrics")
    assert status == 200
    assert 'loraloom_jobs_ended_total{state="posted"} 1.0' in text
    assert "loraloom_jobs_waiting 0.0" in text
    assert "loraloom_disk_free_bytes" in text
    for secret in ("flower", str(here.alice.id), "alice"):
        assert secret not in text


async def test_the_figures_are_taken_on_the_event_loop(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they count changes there, and nowhere while it is counted."""
    threads: set[str] = set()
    weight = Breaker.weight.fget
    assert weight is not None

    def weighed(breaker: Breaker) -> float:
        threads.add(threading.current_thread().name)
        return weight(breaker)

    async with world(tmp_path) as here, served(here.bot, port):
        monkeypatch.setattr(Breaker, "weight", property(weighed))
        assert (await asked(port, "metrics"))[0] == 200
    assert threads == {threading.current_thread().name}


async def test_a_port_that_is_taken_is_told_and_none_opens_none(port: int, tmp_path: Path) -> None:
    async with world(tmp_path) as here, served(here.bot, 0):
        pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        async with world(tmp_path) as here:
            with pytest.raises(ConfigError, match=r"\[health\] port"):
                async with served(here.bot, port):
                    raise AssertionError("opened")
