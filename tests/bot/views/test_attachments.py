"""Files that members send: read from Discord, or from the stand-in for it, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import create_bot
from bot.config import BotConfig, Data
from bot.importing import AddressRefused, Interrupted, SourceMissing
from bot.views.attachments import Attachments
from tests.bot.importing.servers import Call, raw_server
from tests.fakes import FakeFleet


def attachments(data: Path, api: str = "") -> Attachments:
    bot = create_bot(BotConfig(data=Data(folder=data)), FakeFleet())
    bot.config = BotConfig(data=Data(folder=data), discord_api=api)
    return Attachments(bot)


async def read(found: Attachments, address: str) -> bytes:
    return b"".join([piece async for piece in found.pieces(address)])


async def test_a_file_comes_in_pieces_from_the_stand_in(tmp_path: Path) -> None:
    async def gives(call: Call) -> None:
        await call.answer(b"x" * 300_000)

    async with raw_server(gives) as server:
        found = attachments(tmp_path, f"{server.url}/api/v10")
        sizes = [len(piece) async for piece in found.pieces(f"{server.url}/attachments/1/2/a.safetensors")]
    assert sum(sizes) == 300_000
    assert len(sizes) > 1


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/a.safetensors",
        "https://cdn.discordapp.com.example.com/a",
        "http://cdn.discordapp.com/a",
        "https://user@cdn.discordapp.com/a",
        "https://127.0.0.1/a",
        "file:///etc/passwd",
    ],
)
async def test_no_other_place_is_asked(tmp_path: Path, address: str) -> None:
    with pytest.raises(AddressRefused):
        await read(attachments(tmp_path), address)


async def test_what_discord_does_not_keep_and_who_hangs_up_is_said(tmp_path: Path) -> None:
    async def answers(call: Call) -> None:
        if call.number == 0:
            await call.answer(status="404 Not Found")
        else:
            await call.breaks_off(b"x" * 1000, Content_Length="2000")

    async with raw_server(answers) as server:
        found = attachments(tmp_path, f"{server.url}/api/v10")
        with pytest.raises(SourceMissing, match="once more"):
            await read(found, f"{server.url}/a")
        with pytest.raises(Interrupted):
            await read(found, f"{server.url}/a")
