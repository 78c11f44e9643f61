"""A strict reader of safetensors headers. No tensor is touched and no torch is needed.

The library accepts what the format forbids (duplicate names, odd names, trailing bytes, unknown fields:
shared/reference/reliability_security.md §0), so every file is checked here before it sees one.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AdapterInvalid

MAX_HEADER = 8 << 20  # bytes; legal headers near the library's own 100 MB cap cost gigabytes to parse
MAX_TENSORS = 8192
MAX_METADATA = 4 << 20  # bytes; kohya's tag frequencies can be long
MAX_METADATA_KEYS = 256
MAX_NAME = 256
MAX_DIMENSIONS = 4

DTYPES: Mapping[str, int] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK", "a zip or a PyTorch checkpoint"),
    (b"\x80", "a Python pickle"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"GGUF", "a GGUF model"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"%PDF", "a PDF"),
    (b"<", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of the header; `start` and `end` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header. `data_start` is where the tensor bytes begin in the file."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]
    data_start: int


def read_header(path: Path) -> Header:
    """The header of a file that is a valid safetensors file throughout. Raises AdapterInvalid, saying why not."""
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            return _read(file.read(8), file, size)
    except OSError as error:
        raise AdapterInvalid(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _read(prefix: bytes, file: Any, size: int) -> Header:
    name = Path(file.name).name
    for magic, what in _MAGIC:
        if prefix.startswith(magic[:8]) and not (len(prefix) == 8 and _plausible(prefix, size)):
            raise AdapterInvalid(f"{name} is {what}; only .safetensors files are taken.")
    if len(prefix) < 8:
        raise AdapterInvalid(f"{name} has {size} bytes; that is too short for a safetensors file.")
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise AdapterInvalid(
            f"{name} declares a header of {length} bytes; {MAX_HEADER} is the most, so it is damaged or hostile."
        )
    if length < 2 or 8 + length > size:
        raise AdapterInvalid(
            f"{name} is cut off or no safetensors file: its header of {length} bytes does not fit {size} bytes."
        )
    return parse_header(file.read(length), size - 8 - length, name)


def parse_header(text: bytes, data_size: int, name: str) -> Header:
    """The checked header for `data_size` bytes of tensor data."""
    if not text.startswith(b"{"):
        raise AdapterInvalid(f"{name} is no safetensors file: its header does not start with a brace.")
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise AdapterInvalid(f"The header of {name} cannot be read: {error}.") from error
    metadata = _metadata(document.pop("__metadata__", {}), name)
    if not document:
        raise AdapterInvalid(f"{name} holds no tensors.")
    if len(document) > MAX_TENSORS:
        raise AdapterInvalid(f"{name} holds {len(document)} tensors; {MAX_TENSORS} is the most.")
    tensors = {key: _tensor(key, entry, name) for key, entry in document.items()}
    _check_tiling(tensors, data_size, name)
    return Header(tensors, metadata, 8 + len(text))


def _plausible(prefix: bytes, size: int) -> bool:
    """Whether the eight bytes are a header length after all: a header of 20,558 bytes starts with b'NP', and so on."""
    return 2 <= int.from_bytes(prefix, "little") <= min(MAX_HEADER, size - 8)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands there twice")
    return document


def _no_constants(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _metadata(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise AdapterInvalid(f"The metadata of {name} must be texts by name.")
    if len(value) > MAX_METADATA_KEYS or sum(len(k) + len(v) for k, v in value.items()) > MAX_METADATA:
        raise AdapterInvalid(
            f"The metadata of {name} is larger than {MAX_METADATA_KEYS} keys or {MAX_METADATA} characters."
        )
    return value


def _tensor(key: str, entry: Any, name: str) -> TensorEntry:
    def refuse(why: str) -> AdapterInvalid:
        return AdapterInvalid(f"Tensor {key[:80]!r} of {name} {why}.")

    if not key or len(key) > MAX_NAME or not key.isascii() or not key.isprintable():
        raise refuse("has no proper name")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse("needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise refuse(f"has the unknown type {str(dtype)[:20]}")
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS:
        raise refuse(f"has a shape that is no list of up to {MAX_DIMENSIONS} sizes")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise refuse("has broken data offsets")
    if math.prod(shape) * DTYPES[dtype] != offsets[1] - offsets[0]:
        raise refuse(f"says {dtype} {shape} but spans {offsets[1] - offsets[0]} bytes")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and v >= 0 for v in value)


def _check_tiling(tensors: Mapping[str, TensorEntry], data_size: int, name: str) -> None:
    reached = 0
    for key, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != reached:
            raise AdapterInvalid(f"{name} is damaged: there is a hole or an overlap before tensor {key!r}.")
        reached = entry.end
    if reached != data_size:
        raise AdapterInvalid(f"{name} is damaged: its tensors span {reached} bytes, the file holds {data_size}.")
