"""The hashes by which the field knows an adapter file: shared/reference/lora_formats.md §1.6."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_PART = (0x100000, 0x10000)  # AutoV1's: where it begins, how long it is


@dataclass(frozen=True, slots=True)
class Hashes:
    """In hexadecimal, of the file and of the bytes behind its header; AutoV1 is 8 digits of 64 KiB in between."""

    sha256: str
    tensor_sha256: str
    autov1: str


def hashes_of(data: bytes | bytearray, data_start: int) -> Hashes:
    """Of a file in memory."""
    view = memoryview(data)
    whole, tensors = hashlib.sha256(view).hexdigest(), hashlib.sha256(view[data_start:]).hexdigest()
    return Hashes(whole, tensors, hashlib.sha256(view[_PART[0] : sum(_PART)]).hexdigest()[:8])


def hashes_of_file(path: Path, data_start: int) -> Hashes:
    """Without holding more than a megabyte of it."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as file:
        whole.update(file.read(data_start))
        while block := file.read(1 << 20):
            whole.update(block)
            tensors.update(block)
        file.seek(_PART[0])
        part = hashlib.sha256(file.read(_PART[1]))
    return Hashes(whole.hexdigest(), tensors.hexdigest(), part.hexdigest()[:8])
