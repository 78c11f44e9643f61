"""`python -m bot doctor`: what must be right before the bot can work, tried for real."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from alembic.script import ScriptDirectory

from engine import BUILTIN, EngineError, LocalFleet

from .config import BotConfig, ConfigError, load_config
from .store.migrate import MIGRATIONS


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
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if not file.is_file():
        return "not there yet; the first start makes it"
    found = _revision(file)
    return f"at revision {found}" if found == newest else f"at {found}; the next start brings it to {newest}"


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
    "built-in model": builtin_model,
    "engine": engine,
}


def _revision(file: Path) -> str:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise Unwell(
            f"{file} cannot be read ({error}); restore it from a backup, or move it away to begin anew."
        ) from error
    return str(row[0]) if row else "none"


async def _ignore(event: object) -> None:
    """Nothing is dispatched, so nothing is reported."""
