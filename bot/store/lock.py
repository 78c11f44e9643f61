"""One process a data folder: two bots on one database would draw and post everything twice."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import FolderInUse

LOCK = "loraloom.lock"
INSTEAD = "End that one, or give this one a folder of its own with [data] folder."


@contextmanager
def locked(folder: Path, instead: str = INSTEAD) -> Iterator[None]:
    """The folder is this process's until the end, even of a killed one. Raises FolderInUse where it is another's, and
    says what to do `instead`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            raise FolderInUse(f"{folder} is in use by another Loraloom. {instead}") from error
        yield
    finally:
        os.close(descriptor)  # which ends the lock; the file stays, for removing it would race with the next one


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
