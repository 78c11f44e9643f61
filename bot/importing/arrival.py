"""A file as it arrives from outside: capped, hashed, looked at from its first bytes on, written off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import NoRoom, SourceUnusable, TooLarge
from .network import MIB

OnProgress = Callable[[int, int | None], None]  # (bytes so far, bytes in all if known)
BLOCK = MIB
MAX_HEADER = 100_000_000  # safetensors' own limit; the engine's is lower
_FIRST = 9  # the length of the header, and its first sign

_KINDS = (
    (b"PK", "a zip or a PyTorch file, which can hold programs"),
    (b"\x80", "a pickle, which can hold programs"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"GGUF", "a GGUF model"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"%PDF", "a PDF document"),
    (b"version ht", "a pointer of Git LFS in place of the file"),
)


class Arrival:
    """`path` grows by what `take` gets; `finish` makes it sure, `restart` empties it. Closed by the `async with`."""

    def __init__(
        self, path: Path, *, cap: int, reserve: int, on_progress: OnProgress | None = None, total: int | None = None
    ) -> None:
        self.path = path
        self.total = total
        self._cap = cap
        self._reserve = reserve
        self._on_progress = on_progress
        self._pending = bytearray()
        self._written = 0
        self._hash = hashlib.sha256()
        self._looked = False

    async def __aenter__(self) -> Self:
        self._file = await asyncio.to_thread(self.path.open, "wb")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        return self._written + len(self._pending)

    def expect(self, total: int | None) -> None:
        """Raises TooLarge for a file that says beforehand that it is."""
        self.total = total
        if total is not None and total > self._cap:
            raise TooLarge(f"The file has {megabytes(total)}; at most {megabytes(self._cap)} are taken here.")

    async def take(self, piece: bytes) -> None:
        """`piece` follows what there is. Raises TooLarge, NoRoom, and SourceUnusable for what cannot be safetensors."""
        self._pending += piece
        if self.size > self._cap:
            raise TooLarge(f"The file has more than the {megabytes(self._cap)} that are taken here.")
        if not self._looked and self.size >= 16:
            refuse_foreign(bytes(self._pending[:64]))
            self._looked = True
        if len(self._pending) >= BLOCK:
            await self._flush()

    async def finish(self) -> str:
        """Everything taken is on the disk; gives its SHA-256."""
        if not self._looked:
            refuse_foreign(bytes(self._pending[:64]))
        await self._flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        return self._hash.hexdigest()

    async def restart(self) -> None:
        """As if nothing had been taken."""
        self._pending.clear()
        await asyncio.to_thread(self._file.seek, 0)
        await asyncio.to_thread(self._file.truncate)
        self._written, self._hash, self._looked = 0, hashlib.sha256(), False

    async def _flush(self) -> None:
        block, self._pending = bytes(self._pending), bytearray()
        await asyncio.to_thread(self._write, block)
        self._written += len(block)
        if self._on_progress is not None:
            self._on_progress(self._written, self.total)

    def _write(self, block: bytes) -> None:
        rest = max(len(block), (self.total or 0) - self._written)
        if shutil.disk_usage(self.path.parent).free < rest + self._reserve:
            raise NoRoom("There is not enough room left on the disk of this bot; whoever runs it must make some.")
        self._hash.update(block)
        self._file.write(block)
        self._file.flush()


def refuse_foreign(first: bytes) -> None:
    """Raises SourceUnusable when a file that begins so cannot be safetensors; says what it looks like."""
    if first[8:9] == b"{" and int.from_bytes(first[:8], "little") <= MAX_HEADER:
        return  # before the magic numbers: a length may well begin like a pickle or a zip
    for magic, kind in _KINDS:
        if first.startswith(magic):
            raise SourceUnusable(f"That is {kind}, not a .safetensors file.")
    if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise SourceUnusable("That is a web page, not a .safetensors file; the address of the file itself is needed.")
    if len(first) < _FIRST:
        raise SourceUnusable(f"The file is empty or has only {len(first)} bytes; that is no .safetensors file.")
    raise SourceUnusable("That is no .safetensors file: it does not begin like one.")


def megabytes(size: int) -> str:
    """As a member reads it: 0.2 MB, 144 MB."""
    return f"{size:,} bytes" if size < 100_000 else f"{size / 1e6:.1f} MB" if size < 10**7 else f"{size / 1e6:,.0f} MB"
