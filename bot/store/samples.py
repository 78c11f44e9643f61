"""Sample pictures of catalog entries on the disk, in `previews/`; the rows name them."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from .files import sweep_half_written, write_whole


class SampleFolder:
    """`previews/<random>.webp`; `add` and `remove` are inverses."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()

    def path(self, name: str) -> Path:
        return self.folder / name

    async def add(self, webp: bytes) -> str:
        """The picture is on the disk and will survive a power cut; gives its name there."""
        name = f"{secrets.token_hex(16)}.webp"
        await asyncio.to_thread(write_whole, self.path(name), io.BytesIO(webp))
        return name

    async def read(self, names: Iterable[str]) -> list[bytes | None]:
        """The pictures of these names, None for each that is not there."""
        return await asyncio.to_thread(lambda: [self._read(name) for name in names])

    async def remove(self, names: Iterable[str]) -> None:
        """No file of these names is in the folder."""
        await asyncio.to_thread(self._remove, tuple(names))

    async def sweep(self, known: Collection[str]) -> int:
        """Only these pictures are left; gives how many others were there. Nothing may be added meanwhile."""
        return await asyncio.to_thread(self._sweep, frozenset(known))

    def _read(self, name: str) -> bytes | None:
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def _remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def _sweep(self, known: frozenset[str]) -> int:
        sweep_half_written(self.folder)
        strays = [path.name for path in self.folder.glob("*.webp") if path.name not in known]
        self._remove(tuple(strays))
        return len(strays)
