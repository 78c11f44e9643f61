"""Who has asked to be forgotten, so that a restored backup forgets them again: a list that names nobody.

`forgotten.txt` begins with a salt. Every further line is one tombstone: its mark, the salted hash of a member's id, and
what was to become of the adapters that they had shared. The hash keeps the list from being read; whoever has it and
already knows an id can find out whether that id is on it, as on every list that has to recognise people.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..orders.values import Shared

FILE = "forgotten.txt"
_SALT = re.compile(r"salt ([0-9a-f]{32})")
_LINE = re.compile(rf"(?P<mark>[0-9a-f]{{16}}) (?P<digest>[0-9a-f]{{48}}) (?P<shared>{'|'.join(Shared)})")
_WORK = {"n": 1 << 11, "r": 8, "p": 1}  # about 5 ms a person, asked only for tombstones that are not carried out


@dataclass(frozen=True, slots=True)
class Tombstone:
    """`mark` is the deed's own number: the database knows by it whether the deed was done there."""

    mark: str
    digest: str
    shared: Shared


class Tombstones:
    """The list in a data folder. Lines are added and never taken out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def add(self, member_id: int, shared: Shared) -> Tombstone:
        """The tombstone is on the disk and survives a power cut."""
        known = self._salt()
        salt = known or secrets.token_hex(16)
        stone = Tombstone(secrets.token_hex(8), _digest(salt, member_id), shared)
        with self._path.open("a" if known else "w", encoding="ascii") as file:
            # a line that a crash has cut short ends here, and is none
            file.write("\n" if known else f"salt {salt}\n")
            file.write(" ".join((stone.mark, stone.digest, stone.shared)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return stone

    def every(self) -> tuple[Tombstone, ...]:
        """All of them, oldest first. The deed of a line that a crash has cut short was never begun."""
        found = (_LINE.fullmatch(line) for line in self._lines()[1:])
        return tuple(Tombstone(line["mark"], line["digest"], Shared(line["shared"])) for line in found if line)

    def matched(self, stones: Iterable[Tombstone], members: Iterable[int]) -> dict[int, Tombstone]:
        """Those of the members for whom one of the stones stands; of several the last counts."""
        by_digest = {stone.digest: stone for stone in stones}
        salt = self._salt()
        hashed = ((member, by_digest.get(_digest(salt, member))) for member in members)
        return {member: stone for member, stone in hashed if stone is not None}

    def _salt(self) -> str:
        first = _SALT.fullmatch(next(iter(self._lines()), ""))
        return first[1] if first else ""

    def _lines(self) -> list[str]:
        return self._path.read_text(encoding="ascii").splitlines() if self._path.is_file() else []


def _digest(salt: str, member_id: int) -> str:
    return hashlib.scrypt(str(member_id).encode(), salt=bytes.fromhex(salt), dklen=24, **_WORK).hex()
