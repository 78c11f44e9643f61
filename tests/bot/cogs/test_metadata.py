"""/metadata, "Read metadata", and the button that makes the picture again."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from bot.views.metadata import FILE
from engine import AdapterUse, EngineConfig, builtin_adapter, infotext_exif, inspect_adapter
from tests.bot.worlds import World, buttons, texts, world
from tests.fakes import adapter_file, checkpoint

WEBUI = (
    "a red flower <lora:{name}:0.5> <lora:lost:0.7>\nNegative prompt: fog\n"
    "Steps: 25, Sampler: Euler a, Schedule type: Automatic, CFG scale: 6, Seed: 42, Size: 128x192, Model: dreamshaper, "
    'RNG: CPU, Lora hashes: "{name}: {digest}, lost: feedfeedfeed", Version: v1.10.1'
)


def digest(adapter: str = "ink") -> str:
    return inspect_adapter(builtin_adapter(adapter)).tensor_sha256[:12]


def picture(text: str, *, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(
        buffer, kind, **({"pnginfo": info} if kind == "PNG" else {"exif": infotext_exif(text)})
    )
    return buffer.getvalue()


async def asked(w: World, data: bytes, name: str = "a.png") -> Any:
    """alice's answer to /metadata."""
    return await w.alice.slash(w.channel, "metadata", image=(name, data))


async def test_the_card_tells_words_settings_adapters_and_what_is_missing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await asked(w, picture(WEBUI.format(name="renamed", digest=digest())))
        assert shown.response.ephemeral
        said = texts(shown.response.message)
    for words in (
        "Made with WebUI", "a red flower", "without `fog`", "seed 42 · 128×192 · 25 steps · Euler a · cfg 6",
        "`renamed` 0.5: here as `ink`, the same file", "`lost`: not here, hash `feedfeedfeed`", "dreamshaper",
    ):  # fmt: skip
        assert words in said, words
    assert buttons(shown.response.message) == {"Make again": "loom:replay"}


@pytest.mark.parametrize("restarted", [False, True])
async def test_make_again_orders_what_is_here_also_after_a_restart(tmp_path: Path, restarted: bool) -> None:
    async with world(tmp_path) as w:
        shown = await asked(w, picture(WEBUI.format(name="renamed", digest=digest()), kind="WEBP"), "a.webp")
        if restarted:
            await w.restart()
        result = await w.alice.click(shown.response.message, label="Make again")
        assert "Queued" in texts(result.response.message)
        await w.dispatched()
        request = w.fleet.attempts[0].request
    assert (request.prompt, request.negative, request.seed) == ("a red flower", "fog", 42)
    assert (request.width, request.height, request.steps, request.sampler, request.cfg) == (
        128,
        192,
        25,
        "Euler a",
        6.0,
    )
    assert [(use.name, use.weight) for use in request.adapters] == [("ink", 0.5)]
    assert request.model == "builtin"  # what the picture names is not here, so what is usual here draws


async def test_our_own_picture_is_made_again_from_its_message(tmp_path: Path) -> None:
    """What the bot posted, read with the menu of the message by another member."""
    async with world(tmp_path) as w:
        text = (
            "a hill <lora:ink:0.5>\nSteps: 9, Sampler: Heun, Seed: 3, Size: 128x128, Model: builtin, RNG: CPU, "
            f'Lora hashes: "ink: {digest()}", Version: Loraloom 0.1.0'
        )
        posted = await w.alice.send(w.channel, "look", attachments=[("a.txt", b"no picture"), ("a.png", picture(text))])
        shown = await w.bob.context_menu(w.channel, "Read metadata", posted)
        assert shown.response.ephemeral
        await w.bob.click(shown.response.message, label="Make again")
        await w.dispatched()
        attempt = w.fleet.attempts[0]
        assert attempt.request.adapters == (AdapterUse("ink", 0.5, sha256=attempt.request.adapters[0].sha256),)
        assert (attempt.request.sampler, attempt.request.seed, attempt.request.model) == ("Heun", 3, "builtin")
        assert (await w.job(attempt.job)).order.who.member_id == w.bob.id


async def test_the_menu_reads_an_infotext_that_somebody_wrote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        posted = await w.alice.send(w.channel, WEBUI.format(name="ink", digest=digest()))
        shown = await w.alice.context_menu(w.channel, "Read metadata", posted)
        assert "a red flower" in texts(shown.response.message)


async def test_a_text_is_pasted_and_made_again(tmp_path: Path) -> None:
    """By a form that /metadata opens where no file is sent; what says nothing is told so in private."""
    async with world(tmp_path) as w:
        form = await w.alice.slash(w.channel, "metadata")
        shown = await w.alice.submit_modal(form, {"text": WEBUI.format(name="renamed", digest=digest())})
        assert shown.response.ephemeral
        for words in ("Made with WebUI", "`renamed` 0.5: here as `ink`, the same file", "`lost`: not here"):
            assert words in texts(shown.response.message), words
        await w.alice.click(shown.response.message, label="Make again")
        await w.dispatched()
        request = w.fleet.attempts[0].request
        assert (request.prompt, request.negative, request.seed) == ("a red flower", "fog", 42)
        form = await w.alice.slash(w.channel, "metadata")
        refused = await w.alice.submit_modal(form, {"text": "a red flower"})
        assert "does not say how a picture was made" in texts(refused.response.message)
        assert refused.response.ephemeral


