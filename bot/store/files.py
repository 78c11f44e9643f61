"""Pictures and adapter files on the disk: each is there whole or not at all."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from engine import Picture

from ..orders.errors import StorageError, StorageFull
from ..orders.values import StoredPicture
from .database import FULL, UNWRITABLE


class PictureFolder:
    """`pictures/<job>-<attempt>-<index>.png`"""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()

    async def write(self, job_id: str, attempt: int, pictures: Iterable[Picture]) -> tuple[StoredPicture, ...]:
        """The pictures are on the disk and will survive a power cut."""
        return await asyncio.to_thread(self._write, job_id, attempt, tuple(pictures))

    async def remove(self, names: Iterable[str]) -> None:
        """No file of these names is in the folder."""
        await asyncio.to_thread(self._remove, tuple(names))

    async def prune(self, before: datetime) -> int:
        """No file was written before that time; gives how many went. Files that no row knows of go like the others."""
        return await asyncio.to_thread(self._prune, before.timestamp())

    async def sweep(self, known: Collection[str]) -> int:
        """Only files of these names are in the folder; gives how many others a crash had left."""
        return await asyncio.to_thread(_sweep, self.folder.iterdir(), known)

    def _prune(self, before: float) -> int:
        gone = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # its member deleted it meanwhile
                if path.stat().st_mtime < before:
                    path.unlink()
                    gone += 1
        return gone

    def _remove(self, names: tuple[str, ...]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, job_id: str, attempt: int, pictures: tuple[Picture, ...]) -> tuple[StoredPicture, ...]:
        stored = []
        for index, picture in enumerate(pictures):
            path = self.folder / f"{job_id}-{attempt}-{index}.png"
            write_whole(path, io.BytesIO(picture.png))
            sha256 = hashlib.sha256(picture.png).hexdigest()
            stored.append(
                StoredPicture(index, path, sha256, picture.seed, picture.width, picture.height, picture.infotext)
            )
        return tuple(stored)


class AdapterFolder:
    """`adapters/ab/<sha256>.safetensors`, by content and read-only."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()

    def path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.safetensors"

    async def add(self, source: Path, sha256: str) -> None:
        """The folder holds a copy of `source`, which has this hash. `remove` is the inverse."""
        await asyncio.to_thread(self._add, source, sha256)

    async def remove(self, hashes: Iterable[str]) -> None:
        """The folder holds none of these files."""
        await asyncio.to_thread(self._remove, tuple(hashes))

    async def kept(self) -> frozenset[str]:
        """The hash of every file in the folder."""
        return await asyncio.to_thread(lambda: frozenset(path.stem for path in self.folder.glob("??/*.safetensors")))

    def _remove(self, hashes: tuple[str, ...]) -> None:
        for sha256 in hashes:
            self.path(sha256).unlink(missing_ok=True)

    def _add(self, source: Path, sha256: str) -> None:
        path = self.path(sha256)
        if path.exists():
            return
        path.parent.mkdir(exist_ok=True)
        with source.open("rb") as file:
            write_whole(path, file, mode=0o444)
        with path.open("rb") as file:
            written = hashlib.file_digest(file, "sha256").hexdigest()
        if written != sha256:
            path.unlink()
            raise OSError(f"{source} changed while it was copied: {written} instead of {sha256}")


def _sweep(paths: Iterable[Path], known: Collection[str]) -> int:
    strays = [path for path in paths if path.name not in known and path.is_file()]
    for path in strays:
        path.unlink()
    return len(strays)


def sweep_half_written(folder: Path) -> None:
    """Nothing is in the folder, nor in the folders in it, of what `write_whole` had begun when the process died."""
    for path in [*folder.glob(".*.part"), *folder.glob("*/.*.part")]:
        path.unlink()


def write_whole(path: Path, source: IO[bytes], *, mode: int = 0o644) -> None:
    """`path` holds what `source` gives; after a crash at any moment it holds that or what was there before.

    Raises StorageError where the disk does not take it.
    """
    try:
        _write_and_rename(path, source, mode)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(FULL) from error
        raise StorageError(UNWRITABLE) from error


def _write_and_rename(path: Path, source: IO[bytes], mode: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
