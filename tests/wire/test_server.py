"""The loopback Discord itself: a discord.py client in this process meets every rule the wire tests rely on."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands

from .example_bot import Card, ExampleBot, png
from .server import Server
from .world import ATTACH_FILES, Interaction

PUT = "PUT /applications/{application_id}/commands"
FOLLOW_UP = "POST /webhooks/{webhook_id}/{webhook_token}"
EDIT = "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original"
POST = "POST /channels/{channel_id}/messages"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as running:
        yield running
    assert running.violations == []


@pytest.fixture
async def pointed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py in this process takes the loopback server for Discord."""
    monkeypatch.setattr(discord.http.Route, "BASE", server.api)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway.url))


@asynccontextmanager
async def started(server: Server) -> AsyncIterator[ExampleBot]:
    async with ExampleBot() as client:
        await client.login(server.token)
        running = asyncio.create_task(client.connect())
        await asyncio.wait_for(client.wait_until_ready(), 10)
        yield client
    await running


@pytest.fixture
async def bot(server: Server, pointed: None) -> AsyncIterator[ExampleBot]:
    async with started(server) as client:
        await client.tree.sync()
        yield client


def channel(bot: ExampleBot, server: Server) -> discord.TextChannel:
    found = bot.get_channel(server.channel.id)
    assert isinstance(found, discord.TextChannel)
    return found


async def failing(bot: ExampleBot, server: Server, interaction: Interaction) -> discord.HTTPException:
    for _ in range(200):
        if bot.errors:
            return bot.errors.pop()
        await asyncio.sleep(0.01)
    raise AssertionError(f"nothing failed; {interaction.answer}")


async def test_login_gives_the_bot_its_guild_and_channel(bot: ExampleBot, server: Server) -> None:
    assert bot.user is not None
    assert (bot.user.id, bot.guilds[0].name) == (server.bot.id, "atelier")
    assert channel(bot, server).name == "general"


async def test_synced_commands_keep_their_ids_when_overwritten(bot: ExampleBot, server: Server) -> None:
    before = {command.name: command.id for command in await bot.tree.fetch_commands()}
    assert {command.name: command.id for command in await bot.tree.sync()} == before
    assert before.keys() == {"pic", "note", "late"}


async def test_a_deferred_command_becomes_a_card_with_the_picture(bot: ExampleBot, server: Server) -> None:
    interaction = await server.acknowledged(await server.slash("pic", text="a flower", size=3))
    message = await server.message_with(lambda m: m.attachments)
    assert message is interaction.original
    assert (message.text, message.attachments[0].width, list(message.buttons)) == ("a flower", 3, ["Again", "Weights…"])
    assert [version["content"] for version in message.versions] == ["", "drawing", ""]
    async with aiohttp.ClientSession() as session, session.get(message.attachments[0].url) as answer:
        assert await answer.read() == png(3, 3)


async def test_the_first_follow_up_fills_the_thinking_message_and_keeps_it_ephemeral(
    bot: ExampleBot, server: Server
) -> None:
    interaction = await server.slash("note", text="hello", picture=("in.png", png()))
    await server.until(lambda: len(interaction.messages) == 2, 5, "two messages")
    first, second = interaction.messages
    assert first is interaction.original
    assert first.text == f"hello {len(png())} bytes"
    assert first.ephemeral
    assert not first.loading
    assert second.text == "second"


async def test_autocomplete_brings_choices(bot: ExampleBot, server: Server) -> None:
    assert await server.complete("note", "text", "hey") == [{"name": "hey!", "value": "hey"}]


async def test_a_button_edits_its_message_and_a_modal_comes_back(bot: ExampleBot, server: Server) -> None:
    await server.slash("pic", text="a flower")
    message = await server.message_with(lambda m: m.attachments)
    await server.acknowledged(await server.press(message, "Again"))
    assert message.text == "pressed"
    assert len(message.attachments) == 1
    opened = await server.acknowledged(await server.press(message, "Weights…"))
    sent = await server.acknowledged(await server.submit(opened, ink="0.7"))
    assert sent.messages[0].text == "ink is 0.7"


async def test_an_answer_after_the_window_is_10062(bot: ExampleBot, server: Server) -> None:
    server.ack_window = 0.05
    error = await failing(bot, server, await server.slash("late", seconds=0.1))
    assert (error.status, error.code) == (404, 10062)


async def test_a_second_answer_is_40060(bot: ExampleBot, server: Server) -> None:
    error = await failing(bot, server, await server.slash("late", twice=True))
    assert (error.status, error.code) == (400, 40060)


