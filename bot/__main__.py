"""python -m bot [run|sandbox|doctor|db]: without a word it runs on Discord, or without a token in the sandbox."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from engine import EngineError

from .config import BotConfig, ConfigError, load_config

COMMANDS = {
    "run": "run on Discord; the token is in the configuration or in LORALOOM_TOKEN",
    "sandbox": "run on a page on this machine, without Discord",
    "doctor": "try everything that a start needs, and say what to do where it fails",
    "db": "make the database, or bring it to the newest revision",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 well, 1 it could not be done, 2 the configuration or the command line is wrong."""
    listed = "\n".join(f"  {name:8} {words}" for name, words in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bot", description=f"{__doc__}\n\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS)
    parser.add_argument("--config", metavar="FILE", help="the configuration file; config.toml when there is one")
    parser.add_argument("--verbose", action="store_true", help="log what happens in detail")
    asked = parser.parse_args(arguments)
    _log(logging.DEBUG if asked.verbose else logging.INFO)
    from .client import LoginRefused

    try:
        return _interruptible(_perform(asked.command, asked.config))
    except ConfigError as error:
        return _complain(str(error), 2)
    except (EngineError, LoginRefused) as error:
        return _complain(str(error), 1)


async def _perform(command: str | None, path: str | None) -> int:
    if command == "doctor":
        from .doctor import examine

        return 0 if await examine(path) else 1
    config = load_config(path)
    match command or ("run" if config.discord.token else "sandbox"):
        case "run":
            return await _run(config)
        case "db":
            return await _database(config)
        case _:
            logging.getLogger("discord").setLevel(logging.ERROR)  # SimCord tries discord.py out, which warns of nothing
            from .sandbox import run_sandbox

            await run_sandbox(config)
            return 0


async def _run(config: BotConfig) -> int:
    from . import create_bot

    if not config.discord.token:
        raise ConfigError("There is no token: write it as [discord] token in config.toml, or set LORALOOM_TOKEN.")
    async with create_bot(config) as bot:
        await bot.serve(config.discord.token)
    return 0


async def _database(config: BotConfig) -> int:
    from .store import open_store

    config.folder.mkdir(parents=True, exist_ok=True)
    async with open_store(None, config.folder):
        print(f"{config.folder / 'loraloom.db'} is at the newest revision.")
    return 0


def _interruptible(work: Coroutine[Any, Any, int]) -> int:
    """The work's result; Ctrl-C and SIGTERM end it in order, and that is no failure."""

    async def watched() -> int:
        task = asyncio.current_task()
        assert task is not None, "asyncio.run makes one"
        with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to listen to
            for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is born deaf to it
                asyncio.get_running_loop().add_signal_handler(ending, task.cancel)
        return await work

    try:
        return asyncio.run(watched())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nEnded.")
        return 0


def _log(level: int) -> None:
    """Our own doings at `level`. Of other libraries what they warn of; of discord.py no details, which hold tokens."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for name in ("bot", "engine"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("discord").setLevel(logging.INFO)


def _complain(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
