"""What a crash left beside the database, looked through before SQLite plays it back.

SQLite takes of a log what it can read and passes over the rest without a word: behind a damaged frame of a write-ahead
log the database is as it was earlier, behind a damaged record of a rollback journal it stays half changed. The formats
are those of https://sqlite.org/fileformat2.html (§3 rollback journal, §4 write-ahead log) and
https://sqlite.org/walformat.html (§2 the log's index).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
LITTLE, BIG = 0x377F0682, 0x377F0683  # a log's magic: in which order its check sums read words
FORMAT = 3_007_000
INDEX = struct.Struct("=III BBH II II 8s II")
Sum = tuple[int, int]


def lost(database: Path) -> str | None:
    """What was written down and cannot be read any more, of what lies beside the database; None where all is whole.

    What a crash cuts off is whole: a last transaction that was never committed. Reads only. Of a log that somebody
    writes at this moment nothing is said.
    """
    log, index, journal = (database.with_name(database.name + end) for end in ("-wal", "-shm", "-journal"))
    promised = _promised(_content(index)[:96])
    number = _unless_written(log, lambda data: _first_lost_frame(data, promised))
    if number is not None:
        return f"{log} is damaged at frame {number}, and what was committed there is lost"
    number = _unless_written(journal, _first_lost_record)
    if number is not None:
        return f"{journal} is damaged at record {number}, so that a change that was cut short cannot be taken back"
    return None


def _unless_written(path: Path, look: Callable[[bytes], int | None]) -> int | None:
    """What is found, if the file is still the same afterwards."""
    data = _content(path)
    found = look(data)
    return found if found is not None and _content(path) == data else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # as mostly, or whoever writes has just taken it away
        return b""


# the write-ahead log


class Frame(NamedTuple):
    """`ends`: it is the last of a transaction. `ours`: it was written since the log began anew. `whole`: by its sum."""

    ends: bool
    ours: bool
    whole: bool


def _first_lost_frame(log: bytes, promised: tuple[bytes, int] | None) -> int | None:
    """The number, from 1, of the first frame that does not continue the log, if one behind it was committed.

    That is certain where the log's index, which outlives a crash of the process, counts more frames than can be read;
    and where a transaction's last frame has others behind it, for they are written once that one is on the disk.
    """
    head = log[:32]
    if not _is_head(head):
        return 1 if log[32:56].strip(b"\0") else None  # the head is on the disk before anything behind it
    frames = list(_frames(log))
    whole = next((number for number, frame in enumerate(frames) if not (frame.ours and frame.whole)), len(frames))
    read = max((number for number in range(1, whole + 1) if frames[number - 1].ends), default=0)
    if promised is not None and promised[0] == head[16:24] and promised[1] > read:
        return whole + 1
    behind = [frame.ends for frame in frames[whole:] if frame.ours]
    return whole + 1 if any(behind[:-1]) else None


def _is_head(head: bytes) -> bool:
    if len(head) < 32:
        return False
    magic, form, *_ = struct.unpack(">8I", head)
    return (
        magic in (LITTLE, BIG)
        and form == FORMAT
        and _summed((0, 0), head[:24], magic) == struct.unpack(">2I", head[24:])
    )


def _frames(log: bytes) -> Iterator[Frame]:
    """Every frame to the end of the log; sums go on from what the one before says that its own is."""
    magic, _, page = struct.unpack(">3I", log[:12])
    running: Sum = struct.unpack(">2I", log[24:32])
    for place in range(32, len(log) - 24 - page + 1, 24 + page):
        head, content = log[place : place + 24], log[place + 24 : place + 24 + page]
        number, pages = struct.unpack(">2I", head[:8])
        said: Sum = struct.unpack(">2I", head[16:])
        ours = head[8:16] == log[16:24]
        whole = ours and number > 0 and _summed(_summed(running, head[:8], magic), content, magic) == said
        yield Frame(pages > 0, ours, whole)
        running = said


def _summed(running: Sum, data: bytes, magic: int) -> Sum:
    words = array("I", data)
    if (magic == BIG) != (sys.byteorder == "big"):
        words.byteswap()
    first, second = running
    for i in range(0, len(words), 2):
        first = (first + words[i] + second) & 0xFFFFFFFF
        second = (second + words[i + 1] + first) & 0xFFFFFFFF
    return first, second


def _promised(index: bytes) -> tuple[bytes, int] | None:
    """Which log, by its salts, has how many committed frames; None: nobody knows.

    Those that are in the database already count as well: SQLite would lay what it can read over it, which is older.
    """
    if len(index) < 96 or index[:48] != index[48:]:
        return None
    form, _, _, ready, _, _, frames, _, _, _, salts, *said = INDEX.unpack(index[:48])
    native = BIG if sys.byteorder == "big" else LITTLE
    if form != FORMAT or not ready or _summed((0, 0), index[:40], native) != tuple(said):
        return None
    return salts, frames


# the rollback journal


def _first_lost_record(journal: bytes) -> int | None:
    """The number, from 1, of the first record that is not whole, of those that the journal says are on the disk."""
    if len(journal) < 28 or journal[0] == 0:  # as SQLite does it: nothing was changed yet
        return None
    sector, page = struct.unpack(">2I", journal[20:28])
    if not _is_size(sector, 32) or not _is_size(page, 512):
        return 1
    place, number = 0, 0
    while journal[place : place + 8] == JOURNAL_MAGIC:
        count, nonce = struct.unpack(">2I", journal[place + 8 : place + 16])
        if count == 0:  # what follows is not known to be on the disk, so the database has nothing of it yet
            return None
        records = range(place + sector, place + sector + count * (page + 8), page + 8)
        for begin in records:
            number += 1
            record = journal[begin : begin + page + 8]
            if len(record) < page + 8 or _sampled(nonce, record[4:-4]) != record[-4:]:
                return number
        place = -(-records.stop // sector) * sector
    return number + 1 if journal[place : place + 1].strip(b"\0") else None  # a head follows at once, or nothing


def _is_size(number: int, least: int) -> bool:
    return least <= number <= 65_536 and number & (number - 1) == 0


def _sampled(nonce: int, page: bytes) -> bytes:
    """The check sum of a journal's record: every 200th byte, from the end."""
    return struct.pack(">I", (nonce + sum(page[len(page) - 200 : 0 : -200])) & 0xFFFFFFFF)
