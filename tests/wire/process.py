"""The bot as its own process, connected to the loopback Discord."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .server import Server

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "bot", "run")
BREAKING = (sys.executable, "-m", "tests.wire.breaking_bot", "run")
CONFIG = """
[engine]
threads = 1
preview_every = 0.2
"""


class BotProcess:
    """`python -m bot run` with a data folder of its own; `log` is what it said."""

    def __init__(self, server: Server, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self._server, self._folder, self._command = server, folder, command
        self._process: asyncio.subprocess.Process | None = None
        server.notes[:] = [lambda: self.log[-4000:]]

    async def start(self, timeout: float = 120.0) -> None:  # noqa: ASYNC109
        """Starts it and waits until it is connected and has told Discord its commands."""
        config, log = self._folder / "config.toml", self._folder / "log.txt"
        config.write_text(CONFIG, encoding="utf-8")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LORALOOM_")}
        own = {
            "LORALOOM_DISCORD_API": self._server.api,
            "LORALOOM_TOKEN": self._server.token,
            "LORALOOM_CONFIG": str(config),
            "LORALOOM_DATA": str(self._folder / "data"),
            "PYTHONUNBUFFERED": "1",
        }
        before = len(self._server.gateway.sessions)
        with log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, env=clean | own, stdout=out, stderr=out
            )

        def connected() -> bool:
            sessions = self._server.gateway.sessions
            return not self.running or (len(sessions) > before and bool(self._server.commands))

        gone = asyncio.create_task(self._process.wait())
        gone.add_done_callback(lambda _: self._server.changed())
        await self._server.until(connected, timeout, "a bot that is connected")
        assert self.running, f"the bot ended with {self._process.returncode}:\n{self.log[-4000:]}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def log(self) -> str:
        return (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    async def end(self, how: signal.Signals = signal.SIGTERM, timeout: float = 20.0) -> int:  # noqa: ASYNC109
        """Sends it a signal, waits, and gives its exit status."""
        assert self._process is not None
        if self.running:
            self._process.send_signal(how)
        try:
            return await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"the bot did not end within {timeout:g} s:\n{self.log[-4000:]}") from None
