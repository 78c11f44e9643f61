"""A good adapter, short bounds, and the sites with an importer that may ask them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
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


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A LoRA for SD 1.5 of about 200 kB."""
    layer = ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", torch.empty(320, 768))
    path = write_kohya(tmp_path_factory.mktemp("adapter") / "ink.safetensors", [layer], rank=48)
    return path.read_bytes()


@pytest.fixture(scope="session")
def picture() -> bytes:
    out = io.BytesIO()
    image = Image.new("RGB", (64, 48), "teal")
    image.save(out, "PNG", pnginfo=None)
    return out.getvalue()


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


@pytest.fixture
async def sites(adapter: bytes, picture: bytes, tmp_path: Path) -> AsyncIterator[Sites]:
    folder = tmp_path / "incoming"
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
        await stack.aclose()
