"""`python -m bot doctor`: what must be right before the bot can work, tried for real."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine import BUILTIN, EngineError, LocalFleet

from .config import BotConfig, ConfigError, load_config
from .orders.desk import LEAST_ROOM
from .store import DataFolderError, integrity


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
    healthy = True
    for name, check in CHECKS.items():
        try:
            say(f"ok    {name}: {await check(config)}")
        except (Unwell, EngineError) as error:
            healthy = False
            say(f"FAIL  {name}: {error}")
    return healthy


async def token(config: BotConfig) -> str:
    return "there is one" if config.discord.token else "there is none, so the bot starts in the sandbox"


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
    "data folder": folder,
    "database": database,
    "disk space": space,
    "built-in model": builtin_model,
    "engine": engine,
}


async def _ignore(event: object) -> None:
    """Nothing is dispatched, so nothing is reported."""