async def test_a_follow_up_needs_an_answer_before_it_and_a_living_token(bot: ExampleBot, server: Server) -> None:
    server.ack_window = 0.0
    interaction = await server.slash("late")
    await failing(bot, server, interaction)
    hook = discord.Webhook.from_state(
        {"id": server.bot.id, "type": 3, "token": interaction.token},
        state=bot._connection,
    )
    with pytest.raises(discord.NotFound) as early:
        await hook.send("early")
    server.ack_window, server.token_life = 3.0, 0.0
    answered = await server.acknowledged(await server.slash("late"))
    hook.token = answered.token
    with pytest.raises(discord.HTTPException) as expired:
        await hook.send("expired")
    assert (early.value.code, expired.value.code) == (10015, 50027)


async def test_what_was_missed_while_away_is_replayed_on_resume(bot: ExampleBot, server: Server) -> None:
    server.gateway.drop()
    interaction = await server.acknowledged(await server.slash("late"))
    assert interaction.messages[0].text == "here"
    assert (server.gateway.identifies, server.gateway.resumes) == (1, 1)
    assert server.gateway.session.replayed == ["INTERACTION_CREATE"]
    await asyncio.sleep(0)
    assert bot.resumed == 1


@pytest.mark.parametrize("how", ["op 7", "op 9 resumable", "close 4000"])
async def test_a_polite_interruption_is_resumed(bot: ExampleBot, server: Server, how: str) -> None:
    if how == "op 7":
        await server.gateway.reconnect()
    elif how == "close 4000":
        await server.gateway.close(4000)
    else:
        await server.gateway.invalidate(resumable=True)
    await server.until(lambda: server.gateway.resumes == 1, 5, "a RESUME")
    assert (await server.acknowledged(await server.slash("late"))).answer == 4


async def test_an_invalidated_session_identifies_anew(bot: ExampleBot, server: Server) -> None:
    await server.gateway.invalidate()
    await server.until(lambda: server.gateway.identifies == 2, 8, "a second IDENTIFY")
    assert server.gateway.resumes == 0


async def test_heartbeats_are_answered_and_plain_text_frames_will_do(pointed: None, server: Server) -> None:
    server.gateway.compress, server.gateway.heartbeat_interval = False, 0.2
    async with started(server):
        await asyncio.sleep(0.7)
        assert server.gateway.heartbeats >= 3
        assert server.gateway.closes == []
    assert len(server.gateway.closes) == 1


async def test_a_wrong_token_and_a_privileged_intent_are_refused(pointed: None, server: Server) -> None:
    async with ExampleBot() as client:
        with pytest.raises(discord.LoginFailure):
            await client.start("another-token")
    async with discord.Client(intents=discord.Intents.all()) as client:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await client.start(server.token)
    assert server.take_violations() == ["gateway: closed with 4014 disallowed intents"]


async def test_a_429_is_waited_out_and_the_message_arrives_once(bot: ExampleBot, server: Server) -> None:
    server.next_answer(POST, 429, retry_after=0.3)
    began = time.monotonic()
    await channel(bot, server).send("once")
    assert time.monotonic() - began >= 0.3
    assert [request.status for request in server.sent(POST)] == [429, 200]
    assert [message.text for message in server.messages] == ["once"]


async def test_a_bucket_that_is_used_up_says_so_before_it_refuses(bot: ExampleBot, server: Server) -> None:
    server.http.limits[POST] = (2, 0.4)
    began = time.monotonic()
    for number in range(3):
        await channel(bot, server).send(str(number))
    assert time.monotonic() - began >= 0.4
    assert [request.status for request in server.sent(POST)] == [200, 200, 200]


async def test_a_500_is_tried_again(bot: ExampleBot, server: Server) -> None:
    server.next_answer(POST, 500)
    await channel(bot, server).send("once")
    assert [request.status for request in server.sent(POST)] == [500, 200]


async def test_a_nonce_makes_a_repeated_post_harmless(bot: ExampleBot, server: Server) -> None:
    server.next_answer(POST, "lost")
    with pytest.raises((aiohttp.ClientError, OSError)):
        await channel(bot, server).send("once", nonce="job1")
    again = await channel(bot, server).send("once", nonce="job1")
    assert [(message.id, message.text) for message in server.messages] == [(again.id, "once")]


async def test_a_reset_request_has_no_effect(bot: ExampleBot, server: Server) -> None:
    server.next_answer(POST, "reset")
    with pytest.raises((aiohttp.ClientError, OSError)):
        await channel(bot, server).send("never")
    assert server.messages == []


