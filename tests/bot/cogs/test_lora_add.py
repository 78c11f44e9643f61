"""/lora add: what is named or sent is shown, and on a yes becomes an entry."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from bot.config import Imports
from bot.orders import CatalogEntry
from engine import builtin_adapter, inspect_adapter
from tests.bot.importing.conftest import adapter_bytes, picture_bytes
from tests.bot.importing.servers import Cdn, FakeCivitai, FakeHub, running
from tests.bot.worlds import World, buttons, items, texts, world
from tests.fakes import until

PAGE = "https://civitai.com/models/12345"


@dataclass
class Outside:
    """Civitai and the Hub; what they lead to lies at Civitai's own address."""

    civitai: FakeCivitai
    hub: FakeHub
    cdn: Cdn
    imports: Imports


@asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    file = adapter_bytes()
    cdn = Cdn({"ink.safetensors": file, "sample.png": picture_bytes(), "mature.png": picture_bytes()})
    civitai, hub = FakeCivitai(cdn, file), FakeHub(cdn, file)
    for picture in civitai.version["images"]:
        picture["url"] += "?signature=s%252F1"
    app = civitai.app()
    app.router.add_get("/{name}", cdn._file)
    async with running(app) as address, running(hub.app()) as hub.url:
        civitai.url = cdn.url = address
        yield Outside(civitai, hub, cdn, Imports(civitai_url=address, huggingface_url=hub.url))


async def entries(w: World) -> list[CatalogEntry]:
    from tests.fakes import who

    found = await w.bot.orders.adapters(who(w.alice.id, guild_id=w.channel.guild.id), limit=100)
    return [entry for entry in found if entry.owner_id is not None]


async def test_a_civitai_page_is_shown_first_and_added_on_a_yes(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        print(texts(shown.response.message))
        assert await entries(w) == []
        done = await w.alice.click(shown.response.message, label="Add")
        print(texts(done.response.message))
        print(await entries(w))
        assert 0
