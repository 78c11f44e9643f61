"""A good adapter, short bounds, and the sites with an importer that may ask them."""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from bot.config import Imports
from bot.importing import AddressRules, Bounds, Importer, Network
from tests.engine.files import write_kohya

from .servers import Cdn, FakeCivitai, FakeHub, running

BOUNDS = Bounds(connect=5, answer=5, gap=5, window=5, total=20, attempts=3, pause=0.01, redirects=3, reserve=0)
SECRET = "civitai-canary-token"  # made up
HUB_SECRET = "hf_canary_token"


@functools.cache
def adapter_bytes(seed: int = 0) -> bytes:
    """A LoRA for SD 1.5 of about 200 kB."""
    layer = ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", torch.empty(320, 768))
    with tempfile.TemporaryDirectory() as folder:
        return write_kohya(Path(folder) / "ink.safetensors", [layer], rank=48, seed=seed).read_bytes()


@functools.cache
def picture_bytes() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def adapter() -> bytes:
    return adapter_bytes()


@dataclass
class Sites:
    """The outside, and an importer that knows it. `folder` must be empty whenever nothing is on its way."""

    civitai: FakeCivitai
    hub: FakeHub
    cdn: Cdn
    importer: Importer
    network: Network
    folder: Path
    config: Imports

    def allowing(self, *urls: str, cap: int | None = None) -> Importer:
        """An importer that may also ask these places on this machine."""
        self.network.rules = replace(self.network.rules, origins=self.network.rules.origins | set(urls))
        importer = Importer(self.network, self.config, self.folder)
        importer.cap = cap or importer.cap
        return importer

    def leftovers(self) -> list[Path]:
        return sorted(self.folder.rglob("*"))


@asynccontextmanager
async def open_sites(adapter: bytes, picture: bytes, place: Path) -> AsyncIterator[Sites]:
    folder = place / "incoming"
    folder.mkdir()
    cdn = Cdn({"ink.safetensors": adapter, "sample.png": picture, "mature.png": picture})
    civitai, hub = FakeCivitai(cdn, adapter), FakeHub(cdn, adapter)
    async with AsyncExitStack() as stack:
        for site in (cdn, civitai, hub):
            site.url = await stack.enter_async_context(running(site.app()))
        config = Imports(
            civitai_url=civitai.url, huggingface_url=hub.url, civitai_token=SECRET, huggingface_token=HUB_SECRET
        )
        rules = AddressRules(origins=frozenset((cdn.url, civitai.url, hub.url)))
        network = await stack.enter_async_context(Network(rules, BOUNDS))
        yield Sites(civitai, hub, cdn, Importer(network, config, folder), network, folder, config)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    async with open_sites(adapter_bytes(), picture_bytes(), tmp_path) as opened:
        yield opened
