"""/lora add: what is named or sent is shown, and on a yes becomes an entry."""

from __future__ import annotations

import asyncio
import io
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image, PngImagePlugin

from bot.config import Drop, Imports
from bot.importing import Updated
from bot.orders import CatalogEntry
from engine import BUILTIN_ADAPTERS, builtin_adapter, builtin_samples, inspect_adapter
from tests.bot.importing.conftest import adapter_bytes, picture_bytes
from tests.bot.importing.servers import Cdn, FakeCivitai, FakeHub, running
from tests.bot.worlds import World, buttons, items, texts, world
from tests.fakes import until, who

INK = builtin_adapter("ink").read_bytes()
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
    """What was added, as alice sees it."""
    found = await w.bot.orders.adapters(who(w.alice.id, guild_id=w.channel.guild.id), limit=100)
    return [entry for entry in found if entry.owner_id is not None]


def blobs(w: World) -> int:
    return len(list((w.data / "adapters").rglob("*.safetensors")))


def samples(w: World) -> int:
    """How many pictures there are of what was added."""
    shipped = sum(len(builtin_samples(name)) for name in BUILTIN_ADAPTERS)
    return len(list((w.data / "previews").iterdir())) - shipped


def menu(message: Any) -> Any:
    return next(item for item in items(message) if hasattr(item, "options"))


async def test_a_civitai_page_is_shown_first_and_added_on_a_yes(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE, name="Tusche")
        assert shown.response.ephemeral
        said = texts(shown.response.message)
        for words in (
            "`Ink` `v2` by `brushmaker`", "where: Civitai", "made for: `SD 1.5`", "size: 0.2 MB",
            "trigger words: `ink style`, `brush`", "licence: Credit the maker. Pictures may be sold.",
            "pickle passed, virus passed", "called here: `Tusche`", "seen by: only you",
            "usual base model here, which is built-in", "1 sample picture is not shown",
        ):  # fmt: skip
            assert words in said, words
        assert (await entries(w), blobs(w)) == ([], 3)
        done = await w.alice.click(shown.response.message, label="Add")
        assert "Added `Tusche`, seen by only you." in texts(done.response.message)
        (entry,) = await entries(w)
        assert (entry.name, entry.owner_id, entry.credit) == ("Tusche", w.alice.id, "brushmaker")
        assert (entry.chosen, entry.tags) == (("ink style", "brush"), ("ink", "style"))
        assert entry.license.startswith("Credit the maker.")
        assert blobs(w) == 4
        assert samples(w) == 2
        assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "source",
    [
        "12345@67890",
        "https://civitai.red/models/12345",
        "urn:air:sd15:lora:civitai:12345@67890",
        "{SHA256}",
        "maker/ink",
    ],
)
async def test_one_box_takes_every_kind_of_source(tmp_path: Path, source: str) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=source.format(**out.civitai.hashes))
        await w.alice.click(shown.response.message, label="Add")
        assert [entry.info.family for entry in await entries(w)] == ["SD 1.5"]