BAD_COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"name": "Upper", "description": "x"}, "name"),
    ({"name": "empty", "description": ""}, "description"),
    ({"name": "long", "description": "x" * 101}, "description"),
    ({"name": "two words", "description": "x"}, "name"),
    ({"name": "n" * 33, "description": "x"}, "name"),
    ({"name": "order", "description": "x", "options": [
        {"type": 3, "name": "a", "description": "x"}, {"type": 3, "name": "b", "description": "x", "required": True},
    ]}, "options"),
    ({"name": "twins", "description": "x", "options": [{"type": 3, "name": "a", "description": "x"}] * 2}, "options"),
    ({"name": "locale", "description": "x", "name_localizations": {"xx": "a"}}, "name_localizations"),
    ({"name": "many", "description": "x", "options": [
        {"type": 3, "name": f"a{n}", "description": "x"} for n in range(26)
    ]}, "options"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "field"), BAD_COMMANDS, ids=[command["name"][:8] for command, _ in BAD_COMMANDS])
async def test_a_definition_that_breaks_a_rule_is_50035_with_its_field(
    bot: ExampleBot, server: Server, command: dict[str, Any], field: str
) -> None:
    with pytest.raises(discord.HTTPException) as error:
        await bot.http.bulk_upsert_global_commands(server.bot.id, [command])
    assert error.value.code == 50035
    assert field in server.requests[-1].answer["errors"]["0"]
    assert len(server.take_violations()) == 1


async def test_a_failed_sync_names_the_command_and_leaves_the_old_ones(bot: ExampleBot, server: Server) -> None:
    @app_commands.command(name="pad", description="x")
    async def pad(interaction: discord.Interaction) -> None: ...

    pad.description = "x" * 101
    bot.tree.add_command(pad)
    with pytest.raises(app_commands.CommandSyncFailure, match="pad"):
        await bot.tree.sync()
    assert (1, "pad") not in server.commands[None]
    assert server.take_violations()


async def test_messages_over_a_limit_are_50035(bot: ExampleBot, server: Server) -> None:
    two = discord.ui.View(timeout=None)
    two.add_item(discord.ui.Button(label="a", custom_id="same"))
    two.add_item(discord.ui.Button(label="b", custom_id="same"))
    bad: list[dict[str, Any]] = [{"content": "x" * 2001}, {"view": two}, {"view": Card("its picture is missing")}]
    for how in bad:
        with pytest.raises(discord.HTTPException) as error:
            await channel(bot, server).send(**how)
        assert error.value.code == 50035
    assert len(server.take_violations()) == 3
    assert server.messages == []


async def test_an_empty_message_a_huge_file_and_a_missing_permission_have_their_codes(
    bot: ExampleBot, server: Server
) -> None:
    codes: list[int] = []
    bad: list[dict[str, Any]] = [{}, {"file": discord.File(io.BytesIO(bytes(10 * 1024 * 1024 + 1)), "big.bin")}]
    for how in bad:
        with pytest.raises(discord.HTTPException) as error:
            await channel(bot, server).send(**how)
        codes.append(error.value.code)
    server.bot.permissions &= ~ATTACH_FILES
    with pytest.raises(discord.Forbidden) as forbidden:
        await channel(bot, server).send(file=discord.File(io.BytesIO(png()), "grey.png"))
    assert [*codes, forbidden.value.code] == [50006, 40005, 50013]


async def test_a_message_can_be_edited_deleted_and_is_then_gone(bot: ExampleBot, server: Server) -> None:
    message = await channel(bot, server).send("a", file=discord.File(io.BytesIO(png()), "grey.png"))
    await message.edit(content="b", attachments=[])
    assert (server.messages[0].text, server.messages[0].attachments) == ("b", [])
    await message.delete()
    with pytest.raises(discord.NotFound) as error:
        await message.edit(content="c")
    assert error.value.code == 10008


async def test_an_unknown_route_and_a_body_against_the_description_are_noticed(bot: ExampleBot, server: Server) -> None:
    with pytest.raises(discord.NotFound):
        await bot.http.request(discord.http.Route("GET", "/voice/regions"))
    with pytest.raises(discord.HTTPException):
        await bot.http.request(discord.http.Route("POST", f"/channels/{server.channel.id}/messages"), json={"tts": 3})
    assert [text.split(":")[0] for text in server.take_violations()] == [
        "GET /voice/regions",
        f"POST /channels/{server.channel.id}/messages",
    ]
