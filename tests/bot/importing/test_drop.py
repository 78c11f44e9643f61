"""The drop page: one link, one member, one file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest

from bot.config import Drop
from bot.importing import Dropped, DropRefused, DropServer, PageWords, SourceUnusable
from bot.importing.drop import TRIES
from bot.importing.drop_page import page

from .conftest import BOUNDS, Sites


@dataclass
class World:
    server: DropServer
    sites: Sites
    session: aiohttp.ClientSession
    kept: list[tuple[Dropped, bytes]] = field(default_factory=list)
    refusal: Exception | None = None
    now: float = 1_000_000.0

    async def keep(self, dropped: Dropped) -> str:
        if self.refusal:
            raise self.refusal
        self.kept.append((dropped, dropped.fetched.path.read_bytes()))
        return f"{dropped.fetched.info.name} is yours now."

    async def put(self, link: str, data: object, name: str = "ink.safetensors") -> tuple[int, str]:
        async with self.session.put(link, params={"name": name}, data=data) as answer:
            said = await answer.json()
            assert said["ok"] == (answer.status == 200)
            return answer.status, said["sentence"]


@pytest.fixture
async def world(sites: Sites) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        world = World(None, sites, session)  # type: ignore[arg-type]
        config = Drop(port=0)
        bounds = replace(BOUNDS, gap=0.3, window=0.4, window_bytes=100)
        async with DropServer(config, sites.importer, world.keep, bounds=bounds, clock=lambda: world.now) as server:
            world.server = server
            yield world
    assert sites.leftovers() == []


async def test_a_file_arrives_with_whose_it_is(world: World, adapter: bytes) -> None:
    link = world.server.link(42, 7, "key")
    assert await world.put(link, adapter, "My Ink.safetensors") == (200, "My Ink is yours now.")
    ((dropped, data),) = world.kept
    assert (dropped.member_id, dropped.guild_id, dropped.key, data) == (42, 7, "key", adapter)
    assert dropped.fetched.provenance.origin == "upload"


async def test_a_link_takes_one_file(world: World, adapter: bytes) -> None:
    link = world.server.link(42, None, "key")
    assert (await world.put(link, adapter))[0] == 200
    assert await world.put(link, adapter) == (410, PageWords().used)
    async with world.session.get(link) as answer:
        assert answer.status == 410
        assert PageWords().used in await answer.text()
    assert len(world.kept) == 1


async def test_a_link_ends(world: World, adapter: bytes) -> None:
    link = world.server.link(42, 7, "key")
    world.now += 30 * 60
    assert await world.put(link, adapter) == (410, PageWords().expired)


async def test_no_part_of_a_link_can_be_made_up(world: World, adapter: bytes) -> None:
    base, _, token = world.server.link(42, 7, "key").rpartition("/")
    parts = token.split(".")
    forged = [".".join([*parts[:at], part + "0", *parts[at + 1 :]]) for at, part in enumerate(parts)]
    for other in (*forged, "x", "....", "%ff", "1.2.3.4.5", parts[-1], "ü" * 40):
        assert await world.put(f"{base}/{other}", adapter) == (410, PageWords().unknown), other
        async with world.session.get(f"{base}/{other}") as answer:
            assert answer.status == 410
    assert world.server.read(token).member_id == 42


async def test_a_link_of_an_earlier_run_says_so(world: World) -> None:
    """The key lives in memory only."""
    again = DropServer(Drop(port=0), world.sites.importer, world.keep, clock=lambda: world.now)
    with pytest.raises(DropRefused, match="restarted"):
        again.read(world.server.link(42, 7, "key").rpartition("/")[2])


async def test_links_begin_with_the_public_address(world: World) -> None:
    config = Drop(url="https://loras.example.com/bot/", port=0)
    server = DropServer(config, world.sites.importer, world.keep)
    assert server.link(1, None, "key").startswith("https://loras.example.com/bot/drop/1.0.")


async def test_a_wrong_file_can_be_followed_by_the_right_one(world: World, adapter: bytes) -> None:
    link = world.server.link(42, 7, "key")
    status, sentence = await world.put(link, b"\x80\x02 pickled" * 10, "x.safetensors")
    assert (status, "pickle" in sentence) == (422, True)
    status, sentence = await world.put(link, adapter[:-10])
    assert status == 422
    assert (await world.put(link, adapter))[0] == 200


async def test_not_for_ever(world: World) -> None:
    link = world.server.link(42, 7, "key")
    for _ in range(TRIES):
        assert (await world.put(link, b"<html>"))[0] == 422
    assert (await world.put(link, b"<html>"))[0] == 410


async def test_whoever_keeps_the_file_may_refuse_it(world: World, adapter: bytes) -> None:
    world.refusal = SourceUnusable("This one is banned here.")
    link = world.server.link(42, 7, "key")
    assert await world.put(link, adapter) == (422, "This one is banned here.")
    world.refusal = None
    assert (await world.put(link, adapter))[0] == 200


async def test_too_large_is_said_at_once_and_while_it_comes(world: World, adapter: bytes) -> None:
    world.sites.importer.cap = 100_000
    link = world.server.link(42, 7, "key")
    assert await world.put(link, adapter) == (413, "The file has 0.2 MB; at most 0.1 MB are taken here.")

    async def pieces() -> AsyncIterator[bytes]:  # without a length
        for at in range(0, len(adapter), 1000):
            yield adapter[at : at + 1000]

    assert await world.put(link, pieces()) == (413, "The file has more than the 0.1 MB that are taken here.")


async def test_one_who_stops_sending_is_not_waited_for(world: World, adapter: bytes) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield adapter[:1000]
        await asyncio.sleep(1)

    assert (await world.put(world.server.link(42, 7, "key"), stalls()))[0] == 408


async def test_one_who_hangs_up_can_try_again(world: World, adapter: bytes) -> None:
    link = world.server.link(42, 7, "key")
    _, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    path = link.partition(str(world.server.port))[2]
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(adapter)}\r\n\r\n".encode() + adapter[:5000])
    await writer.drain()
    await asyncio.sleep(0.1)
    assert world.sites.leftovers()
    assert await world.put(link, adapter) == (409, PageWords().busy)
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert world.sites.leftovers() == []
    assert (await world.put(link, adapter))[0] == 200


async def test_the_page_needs_nothing_from_elsewhere_and_allows_nothing(world: World) -> None:
    async with world.session.get(world.server.link(42, 7, "key")) as answer:
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', text))
    assert f"script-src 'nonce-{nonce}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)
    assert "512 MB" in text
    assert 'name="viewport"' in text


async def test_nothing_else_is_served(world: World) -> None:
    base = f"http://127.0.0.1:{world.server.port}"
    for path in ("/", "/drop", "/drop/", "/drop/a/b", "/drop/../etc/passwd", "/favicon.ico"):
        async with world.session.get(base + path) as answer:
            assert answer.status in (404, 410), path


def test_the_page_speaks_another_language_without_trusting_it() -> None:
    words = PageWords(language="zh-CN", title="<b>上传</b>", too_large="</script>{cap}")
    text = page(words, "n", cap=1_000_000)
    assert "&lt;b&gt;上传" in text
    assert text.count("</script>") == 2


async def test_a_port_in_use_is_an_error_and_leaves_nothing_open(world: World, tmp_path: Path) -> None:
    second = DropServer(Drop(port=world.server.port), world.sites.importer, world.keep)
    with pytest.raises(OSError, match="address already in use"):
        await second.__aenter__()


async def test_the_page_speaks_the_language_of_its_reader(world: World) -> None:
    """Its words, what its script says, and what it is refused for."""
    link = world.server.link(42, 7, "key")
    for accepted, said in (("zh-CN,zh;q=0.9", "选择文件"), ("en-US", "Choose a file"), ("xx", "Choose a file")):
        async with world.session.get(link, headers={"Accept-Language": accepted}) as answer:
            text = await answer.text()
        assert said in text
        assert f'<html lang="{"zh-CN" if said == "选择文件" else "en"}">' in text
    async with world.session.put(link, data=b"PK", headers={"Accept-Language": "zh"}) as refused:
        assert (await refused.json())["sentence"].startswith("那是一个 zip 或 PyTorch 文件")
    world.now += 30 * 60
    async with world.session.get(link, headers={"Accept-Language": "zh"}) as answer:
        assert "这个链接已失效" in await answer.text()