async def test_a_card_outlives_a_restart(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        await w.restart()
        await w.alice.click(shown.response.message, label="Add")
        assert len(await entries(w)) == 1


async def test_a_no_adds_nothing_and_is_the_last_word(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        yes = buttons(shown.response.message)["Add"]
        done = await w.alice.click(shown.response.message, label="Cancel")
        assert texts(done.response.message).strip() == "Not added."
        from bot.orders import TooLate

        with pytest.raises(TooLate):
            await w.bot.intake.answer(who(w.alice.id, guild_id=w.channel.guild.id), yes.rpartition(":")[2])
        assert await entries(w) == []


async def test_who_sees_it_can_be_chosen_on_the_card(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        chosen = await w.alice.select(shown.response.message, ["guild"])
        assert "seen by: everyone in this server" in texts(chosen.response.message)
        assert [option.value for option in menu(chosen.response.message).options if option.default] == ["guild"]
        await w.alice.click(chosen.response.message, label="Add")
        (entry,) = await entries(w)
        assert (entry.visibility, entry.guild_id) == ("guild", w.channel.guild.id)
        seen = await w.bot.orders.adapters(who(w.bob.id, guild_id=w.channel.guild.id), entry.name)
        assert entry.id in [one.id for one in seen]


async def test_a_source_that_is_busy_can_be_asked_again_from_the_card(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        out.civitai.refuse["/api/download/"] = [(429, {}, {"Retry-After": "90"})]
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        failed = await w.alice.click(shown.response.message, label="Add")
        assert "come back in 90 seconds" in texts(failed.response.message)
        assert blobs(w) == 3
        await w.alice.click(failed.response.message, label="Add")
        assert len(await entries(w)) == 1


async def test_what_is_refused_for_good_has_no_button(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        out.civitai.refuse["/api/download/"] = [(404, {}, {})]
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        failed = await w.alice.click(shown.response.message, label="Add")
        assert "Civitai has nothing there" in texts(failed.response.message)
        assert buttons(failed.response.message) == {}
        assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "what is this"}, "none of the forms I read"),
        ({"source": "https://169.254.169.254/a.safetensors"}, "not on the public internet"),
        ({"source": "a/b", "file": ("a.safetensors", b"x")}, "one of the two"),
        ({"file": ("a.safetensors", b"\x80\x02cos\nsystem\n" * 10)}, "pickle"),
        ({"file": ("a.safetensors", INK[:-10])}, "is damaged"),
        ({"file": ("a.png", picture_bytes())}, "does not say how it was made"),
        ({"file": ("a.safetensors", INK), "name": "a:b"}, "cannot be a name"),
        ({"large": True}, "no page for large files"),
    ],
)
async def test_what_cannot_be_added_is_said_in_private(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    async with world(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora add", **options)
        answer = shown.followups[0] if shown.followups else shown.response
        assert words in texts(getattr(answer, "message", answer))
        assert (await entries(w), blobs(w)) == ([], 3)
        assert list((tmp_path / "incoming").iterdir()) == []


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def dropping(data: Path) -> AsyncIterator[World]:
    """A world with a drop page, the real server."""
    port = free_port()
    async with world(data, drop=Drop(url=f"http://127.0.0.1:{port}", port=port)) as w:
        yield w


async def dropped(shown: Any) -> str:
    """What the page says to an adapter that is sent by the link of this answer."""
    link = next(item.url for item in items(shown.response.message) if getattr(item, "url", None))
    async with (
        aiohttp.ClientSession() as session,
        session.put(link, params={"name": "x.safetensors"}, data=adapter_bytes()) as answer,
    ):
        return str((await answer.json())["sentence"])


async def test_a_large_file_comes_by_the_page_and_is_added_on_a_yes(tmp_path: Path) -> None:
    """Called and seen as the command said."""
    async with dropping(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora add", large=True, name="Tusche", visibility="guild")
        early = await w.alice.click(shown.response.message, label="It is sent")
        assert "Nothing has come by this link yet" in texts(early.response.message)
        assert "SD 1.5" in await dropped(shown)
        assert (await entries(w), blobs(w)) == ([], 3)
        card = await w.alice.click(shown.response.message, label="It is sent")
        said = texts(card.response.message)
        for words in ("made for: `SD 1.5`", "called here: `Tusche`", "seen by: everyone in this server"):
            assert words in said, words
        done = await w.alice.click(card.response.message, label="Add")
        assert "Added `Tusche`, seen by everyone in this server." in texts(done.response.message)
        (entry,) = await entries(w)
        assert (entry.name, entry.visibility, entry.owner_id) == ("Tusche", "guild", w.alice.id)
        assert list((tmp_path / "incoming").iterdir()) == []


async def test_a_large_file_is_gone_after_a_no(tmp_path: Path) -> None:
    async with dropping(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora add", large=True)
        await dropped(shown)
        card = await w.alice.click(shown.response.message, label="It is sent")
        done = await w.alice.click(card.response.message, label="Cancel")
        assert texts(done.response.message).strip() == "Not added."
        assert (await entries(w), list((tmp_path / "incoming").iterdir())) == ([], [])


async def test_an_upload_says_what_it_is_and_shares_the_file_that_is_here(tmp_path: Path) -> None:
    """The built-in adapter's own bytes: one file, two entries."""
    async with world(tmp_path) as w:
        shown = await w.alice.slash(w.channel, "lora add", file=("ink.safetensors", INK))
        said = texts(shown.response.message)
        for words in (
            "where: a file that was sent",
            "made for: `built-in`",
            "layers: ",
            "already, as `ink`",
            "`ink-2`",
        ):
            assert words in said, words
        done = await w.alice.click(shown.response.message, label="Add")
        assert "The same file is here as `ink` too" in texts(done.response.message)
        (entry,) = await entries(w)
        assert (entry.name, entry.info.sha256) == ("ink-2", inspect_adapter(builtin_adapter("ink")).sha256)
        assert blobs(w) == 3
        again = await w.alice.slash(w.channel, "lora add", file=("x.safetensors", INK))
        done = await w.alice.click(again.response.message, label="Add")
        assert "This is here already, as `ink-2`" in texts(done.response.message)
        assert len(await entries(w)) == 1


async def test_without_an_option_a_form_asks_for_a_text_or_a_file(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        form = await w.alice.slash(w.channel, "lora add", name="mine")
        shown = await w.alice.submit_modal(form, {"file": ("a.safetensors", adapter_bytes(seed=3))})
        await w.alice.click(shown.response.message, label="Add")
        form = await w.alice.slash(w.channel, "lora add")
        shown = await w.alice.submit_modal(form, {"source": "maker/ink"})
        await w.alice.click(shown.response.message, label="Add")
        assert sorted(entry.name for entry in await entries(w)) == ["ink-2", "mine"]
        empty = await w.alice.submit_modal(await w.alice.slash(w.channel, "lora add"), {})
        assert "one of the two" in empty.response.content


async def test_a_picture_names_adapters_which_can_be_looked_up(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        mine = inspect_adapter(builtin_adapter("neon")).tensor_sha256[:12]
        said = (
            "a cat <lora:brush:1> <lora:glow:1> <lora:lost:1>\nSteps: 9, Seed: 1, RNG: CPU, "
            f'Lora hashes: "brush: {out.civitai.hashes["AutoV3"].lower()}, glow: {mine}, lost: nothing"'
        )
        info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
        info.add_text("parameters", said)
        Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
        shown = await w.alice.slash(w.channel, "lora add", file=("a.png", buffer.getvalue()), visibility="guild")
        text = texts(shown.response.message)
        assert "names 3 adapters" in text
        assert "`glow`: here as `neon`" in text
        assert "`lost`: not here" in text
        options = menu(shown.response.message).options
        assert [option.label for option in options] == ["brush"]
        found = await w.alice.select(shown.response.message, [options[0].value])
        card = (found.followups[0] if found.followups else found.response).message
        assert "`Ink` `v2`" in texts(card)
        await w.alice.click(card, label="Add")
        assert [entry.visibility for entry in await entries(w)] == ["guild"]


async def test_an_import_that_a_restart_cut_short_says_so(tmp_path: Path) -> None:
    """Its Stop button is all that is left of it."""
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        card = w.env.backend.get_message(w.channel.id, shown.response.message.id)
        number = buttons(shown.response.message)["Add"].rpartition(":")[2]
        row = card.components[0]["components"][-1]["components"]
        row[0]["custom_id"] = f"loom:add:stop:{number}"
        await w.restart()
        done = await w.alice.click(shown.response.message, custom_id=f"loom:add:stop:{number}")
        assert "was interrupted" in texts(done.response.message)


async def test_what_a_source_says_has_no_power_on_a_card(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        evil = "@everyone `[x](https://evil.example) **b** <@1>"
        out.civitai.model |= {"name": evil, "description": f"<p>{evil}</p>", "creator": {"username": evil}}
        out.civitai.version |= {"name": evil, "trainedWords": [evil] * 300}
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        said = texts(shown.response.message)
        assert len(said) < 4000
        outside_code = "".join(said.split("`")[::2])
        assert not [words for words in ("@everyone", "](https", "**b**", "<@1>") if words in outside_code]


async def test_its_owner_reads_of_an_update_where_the_adapter_is_shown(tmp_path: Path) -> None:
    async with outside() as out, world(tmp_path, out.imports) as w:
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE, visibility="guild")
        await w.alice.click(shown.response.message, label="Add")
        (entry,) = await entries(w)
        newer = Updated("v3", "https://civitai.com/models/12345?modelVersionId=70000")
        await w.bot.intake._store.origins.note(entry.id, newer)
        told = {}
        for actor in (w.alice, w.bob):
            card = await actor.slash(w.channel, "lora info", adapter=entry.short_id)
            told[actor.id] = texts((card.followups[0] if card.followups else card.response).message)
        assert "from: Civitai by `brushmaker`" in told[w.bob.id]
        assert "There is an update: `v3`. `/lora add source:" in told[w.alice.id]
        assert "Its maker has a newer version: `v3`." in told[w.bob.id]


class SlowCdn(Cdn):
    """Sends the file in pieces, with time to look at the card between them; waits before the last until told."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.go_on = asyncio.Event()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["name"] != "ink.safetensors":
            return await super()._file(request)
        body = self.files["ink.safetensors"]
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        for at in range(0, len(body) - 50_000, 50_000):
            await response.write(body[at : at + 50_000])
            await asyncio.sleep(0.05)
        await self.go_on.wait()
        await response.write(body[at + 50_000 :])
        return response


def shown_on(w: World, message: Any) -> str:
    """What the card says now."""
    return str(w.env.backend.get_message(w.channel.id, message.id).components)


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_card_says_how_far_it_is_and_can_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    monkeypatch.setattr("bot.views.adding.EVERY", 0)  # in SimCord no time passes by itself
    monkeypatch.setattr("bot.importing.arrival.BLOCK", 40_000)
    monkeypatch.setattr(f"{__name__}.Cdn", SlowCdn)
    async with outside() as out, world(tmp_path, out.imports) as w:
        assert isinstance(out.cdn, SlowCdn)
        shown = await w.alice.slash(w.channel, "lora add", source=PAGE)
        card = shown.response.message
        adding = asyncio.create_task(w.alice.click(card, label="Add"))
        await until(lambda: bool(re.search(r"Fetching `Ink`: [1-9]\d* % of 0.2 MB", shown_on(w, card))))
        if stopped:
            number = re.findall(r"loom:add:stop:([\w-]{22})", shown_on(w, card))[0]
            assert w.bot.intake.stop(who(w.alice.id, guild_id=w.channel.guild.id), number)
        out.cdn.go_on.set()
        done = await adding
        words = "Stopped. Nothing of it was kept." if stopped else "Added `ink-2`"
        assert words in texts(done.response.message)
        assert (len(await entries(w)), blobs(w)) == ((0, 3) if stopped else (1, 4))
