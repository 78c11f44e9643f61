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
    """`python -m bot run`, or another `command`, with a data folder of its own; `log` is what it said."""

    def __init__(
        self, server: Server, folder: Path, *, command: Sequence[str] = COMMAND, configuration: str = CONFIG
    ) -> None:
        self._server, self._folder = server, folder
        self._command, self._configuration = command, configuration
        self._process: asyncio.subprocess.Process | None = None
        server.notes[:] = [lambda: self.log[-4000:]]

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, timeout: float = 120.0, **more: str) -> None:  # noqa: ASYNC109
        """Starts it, with `more` in its environment, and waits until it is connected and Discord knows its commands."""
        config, log = self._folder / "config.toml", self._folder / "log.txt"
        config.write_text(self._configuration, encoding="utf-8")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LORALOOM_")}
        own = {
            "LORALOOM_DISCORD_API": self._server.api,
            "LORALOOM_TOKEN": self._server.token,
            "LORALOOM_CONFIG": str(config),
            "LORALOOM_DATA": str(self.data),
            "PYTHONUNBUFFERED": "1",
        }
        before = len(self._server.gateway.sessions)
        with log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, env=clean | own | more, stdout=out, stderr=out
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

    async def wait(self, timeout: float) -> int | None:  # noqa: ASYNC109
        """Its exit status, or None when it still runs after so many seconds."""
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            return None

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
