"""A data folder as one file and back: `back_up` while the bot runs, `restore` while it does not.

The file is an uncompressed tar: MANIFEST.json first (what is in it, with SHA-256), then the database as SQLite's own
online backup gives it, then adapters and pictures, which are written once and never changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from .errors import BackupUnusable
from .integrity import UNPACKED, check
from .lock import LOCK, locked
from .tombstones import FILE as TOMBSTONES

DATABASE, MANIFEST = "loraloom.db", "MANIFEST.json"
FOLDERS = ("adapters", "pictures", "previews")
FORMAT = 1


def back_up(data: Path, target: Path) -> int:
    """`target` holds everything of the data folder as of one moment, flushed to the disk; gives how many files.

    The bot may go on meanwhile: the database comes first, so each file that it names is in the backup, unless its
    member deleted it in between. Nothing is at `target` unless the backup is whole. Raises BackupUnusable.
    """
    if not (data / DATABASE).is_file():
        raise BackupUnusable(f"{data} has no database to back up.")
    if target.exists():
        raise BackupUnusable(f"{target} is there already; name another file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as name:
        copy, part = Path(name) / DATABASE, Path(name) / "backup.tar"
        copy_database(data / DATABASE, copy)
        files = {DATABASE: copy} | {path.relative_to(data).as_posix(): path for path in _files(data)}
        with part.open("xb") as out:
            listed = _write(out, files)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    return listed


def restore(source: Path, data: Path, now: datetime | None = None) -> Path | None:
    """The data folder is what was backed up; what it was before is kept beside it, in the folder that this gives.

    Everything is unpacked and checked first, so that a damaged backup changes nothing. Nobody else has the folder
    meanwhile: it stays where it is, with its lock. Raises BackupUnusable, and FolderInUse while a bot runs in it.
    """
    with locked(data, "Stop that one first: a restore puts something else in the place of all that it works on."):
        for left in data.glob(f"{UNPACKED}*"):  # by one that was killed
            shutil.rmtree(left)
        fresh = Path(tempfile.mkdtemp(dir=data, prefix=UNPACKED))
        try:
            _unpack(source, fresh)
            check(fresh / DATABASE)
            return _exchange(fresh, data, now or datetime.now(UTC))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _exchange(fresh: Path, data: Path, now: datetime) -> Path | None:
    """What is in `fresh` is in `data`, and what was there in the folder that this gives. Where it cannot be moved,
    nothing is.

    The database goes first and comes last: without it, no bot starts on the files of a restore that was cut short.
    """
    there = sorted((path for path in data.iterdir() if _is_replaced(path.name)), key=_not_database)
    old = data.with_name(f"{data.name}.before-{now:%Y%m%d-%H%M%S}") if there else None
    moved: list[tuple[Path, Path]] = []
    try:
        if old is not None:
            old.mkdir()
            for path in there:
                moved.append((path, path.rename(old / path.name)))
        for path in sorted(fresh.iterdir(), key=_not_database, reverse=True):
            moved.append((path, path.rename(data / path.name)))
    except OSError as error:
        for was, is_now in reversed(moved):
            is_now.rename(was)
        if old is not None and old.is_dir() and not any(old.iterdir()):
            old.rmdir()
        raise BackupUnusable(f"What is in {data} cannot be moved to a folder beside it: {error}") from error
    if old is not None and (data / TOMBSTONES).is_file():
        shutil.copy2(data / TOMBSTONES, old)
    return old


def _is_replaced(name: str) -> bool:
    """Whether it is of what a backup holds, the database's journals and earlier copies among it. The lock is not, nor
    who has asked to be forgotten, nor what somebody else keeps there.
    """
    return name in FOLDERS or (name.startswith("loraloom.") and name != LOCK)


def _not_database(path: Path) -> bool:
    return path.name != DATABASE


def copy_database(source: Path, target: Path) -> None:
    """`target` is a whole copy of the database as of one moment; who writes to `source` meanwhile is not held up."""
    with closing(_opened(source)) as opened, closing(sqlite3.connect(target)) as copy:
        opened.backup(copy)
    check(target)


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)


def _files(data: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted(path for path in (data / folder).rglob("[!.]*") if path.is_file())


def _write(out: io.BufferedWriter, files: dict[str, Path]) -> int:
    """The manifest is written last, over the room that was left for it in front: a file that vanishes is not in it."""
    spool = {name: path for name, path in files.items() if path.is_file()}
    hashes: dict[str, str] = {}
    room = 200 + sum(len(name.encode()) + 100 for name in spool)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        head = tarfile.TarInfo(MANIFEST)
        head.size = room
        tar.addfile(head, io.BytesIO(b" " * room))
        at = tar.offset - -(-room // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        for name, path in spool.items():
            try:
                with path.open("rb") as file:
                    info = tar.gettarinfo(arcname=name, fileobj=file)
                    info.uid = info.gid = 0
                    info.uname = info.gname = ""
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    file.seek(0)
                    tar.addfile(info, file)
            except FileNotFoundError:
                continue  # its member deleted it a moment ago
            hashes[name] = digest
    manifest = json.dumps({"format": FORMAT, "files": hashes}).encode()
    out.seek(at)
    out.write(manifest.ljust(room))
    return len(hashes)


def _unpack(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source, "r:") as tar:
            manifest = _manifest(tar)
            for name, digest in manifest.items():
                _extract(tar, name, digest, folder)
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise BackupUnusable(f"{source} is no backup that can be used: {error}") from error


def _manifest(tar: tarfile.TarFile) -> dict[str, str]:
    opened = tar.extractfile(MANIFEST)
    document = json.loads(opened.read()) if opened is not None else {}
    if document.get("format") != FORMAT or DATABASE not in document.get("files", {}):
        raise ValueError("it has no manifest of this format")
    files: dict[str, str] = document["files"]
    return files


def _extract(tar: tarfile.TarFile, name: str, digest: str, folder: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or (name != DATABASE and path.parts[0] not in FOLDERS):
        raise ValueError(f"{name!r} does not belong into a data folder")
    member = tar.getmember(name)
    opened = tar.extractfile(member) if member.isreg() else None
    if opened is None:
        raise ValueError(f"{name!r} is not a plain file")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened, target.open("xb") as out:
        shutil.copyfileobj(opened, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise ValueError(f"{name!r} is damaged")
    os.utime(target, (member.mtime, member.mtime))  # how long a picture is kept counts from when it was drawn
    target.chmod(0o444 if path.parts[0] == "adapters" else 0o644)
