"""The real bot process on a loopback Discord: what only a wire can show."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from tests.faults.process import rows

from . import spec
from .process import BREAKING, BotProcess
from .server import Server
from .world import Interaction, Message, Request

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PROMPT = "a red flower <lora:ink:0.5>"
PUT = "PUT /applications/{application_id}/commands"
PNG = b"\x89PNG\r\n\x1a\n"
PATIENCE = 90.0  # seconds for one picture, on a machine that is busy with other things


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with Server() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BotProcess]:
    """One process for the tests that leave it running."""
    process = BotProcess(server, tmp_path_factory.mktemp("bot"))
    await process.start()
    yield process
    await process.end(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def lawful(server: Server) -> AsyncIterator[None]:
    """After every test: nothing that the bot sent, and nothing that the server answered, broke a rule of Discord's."""
    yield
    assert server.take_violations() == []


def drawn(message: Message) -> bool:
    """It shows finished pictures and no preview."""
    return bool(message.attachments) and all(a.data.startswith(PNG) for a in message.attachments)


def carries_png(request: Request) -> bool:
    return any(data.startswith(PNG) for _, data in request.files.values())


async def picture_for(server: Server, interaction: Interaction) -> Message:
    return await server.message_with(lambda m: m in interaction.messages and drawn(m), PATIENCE)


async def test_every_command_it_tells_discord_is_as_the_description_wants_it(bot: BotProcess, server: Server) -> None:
    (sync,) = server.sent(PUT)
    assert sync.status == 200
    assert {"imagine", "lora", "history", "queue"} <= {command["name"] for command in sync.json}
    for command in sync.json:
        assert spec.load().named("ApplicationCommandUpdateRequest", command) == []


async def test_it_asks_for_no_privileged_intent(bot: BotProcess, server: Server) -> None:
    assert server.gateway.session.intents & (1 << 1 | 1 << 8 | 1 << 15) == 0


async def test_an_order_is_acknowledged_in_time_and_ends_as_a_real_picture(bot: BotProcess, server: Server) -> None:
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, seed=7, steps=12))
    assert interaction.answered_after is not None
    assert interaction.answered_after < 3
    message = await picture_for(server, interaction)
    (attachment,) = message.attachments
    with Image.open(io.BytesIO(attachment.data)) as image:
        infotext = image.text["parameters"]  # type: ignore[attr-defined]
        image.load()
        assert (image.width, image.height) == (attachment.width, attachment.height)
    assert infotext.startswith(PROMPT)
    assert "Steps: 12" in infotext
    assert "Seed: 7" in infotext
    assert len(interaction.messages) == 1


async def test_the_queue_place_is_shown_before_the_picture_replaces_it(bot: BotProcess, server: Server) -> None:
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=30))
    message = await picture_for(server, interaction)
    first, last = message.versions[0], message.versions[-1]
    assert "place 1" in str(first["components"])
    assert first["attachments"] == []
    assert "place" not in str(last["components"])


async def test_progress_is_shown_but_not_more_often_than_every_two_seconds(bot: BotProcess, server: Server) -> None:
    interaction = await server.slash("imagine", prompt=PROMPT, steps=150)
    message = await picture_for(server, interaction)
    edits = [
        r.at for r in server.requests if interaction.token in r.path and r.method == "PATCH" and not carries_png(r)
    ]
    assert "of 150" in str(message.versions[1]["components"])
    assert edits
    assert min((later - earlier for earlier, later in pairwise(edits)), default=2.0) > 1.9
    assert "of 150" not in message.text


async def test_a_picture_whose_token_died_is_posted_in_the_channel_once_though_the_reply_was_lost(
    bot: BotProcess, server: Server
) -> None:
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=30))
    server.token_life = 0.0
    lost = server.next_answer("POST /channels/{channel_id}/messages", "lost")
    try:
        await server.message_with(lambda m: m.nonce and drawn(m), PATIENCE)
        await server.until(lambda: interaction.original and interaction.original.deleted, PATIENCE, "a tidied answer")
    finally:
        server.token_life = 900.0
    assert lost.times == 0
    assert len([m for m in server.messages if m.nonce and not m.deleted]) == 1


async def test_the_picture_is_shown_by_the_card_and_served_for_members(bot: BotProcess, server: Server) -> None:
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=4, count=2))
    message = await picture_for(server, interaction)
    shown = [item["media"]["attachment_id"] for c in message.parts if c["type"] == 12 for item in c["items"]]
    assert shown == [str(attachment.id) for attachment in message.attachments]
    assert len(shown) == 2


async def test_a_button_on_the_card_makes_another_picture(bot: BotProcess, server: Server) -> None:
    first = await picture_for(server, await server.slash("imagine", prompt=PROMPT, steps=4, seed=1))
    pressed = await server.acknowledged(await server.press(first, "Again"))
    again = await picture_for(server, pressed)
    assert again is not first
    assert again.attachments[0].data[:8] == PNG


