"""python -m bot [run|sandbox|doctor|db|backup|restore|alive|sbom]: run on Discord; without a token, in the sandbox."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from engine import EngineError

from .config import BotConfig, ConfigError, load_config
from .logs import set_up

COMMANDS = {
    "run": "run on Discord; the token is in the configuration or in LORALOOM_TOKEN",
    "sandbox": "run on a page on this machine, without Discord",
    "doctor": "try everything that a start needs, and say what to do where it fails",
    "db": "make the database, or bring it to the newest revision",
    "backup": "write everything in the data folder to one file, FILE; the bot may run meanwhile",
    "alive": "ask the bot that runs with this configuration whether it does; for containers, see [health]",
    "sbom": "what this is made of, as CycloneDX JSON",
    "restore": "put a backup, FILE, in the place of the data folder; what was there is kept beside it",
}

EXIT_FAILED, EXIT_RESTART, EXIT_CONFIG = 1, 75, 78
RESTARTS = "LORALOOM_RESTARTS"  # when this process began anew, in seconds since 1970
MOST_RESTARTS, WITHIN = 3, 600.0  # seconds: an engine that breaks more often needs a person, or a pause


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status.

    0 well; 1 it could not be done; 2 the command line is wrong; 75 the engine broke, and starting again goes on where
    it was (`run` does so by itself a few times first); 78 starting again is of no use until a person has put something
    right: configuration, token or data folder.
    """
    listed = "\n".join(f"  {name:8} {words}" for name, words in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bot", description=f"{__doc__}\n\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="for backup and restore")
    parser.add_argument("--config", metavar="FILE", help="the configuration file; config.toml when there is one")
    parser.add_argument("--verbose", action="store_true", help="log what happens in detail")
    asked = parser.parse_args(arguments)
    level = logging.DEBUG if asked.verbose else logging.INFO
    set_up(level)
    if (asked.file is None) == (asked.command in ("backup", "restore")):
        parser.error("backup and restore, and no other command, want a FILE")
    from .client import EngineBroken, LoginRefused, TokenRefused
    from .store import DataFolderError

    try:
        return _interruptible(_perform(asked.command, asked.config, asked.file, level))
    except (ConfigError, TokenRefused, DataFolderError) as error:
        return _complain(str(error), EXIT_CONFIG)
    except (EngineError, LoginRefused) as error:
        return _complain(str(error), EXIT_FAILED)
    except EngineBroken as error:
        return _begin_anew(str(error))


async def _perform(command: str | None, path: str | None, file: Path | None, level: int) -> int:
    if command == "doctor":
        from .doctor import examine

        return 0 if await examine(path) else EXIT_FAILED
    if command == "sbom":
        from .sbom import bill_of_materials

        print(json.dumps(bill_of_materials(), indent=2))
        return 0
    config = load_config(path)
    set_up(level, config.log.format, config.secrets)
    if command == "backup" and file is not None:
        return _back_up(config, file)
    if command == "restore" and file is not None:
        _restore(config, file)
        return await _database(config)  # nobody is in it any more who has asked to be forgotten since
    match command or ("run" if config.discord.token else "sandbox"):
        case "run":
            return await _run(config)
        case "db":
            return await _database(config)
        case "alive":
            return await _alive(config)
        case _:
            logging.getLogger("discord").setLevel(logging.ERROR)  # SimCord tries discord.py out, which warns of nothing
            from .sandbox import run_sandbox

            await run_sandbox(config)
            return 0


async def _run(config: BotConfig) -> int:
    from . import create_bot
    from .health import served

    if not config.discord.token:
        raise ConfigError("There is no token: write it as [discord] token in config.toml, or set LORALOOM_TOKEN.")
    async with create_bot(config) as bot, served(bot, config.health.port):
        await bot.serve(config.discord.token)
    return 0


async def _database(config: BotConfig) -> int:
    from .store import open_store

    config.folder.mkdir(parents=True, exist_ok=True)
    async with open_store(None, config.folder):
        print(f"{config.folder / 'loraloom.db'} is at the newest revision.")
    return 0


async def _alive(config: BotConfig) -> int:
    from .health import answers

    if not config.health.port:
        print("[health] port is 0, so nobody can be asked.")
        return 0
    return 0 if await answers(config.health.port) else EXIT_FAILED


def _back_up(config: BotConfig, file: Path) -> int:
    from .store import back_up

    count = back_up(config.folder, file.absolute())
    print(f"{file} holds {count} files of {config.folder}, {file.stat().st_size / 1e6:.1f} MB.")
    return 0


def _restore(config: BotConfig, file: Path) -> None:
    from .store import restore

    old = restore(file.absolute(), config.folder)
    kept = f" What was there before is in {old}; delete it when all is well." if old else ""
    print(f"{config.folder} is what {file} holds.{kept}")


def _begin_anew(why: str) -> int:
    """A fresh process in the place of this one, which alone mends a broken engine; EXIT_RESTART where that did not."""
    now = time.time()
    times = [time for time in map(float, os.environ.get(RESTARTS, "").split()) if now - time < WITHIN]
    if len(times) < MOST_RESTARTS and os.name == "posix":  # on Windows start.py does it: the old process would stay
        print(f"{why} Starting anew.", file=sys.stderr, flush=True)
        environment = os.environ | {RESTARTS: " ".join(map(str, [*times, now]))}
        os.execve(sys.executable, [sys.executable, "-m", "bot", *sys.argv[1:]], environment)
    return _complain(f"{why} Loraloom ends; started again, it goes on where it was.", EXIT_RESTART)


def _interruptible(work: Coroutine[Any, Any, int]) -> int:
    """The work's result; Ctrl-C and SIGTERM end it in order, and that is no failure. The second one ends it at once."""

    async def watched() -> int:
        task = asyncio.current_task()
        assert task is not None, "asyncio.run makes one"

        def on_signal(ending: signal.Signals) -> None:
            if task.cancelling():
                os._exit(128 + ending)
            print("\nEnding; what is being drawn is finished first. Once more ends it at once.", file=sys.stderr)
            task.cancel()

        with contextlib.suppress(NotImplementedError):  # Windows has no SIGTERM to listen to
            for ending in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is born deaf to it
                asyncio.get_running_loop().add_signal_handler(ending, on_signal, ending)
        return await work

    try:
        return asyncio.run(watched())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nEnded.")
        return 0


def _complain(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
