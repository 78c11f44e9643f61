"""Twelve things that must not get out, planted in a bot that runs as its own process at its most talkative (B16).

Each has places where it belongs, such as a prompt in the picture that was made with it; anywhere else it is a leak.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
import numpy
from safetensors.numpy import save_file

from bot.store import open_store
from tests.wire.process import COMMAND, BotProcess
from tests.wire.server import Server
from tests.wire.world import Interaction, Message

LOG, DATABASE, OWN, OTHERS, PNG, METRICS = "log", "database", "their messages", "messages to others", "PNG", "metrics"
PLACES = (LOG, DATABASE, OWN, OTHERS, PNG, METRICS)

TOKEN = "kanarienvogel.discord.token"
CIVITAI = "kanarienvogelcivitai0123456789"
HUGGING_FACE = "hf_kanarienvogel0123456789abcdef"
DROP = "kanarienvogeldrop.0123456789"
ADAPTER = "kanarienadapter"
PROMPT = "kanarienprompt"
NAME = "kanarienmitglied"
EMAIL = "kanarienvogel@example.org"
WEBHOOK = "https://discord.com/api/webhooks/123456789012345678/kanarienwebhook"
PATIENCE = 120.0  # seconds for one picture


def belongs(folder: Path, interactions: list[Interaction]) -> Mapping[str, tuple[tuple[str, ...], set[str]]]:
    """Each canary: how it is spelled, and where it may be."""
    return {
        "token": ((TOKEN,), set()),
        "Civitai token": ((CIVITAI,), set()),
        "Hugging Face token": ((HUGGING_FACE,), set()),
        "interaction token": (tuple(one.token for one in interactions), {DATABASE}),  # it answers for 15 minutes
        "drop key": ((DROP,), set()),
        "name of a private adapter": ((ADAPTER,), {DATABASE, OWN, PNG}),
        "prompt": ((PROMPT,), {DATABASE, OWN, PNG}),
        "member's name": ((NAME,), {DATABASE}),
        "path": ((str(folder),), {LOG}),  # the log is for whoever runs the bot
        "host": ((socket.gethostname() + ".", f"@{socket.gethostname()}"), set()),
        "e-mail in a file": ((EMAIL,), set()),
        "webhook in a file": ((WEBHOOK.rpartition("/")[2],), set()),
    }


def adapter(path: Path) -> Path:
    """A LoRA whose metadata say more than its maker knows."""
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{module}.lora_down.weight": numpy.ones((2, 96), dtype=numpy.float32),
        f"{module}.lora_up.weight": numpy.ones((32, 2), dtype=numpy.float32),
    }
    folders = json.dumps({f"/home/{EMAIL}/pictures": {"n_repeats": 1}})
    metadata = {"ss_training_comment": f"{EMAIL} {WEBHOOK}", "ss_dataset_dirs": folders, "ss_output_name": "style"}
    save_file(tensors, path, metadata=metadata)
    return path


async def gathered(server: Server, folder: Path, port: int) -> dict[str, dict[str, int]]:
    """Where each canary was found, and how often, after members used the bot and Discord failed it now and then."""
    data = folder / "data"
    server.bob.name = NAME
    async with open_store(None, data) as store:
        file = adapter(folder / "style.safetensors")
        await store.catalog.add(file, ADAPTER, visibility="private", owner_id=server.bob.id)
    process = BotProcess(server, folder, command=(*COMMAND, "--verbose"), configuration=_config(port))
    await process.start()
    mine, theirs = await _use(server)
    await server.ready()
    metrics = await _metrics(port)
    await process.end()
    texts = {
        LOG: process.log.encode(),
        DATABASE: await asyncio.to_thread((data / "loraloom.db").read_bytes),
        OWN: b"\n".join(_sent(server, mine)),
        OTHERS: b"\n".join(_sent(server, theirs)),
        PNG: b"\n".join(file.data for one in mine for message in one.messages for file in message.attachments),
        METRICS: metrics,
    }
    assert all(texts.values()), {place: len(text) for place, text in texts.items()}
    found: dict[str, dict[str, int]] = {}
    for what, (spellings, places) in belongs(folder, mine + theirs).items():
        counts = {place: sum(texts[place].count(word.encode()) for word in spellings) for place in PLACES}
        found[what] = {place: count for place, count in counts.items() if count and place not in places}
    return found


async def _use(server: Server) -> tuple[list[Interaction], list[Interaction]]:
    """What bob did, whose things the canaries are, and what alice did who looks for them."""
    mine, theirs = [], []
    server.next_answer("* /webhooks/*", 429, retry_after=0.5)
    for prompt in (f"{PROMPT} <lora:{ADAPTER}:1>", f"{PROMPT} <lora:{ADAPTER}x:1>"):
        mine.append(await server.acknowledged(await server.slash("imagine", prompt=prompt, steps=2, user=server.bob)))
        await server.message_with(lambda m: m in mine[-1].messages and _drawn(m), PATIENCE)
    server.next_answer("* /interactions/*", 500)
    mine.append(await server.slash("history", user=server.bob))
    mine.append(await server.acknowledged(await server.slash("lora info", adapter=ADAPTER, user=server.bob)))
    link = f"http://example.org/drop/{DROP}"
    for name in (ADAPTER, f"{ADAPTER}x", ADAPTER[:8], link):
        theirs.append(await server.acknowledged(await server.slash("lora info", adapter=name[:100])))
        asked = await server.slash("imagine", prompt=f"a house <lora:{name}:1>", lora=name, steps=1)
        theirs.append(await server.acknowledged(asked))
    for command in ("lora list", "queue", "history"):
        theirs.append(await server.acknowledged(await server.slash(command)))
    await server.complete("imagine", "lora", ADAPTER[:6], prompt="a house")
    await server.complete("imagine", "lora", "", prompt="a house")
    return mine, theirs


def _drawn(message: Message) -> bool:
    return bool(message.attachments) and all(file.data.startswith(b"\x89PNG") for file in message.attachments)


def _sent(server: Server, interactions: list[Interaction]) -> Iterator[bytes]:
    """What the bot sent in answer to these, but for what the asker had written there."""
    for one in interactions:
        asked = str(one.data)
        for request in server.requests:
            if one.token in request.path or str(one.id) in request.path:
                text = json.dumps(request.json, ensure_ascii=False) if request.json is not None else ""
                for word in (ADAPTER, DROP):
                    text = text.replace(word, "") if one.user is not server.bob and word in asked else text
                yield text.encode() + b"".join(data for _, data in request.files.values())


async def _metrics(port: int) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return await answer.read()


def _config(port: int) -> str:
    return f"""
[engine]
threads = 1
preview_every = 0.2
[health]
port = {port}
[imports]
civitai_token = "{CIVITAI}"
huggingface_token = "{HUGGING_FACE}"
"""
