"""`python -m bot doctor`: what must be right before the bot can work, tried for real."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from engine import BUILTIN, EngineError, LocalFleet

from .config import BotConfig, ConfigError, configuration_file, load_config
from .health import PATIENCE, answers
from .orders.desk import LEAST_ROOM
from .store import DataFolderError, integrity
from .store.database import wal_is_safe

DISCORD = "https://discord.com/api/v10"
MOST_APART = 30.0  # seconds between our clock and Discord's
LEAST_SQLITE = (3, 35)  # for RETURNING
SECRETS = ("token", "civitai_token", "huggingface_token")


class Unwell(Exception):
    """A check failed; the sentence says what to do."""


async def examine(path: str | None, say: Callable[[str], None] = print) -> bool:
    """Every check, one line each; True when nothing is in the way of a start."""
    try:
        config = load_config(path)
    except ConfigError as error:
        say(f"FAIL  configuration: {error}")
        return False
    say("ok    configuration: it can be read")
    healthy = _secrets_are_ours(configuration_file(path), say)
    for name, check in CHECKS.items():
        try:
            say(f"ok    {name}: {await check(config)}")
        except (Unwell, EngineError, OSError) as error:  # the last where a check trips over what another one tells of
            healthy = False
            say(f"FAIL  {name}: {error}")
    return healthy


async def token(config: BotConfig) -> str:
    return "there is one" if config.discord.token else "there is none, so the bot starts in the sandbox"


def _secrets_are_ours(file: Path, say: Callable[[str], None]) -> bool:
    """Nobody else on this machine reads the tokens in the file, or there are none, or no such file."""
    if os.name != "posix" or not file.is_file() or not file.stat().st_mode & 0o077:
        return True
    secret = next((key for key in SECRETS if re.search(rf'(?m)^\s*{key}\s*=\s*"[^"]+"', file.read_text("utf-8"))), None)
    if secret is not None:
        say(f"FAIL  secrets: others on this machine can read the {secret} in {file}; run `chmod 600 {file}`")
    return secret is None


async def discord(config: BotConfig) -> str:
    """Discord is reached, and its clock is ours: orders older than 3 s by it are dead, and tokens live 15 minutes."""
    if not config.discord.token:
        return "not asked, for there is no token"
    asked = time.time()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session,
            session.get(f"{config.discord_api or DISCORD}/gateway") as answer,
        ):
            theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unwell(f"it cannot be reached ({error}); is this machine online?") from error
    except (KeyError, ValueError):
        return "it is reached; it does not tell its time"
    apart = abs((asked + time.time()) / 2 - theirs)
    if apart > MOST_APART:
        raise Unwell(f"this machine's clock is {apart:.0f} s away from Discord's; let it be set by NTP.")
    return f"it is reached, and its clock is ours to {max(1, round(apart))} s"


async def sqlite(config: BotConfig) -> str:
    found = sqlite3.sqlite_version_info
    if found < LEAST_SQLITE:
        least = ".".join(map(str, LEAST_SQLITE))
        raise Unwell(f"Python has {sqlite3.sqlite_version} in it; {least} is needed. Use a newer Python.")
    mode = (
        "write-ahead log"
        if wal_is_safe(found)
        else "rollback journal: the write-ahead log of this version can damage a database"
    )
    return f"{sqlite3.sqlite_version}, with the {mode}"


async def ports(config: BotConfig) -> str:
    """What is to be opened can be, or is open already because the bot runs."""
    wanted = [("[health] port", "127.0.0.1", config.health.port)] if config.health.port else []
    wanted += [("[drop] port", config.drop.host, config.drop.port)] if config.drop.url and config.drop.port else []
    if config.health.port and await answers(config.health.port):
        return f"the bot runs and answers at {config.health.port}"
    for key, host, port in wanted:
        try:
            with socket.create_server((host, port)):
                pass
        except OSError as error:
            raise Unwell(f"{key} {port} on {host} cannot be opened ({error}); choose another one.") from error
    return ", ".join(f"{key} {port} is free" for key, _, port in wanted) or "none is opened"


async def drop_page(config: BotConfig) -> str:
    if not config.drop.url:
        return "there is none: without [drop] url, larger files come by address or by the watch folder"
    if not config.drop.url.startswith("https://") and urlsplit(config.drop.url).hostname not in ("127.0.0.1", "::1"):
        raise Unwell(
            f"{config.drop.url} is not secure, and members send files through it; put https:// in front of it."
        )
    return f"{config.drop.url}, served at {config.drop.host}:{config.drop.port}"


async def folder(config: BotConfig) -> str:
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=config.folder) as file:
            file.write(b"loraloom")
    except OSError as error:
        raise Unwell(
            f"{config.folder} cannot be written ({error}); change [data] folder or its permissions."
        ) from error
    return f"{config.folder} can be written"


async def database(config: BotConfig) -> str:
    file = config.folder / "loraloom.db"
    try:
        found = await asyncio.to_thread(integrity.check, file)
    except DataFolderError as error:
        raise Unwell(str(error)) from error
    if found is None:
        return "not there yet; the first start makes it"
    newest = integrity.newest()
    return f"whole, at revision {found}" + ("" if found == newest else f"; the next start brings it to {newest}")


async def space(config: BotConfig) -> str:
    free = shutil.disk_usage(config.folder).free
    if free < LEAST_ROOM:
        raise Unwell(f"{free / 2**20:.0f} MiB are free; nothing is drawn below {LEAST_ROOM >> 20} MiB. Make room.")
    return f"{free / 2**30:.1f} GiB are free"


async def builtin_model(config: BotConfig) -> str:
    source = Path(config.engine.source_of(BUILTIN) or "")
    weights = [file for part in ("unet", "vae", "text_encoder") for file in (source / part).glob("*.safetensors")]
    if len(weights) < 3:
        raise Unwell(f"{source} is not complete; get the repository's files again.")
    return f"{sum(file.stat().st_size for file in weights) / 1e6:.0f} MB of weights"


async def engine(config: BotConfig) -> str:
    fleet = LocalFleet(config.engine)
    try:
        await fleet.start(_ignore)
        held = next(iter(fleet.workers().values())).holds
    finally:
        await fleet.aclose()
    memory = "" if held.free_vram is None else f", {held.free_vram / 2**30:.1f} GiB of GPU memory free"
    device = held.device or config.engine.device
    return f"{held.model or config.engine.model} ({held.family}) is loaded on {device}{memory}"


CHECKS: dict[str, Callable[[BotConfig], Awaitable[str]]] = {
    "token": token,
    "Discord": discord,
    "SQLite": sqlite,
    "ports": ports,
    "drop page": drop_page,
    "data folder": folder,
    "database": database,
    "disk space": space,
    "built-in model": builtin_model,
    "engine": engine,
}


async def _ignore(event: object) -> None:
    """Nothing is dispatched, so nothing is reported."""