async def test_the_first_picture_that_says_something_is_taken(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        plain = io.BytesIO()
        Image.new("RGB", (8, 8)).save(plain, "PNG")
        files = [
            ("1.png", b"\x89PNG damaged"),
            ("2.png", plain.getvalue()),
            ("3.png", picture("x\nSteps: 9, Seed: 1, RNG: CPU")),
        ]
        posted = await w.alice.send(w.channel, "", attachments=files)
        shown = await w.alice.context_menu(w.channel, "Read metadata", posted)
        assert "seed 1" in texts(shown.response.message)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"content": "hello"}, "does not say how a picture was made"),
        ({"content": "", "attachments": [("a.txt", b"x")]}, "holds no picture's file"),
        ({"content": "", "attachments": [("a.png", b"not a picture")]}, "PNG, JPEG and WebP are taken"),
    ],
)
async def test_a_message_that_says_nothing_is_told_so_in_private(tmp_path: Path, sent: Any, words: str) -> None:
    async with world(tmp_path) as w:
        posted = await w.alice.send(w.channel, **sent)
        shown = await w.alice.context_menu(w.channel, "Read metadata", posted)
        assert words in texts(shown.response.message)
        assert shown.response.ephemeral


async def test_a_file_that_is_too_large_is_not_fetched(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await asked(w, b"\x89PNG" + bytes(11 << 20))
        assert "10 MB is the most" in texts(shown.response.message)


async def test_a_file_of_the_same_name_and_other_content_is_used_and_told(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await asked(w, picture(WEBUI.format(name="neon", digest="0123456789ab")))
        said = texts(shown.response.message)
        assert "here by its name, `neon`" in said
        assert "another file here" in said


async def test_other_peoples_words_stay_harmless_and_short_enough(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tags = " ".join(f"<lora:{'@everyone`' * 8}{number}:1>" for number in range(16))
        text = (
            f"{'`@everyone ' * 500}{tags}\nNegative prompt: {'`[x](https://evil)' * 300}\n"
            f"Steps: 9, Sampler: {'@here `' * 100}, Seed: 1, Model: {'`' * 900}"
        )
        shown = await asked(w, picture(text))
        said = texts(shown.response.message)
        assert len(said) <= 4000
        outside = re.sub(r"```.*?```|`[^`\n]*`", "", said, flags=re.DOTALL)
        assert not [words for words in ("@everyone", "@here", "://") if words in outside]


async def test_a_card_whose_file_is_gone_says_what_to_do(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await asked(w, picture(WEBUI.format(name="ink", digest=digest())))
        assert [file.filename for file in shown.response.message.attachments] == [FILE]
        w.env.backend.get_message(w.channel.id, shown.response.message.id).attachments.clear()
        result = await w.alice.click(shown.response.message, label="Make again")
        assert "read the picture's metadata once more" in result.response.content


async def test_what_fits_is_told_by_the_model_in_force(tmp_path: Path) -> None:
    engine = EngineConfig(models={"xl": str(checkpoint(tmp_path / "xl.safetensors"))})
    async with world(tmp_path / "data", engine=engine) as w:
        path = adapter_file(tmp_path / "wide.safetensors", width=2048)
        await w.bot.orders._store.catalog.add(path, "wide", visibility="everyone")
        await w.anna.slash(w.channel, "model use", name="xl")
        shown = await asked(w, picture("x <lora:wide:1> <lora:ink:1>\nSteps: 9, Sampler: Heun, Seed: 3, RNG: CPU"))
        assert "ink was made for built-in and is left out: this base model is SDXL." in texts(shown.response.message)
        await w.alice.click(shown.response.message, label="Make again")
        await w.dispatched()
        request = w.fleet.attempts[0].request
        assert (request.model, [use.name for use in request.adapters]) == ("xl", ["wide"])


async def test_a_configured_vae_draws_again(tmp_path: Path) -> None:
    async with world(tmp_path, engine=EngineConfig(vaes={"soft": "owner/soft"})) as w:
        shown = await asked(w, picture("x\nSteps: 9, Sampler: Heun, Seed: 3, RNG: CPU, VAE: Soft.safetensors"))
        assert "`soft`" in texts(shown.response.message)
        assert "not here" not in texts(shown.response.message)
        await w.alice.click(shown.response.message, label="Make again")
        await w.dispatched()
        assert w.fleet.attempts[0].request.vae == "soft"


async def test_the_menu_is_told_to_discord(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        payloads = [command.to_dict(w.bot.tree) for command in w.bot.tree.get_commands(type=None)]
    assert [payload["type"] for payload in payloads if payload["name"] == "Read metadata"] == [3]
