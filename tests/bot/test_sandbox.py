"""The sandbox: a page on this machine that shows what the bot does, while it does it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from bot.config import BotConfig, Data
from bot.sandbox import Sandbox, open_sandbox
from engine import builtin_adapter
from tests.fakes import FakeFleet, until


@dataclass
class Visitor:
    """What the page's own script does: it reads the state again and again, and sends actions."""

    session: aiohttp.ClientSession
    headers: dict[str, str]
    state: dict[str, Any]
    sequence: int = 0

    async def look(self) -> str:
        async with self.session.get("/api/state", headers=self.headers) as answer:
            self.state = await answer.json()
        return str(self.state["messages"])

    async def sees(self, words: str) -> bool:
        for _ in range(100):
            if words in await self.look():
                return True
            await asyncio.sleep(0.05)
        return False

    async def act(self, kind: str, **body: Any) -> dict[str, Any]:
        self.sequence += 1
        envelope = {
            "protocol_version": 3,
            "sequence": self.sequence,
            "request_id": f"test-{self.sequence}",
            "generation": self.state["context"]["generation"],
            "bot_generation": self.state["botGeneration"],
            "published_revision": self.state["publishedRevision"],
            "kind": kind,
        }
        async with self.session.post("/api/action", json={**envelope, **body}, headers=self.headers) as answer:
            result: dict[str, Any] = await answer.json()
            return result

    async def upload(self, name: str, data: bytes) -> dict[str, Any]:
        """/lora add with a file, as the page sends it."""
        async with self.session.get("/api/commands", headers=self.headers) as answer:
            found = (await answer.json())["entries"]
        entry = next(entry for entry in found if entry["path"] == ["lora", "add"])
        self.sequence += 1
        body = {
            "protocol_version": 3,
            "sequence": self.sequence,
            "request_id": f"test-{self.sequence}",
            "generation": self.state["context"]["generation"],
            "bot_generation": self.state["botGeneration"],
            "published_revision": self.state["publishedRevision"],
            "kind": "run_command",
            "command_id": entry["commandId"],
            "path": ["lora", "add"],
            "options": {"file": {"upload": 0}},
            "schema_fingerprint": entry["schemaFingerprint"],
        }
        form = aiohttp.FormData()
        form.add_field("payload", json.dumps(body), content_type="application/json")
        form.add_field("file:file", data, filename=name, content_type="application/octet-stream")
        async with self.session.post("/api/action", data=form, headers=self.headers) as answer:
            result: dict[str, Any] = await answer.json()
            return result

    async def imagine(self, prompt: str) -> dict[str, Any]:
        async with self.session.get("/api/commands", headers=self.headers) as answer:
            entries = (await answer.json())["entries"]
        entry = next(entry for entry in entries if entry["path"] == ["imagine"])
        return await self.act(
            "run_command",
            command_id=entry["commandId"],
            path=["imagine"],
            options={"prompt": prompt},
            schema_fingerprint=entry["schemaFingerprint"],
        )


@asynccontextmanager
async def visited(sandbox: Sandbox) -> AsyncIterator[Visitor]:
    address, _, capability = sandbox.url.partition("/#")
    headers = {"X-Simcord-Capability": capability, "Origin": address}
    async with aiohttp.ClientSession(address) as session:
        async with session.post("/api/pages", json={}, headers=headers) as answer:
            state = await answer.json()
        yield Visitor(session, {**headers, "X-Simcord-Context": state["context"]["id"]}, state)


async def test_a_visitor_orders_a_picture_and_sees_it_come(tmp_path: Path) -> None:
    fleet = FakeFleet()
    async with open_sandbox(BotConfig(), fleet) as sandbox, visited(sandbox) as visitor:
        assert "/imagine" in await visitor.look()
        result = await visitor.imagine("a red flower <lora:ink:0.5>")
        assert result["settlement"] == "settled", result
        assert await visitor.sees("Queued, place 1")
        await until(lambda: bool(fleet.attempts))
        await fleet.step(fleet.attempts[0].job, 7)
        assert await visitor.sees("step 7 of 20")
        await fleet.finish(fleet.attempts[0].job)
        assert await visitor.sees("Vary seed")


async def test_an_action_made_while_the_page_changes_still_counts(tmp_path: Path) -> None:
    fleet = FakeFleet()
    async with open_sandbox(BotConfig(), fleet) as sandbox, visited(sandbox) as visitor:
        await visitor.imagine("one")
        await visitor.look()
        before = visitor.state["publishedRevision"]
        sandbox.preview._publish_message_pages(reason="refresh")
        assert visitor.state["publishedRevision"] == before
        assert (await visitor.imagine("two"))["settlement"] == "settled"


async def test_a_port_in_use_is_passed_over(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = BotConfig()
        config = replace(config, sandbox=replace(config.sandbox, port=port))
        async with open_sandbox(config, FakeFleet()) as sandbox:
            assert sandbox.url.startswith("http://127.0.0.1:")
            assert f":{port}/" not in sandbox.url


async def test_it_leaves_nothing_in_the_data_folder(tmp_path: Path) -> None:
    async with open_sandbox(BotConfig(data=Data(folder=tmp_path)), FakeFleet()):
        pass
    assert os.listdir(tmp_path) == []


async def test_an_order_that_is_refused_is_answered_and_not_called_uncertain() -> None:
    """SimCord takes every error of the command tree for a defect; the bot has answered this one."""
    async with open_sandbox(BotConfig(), FakeFleet()) as sandbox, visited(sandbox) as visitor:
        result = await visitor.imagine(" AND ".join("a" * 17))
        assert await visitor.sees("16 is the most")
        assert not result["uncertain"], result


async def test_a_visitor_sends_an_adapter_and_sees_what_it_is(tmp_path: Path) -> None:
    """The file of a built-in one, from the page's own upload to the card that asks."""
    async with open_sandbox(BotConfig(), FakeFleet()) as sandbox, visited(sandbox) as visitor:
        await visitor.look()
        result = await visitor.upload("brush.safetensors", builtin_adapter("ink").read_bytes())
        assert result["settlement"] == "settled", result
        assert await visitor.sees("called here: `brush`")
        assert await visitor.sees("made for: `built-in`")