async def test_an_adapter_name_is_completed(bot: BotProcess, server: Server) -> None:
    choices = await server.complete("imagine", "lora", "in", prompt="a house")
    assert any(choice["name"].startswith("ink") and choice["value"].startswith("#") for choice in choices)


async def test_an_order_that_it_missed_while_disconnected_is_replayed_and_served(
    bot: BotProcess, server: Server
) -> None:
    before = server.gateway.resumes, server.gateway.identifies
    running = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=40))
    assert not drawn(running.messages[0])
    server.gateway.drop()
    missed = await server.slash("imagine", prompt="a house", steps=4, user=server.bob)
    await server.acknowledged(missed)
    assert (server.gateway.resumes, server.gateway.identifies) == (before[0] + 1, before[1])
    assert "INTERACTION_CREATE" in server.gateway.session.replayed
    await picture_for(server, running)
    await picture_for(server, missed)


async def test_a_rate_limit_is_waited_out_and_the_picture_arrives_once(bot: BotProcess, server: Server) -> None:
    server.next_answer("* /webhooks/*", 429, retry_after=1.0, when=carries_png)
    interaction = await server.slash("imagine", prompt=PROMPT, steps=4)
    await picture_for(server, interaction)
    sent = [r for r in server.requests if carries_png(r) and interaction.token in r.path]
    assert [request.status for request in sent] == [429, 200]
    assert sent[1].at - sent[0].at >= 1.0
    assert [drawn(message) for message in interaction.messages] == [True]


async def test_a_reply_that_is_lost_leaves_the_picture_there_once(bot: BotProcess, server: Server) -> None:
    injected = server.next_answer("* /webhooks/*", "lost", when=carries_png)
    interaction = await server.slash("imagine", prompt=PROMPT, steps=4)
    await picture_for(server, interaction)
    assert injected.times == 0

    def settled() -> bool:
        return any(carries_png(r) and interaction.token in r.path and r.status == 200 for r in server.requests)

    await server.until(settled, PATIENCE, "a second try")
    assert [len(message.attachments) for message in interaction.messages] == [1]


async def test_a_reset_before_the_picture_is_taken_only_delays_it(bot: BotProcess, server: Server) -> None:
    injected = server.next_answer("* /webhooks/*", "reset", when=carries_png)
    interaction = await server.slash("imagine", prompt=PROMPT, steps=4)
    await picture_for(server, interaction)
    assert injected.times == 0
    assert [len(message.attachments) for message in interaction.messages] == [1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
async def test_a_job_of_a_killed_process_is_finished_once_by_the_next(
    server: Server, bot: BotProcess, tmp_path: Path
) -> None:
    await bot.end(signal.SIGKILL)
    process = BotProcess(server, tmp_path)
    await process.start()
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=60))
    await process.end(signal.SIGKILL)
    assert not drawn(interaction.messages[0])
    await process.start()
    message = await picture_for(server, interaction)
    assert [m for m in server.messages if m.attachments and m.interaction is interaction] == [message]
    await process.end()


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows start.py begins it anew")
async def test_a_graphics_card_that_breaks_costs_a_new_process_and_no_picture(server: Server, tmp_path: Path) -> None:
    """A sticky fault of CUDA at the fourth step: all is kept, the process begins anew, the picture comes once."""
    process = BotProcess(server, tmp_path, command=BREAKING)
    await process.start()
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=8))
    message = await picture_for(server, interaction)
    assert [m for m in server.messages if m.attachments and m.interaction is interaction] == [message]
    assert "the graphics card or its driver failed" in process.log
    assert "Starting anew" in process.log
    assert process.running
    await process.end()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could hear")
async def test_sigterm_ends_it_cleanly_with_a_goodbye_to_the_gateway(server: Server, tmp_path: Path) -> None:
    process = BotProcess(server, tmp_path)
    await process.start()
    assert await process.end(signal.SIGTERM) == 0
    await server.until(lambda: not server.gateway.sockets, 5, "a closed gateway")
    assert server.gateway.closes[-1] in (1000, 4000)  # discord.py's own two coroutines race for the code
    assert "Traceback" not in process.log


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process could hear")
async def test_sigterm_does_not_wait_for_an_engine_that_hangs(server: Server, tmp_path: Path) -> None:
    """What it was at is kept and not blamed; the next process draws it."""
    process = BotProcess(server, tmp_path, command=BREAKING)
    await process.start(BREAKS="hang")
    interaction = await server.acknowledged(await server.slash("imagine", prompt=PROMPT, steps=8))
    async with asyncio.timeout(PATIENCE):
        while "it hangs" not in process.log:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.05)
    began = time.monotonic()
    assert await process.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 15
    (row,) = rows(process.data)
    assert (row["state"], row["losses"]) == ("queued", 0)
    assert "left to the end of the process" in process.log
    again = BotProcess(server, tmp_path)
    await again.start()
    await picture_for(server, interaction)
    await again.end()
