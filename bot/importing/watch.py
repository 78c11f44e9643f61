"""The watch folder: what an admin puts there is imported; what cannot be is put aside with a sentence beside it.

loras/ink.safetensors          settled: imported, and moved to loras/imported/
loras/photo.ckpt               moved to loras/refused/, with loras/refused/photo.ckpt.txt
loras/big.safetensors.part     still on its way: left alone
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from engine import EngineError

from .errors import ImportRefused, SourceUnusable
from .importer import Importer
from .names import ENDING
from .values import Fetched

log = logging.getLogger(__name__)

IMPORTED, REFUSED = "imported", "refused"
ON_ITS_WAY = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".download", ".aria2")
EVERY = 5.0  # seconds

OnFile = Callable[[Fetched], Awaitable[None]]
"""Keeps the file. May raise ImportRefused or EngineError to refuse it."""


@dataclass(frozen=True, slots=True)
class _Look:
    size: int
    changed: int  # nanoseconds
    link: bool


class WatchFolder:
    def __init__(self, folder: Path, importer: Importer, on_file: OnFile) -> None:
        self.folder = folder
        self._importer = importer
        self._on_file = on_file
        self._seen: dict[str, _Look] = {}

    async def run(self, every: float = EVERY) -> None:
        """Looks for ever; ends by being cancelled. A folder that cannot be read is tried again, and logged once."""
        well = True
        while True:
            try:
                await self.look()
                well = True
            except OSError as error:
                if well:
                    log.warning("The watch folder %s cannot be used: %s", self.folder, error)
                well = False
            await asyncio.sleep(every)

    async def look(self) -> int:
        """Every file that has not changed since the last look is imported or put aside; gives how many were."""
        now = await asyncio.to_thread(_listed, self.folder)
        settled = [(name, look) for name, look in now.items() if self._seen.get(name) == look]
        self._seen = now
        for name, look in settled:
            await self._take(self.folder / name, look)
        return len(settled)

    async def _take(self, path: Path, look: _Look) -> None:
        try:
            if look.link or not path.name.lower().endswith(ENDING):
                raise SourceUnusable("Only .safetensors files are taken, and no links to elsewhere.")
            await self._on_file(await self._importer.from_upload(path, path.name, "watch folder"))
        except (ImportRefused, EngineError) as error:
            log.info("Not imported from the watch folder: %s: %s", path.name, error)
            await asyncio.to_thread(_put_aside, path, REFUSED, str(error))
        except FileNotFoundError:
            return  # taken back meanwhile
        except OSError as error:
            log.warning("Not imported from the watch folder: %s: %s", path.name, error)
            await asyncio.to_thread(_put_aside, path, REFUSED, f"It could not be read or kept: {error.strerror}.")
        else:
            await asyncio.to_thread(_put_aside, path, IMPORTED, "")


def _listed(folder: Path) -> dict[str, _Look]:
    """The files that are ready to be looked at, by name. A folder in the folder is somebody's order, not ours."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower().endswith(ON_ITS_WAY):
            continue
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode) or stat.S_ISLNK(facts.st_mode):
            found[path.name] = _Look(facts.st_size, facts.st_mtime_ns, stat.S_ISLNK(facts.st_mode))
    return found


def _put_aside(path: Path, where: str, sentence: str) -> None:
    """`path` lies in the folder `where` beside it, under a new name if its own is taken there."""
    folder = path.parent / where
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    if target.exists() or target.is_symlink():
        target = folder / f"{path.stem}-{secrets.token_hex(3)}{path.suffix}"
    path.rename(target)
    if sentence:
        (folder / f"{target.name}.txt").write_text(sentence + "\n", encoding="utf-8")
