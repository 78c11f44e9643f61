"""A strict reader of safetensors headers. No tensor is touched and no torch is needed.

The library accepts what the format forbids (duplicate names, odd names, trailing bytes, unknown fields:
shared/reference/reliability_security.md §0), so every file is checked here before it sees one.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import AdapterInvalid
from .magic import LOOKED_AT, other_kind

MAX_FILE = 8 << 30  # bytes; all layers of SDXL as full differences are 5 GB
MAX_HEADER = 8 << 20  # bytes; legal headers near the library's own 100 MB cap cost gigabytes to parse
MAX_TENSORS = 8192
MAX_METADATA = 4 << 20  # bytes; kohya's tag frequencies can be long
MAX_METADATA_KEYS = 1024  # the first format of all states the rank of each layer
MAX_NAME = 256
MAX_DIMENSIONS = 4
MAX_SIDE = 1 << 31  # of a shape; a tensor with no numbers in it could claim any

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
_UPWARDS = re.compile(r"(?:^|[/\\])\.\.(?:[/\\]|$)")  # names are keys here and never paths; elsewhere they may be
_SURROGATE = re.compile("[\ud800-\udfff]")


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
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
            raise AdapterInvalid(f"{path.name} is no file.")
        with open(path, "rb") as file:
            return _read(file, state.st_size, path.name)
    except OSError as error:
        raise AdapterInvalid(f"{path.name} cannot be read: {error.strerror or error}.") from error


def _read(file: BinaryIO, size: int, name: str) -> Header:
    """Nothing is allocated for what the first eight bytes claim before that fits the file and the cap."""
    if size > MAX_FILE:
        raise AdapterInvalid(f"{name} has {size} bytes; {MAX_FILE} is the most that an adapter may have.")
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    fits = len(prefix) == 8 and 2 <= length <= size - 8
    text = file.read(length) if fits and length <= MAX_HEADER else b""
    if text.startswith(b"{"):
        return parse_header(text, size - 8 - length, name)
    file.seek(0)
    kind = other_kind(file.read(LOOKED_AT))
    if kind:
        raise AdapterInvalid(f"{name} is {kind}; only .safetensors files are taken.")
    if len(prefix) < 8:
        raise AdapterInvalid(f"{name} has {size} bytes; that is too short for a safetensors file.")
    if length > MAX_HEADER:
        raise AdapterInvalid(
            f"{name} declares a header of {length} bytes; {MAX_HEADER} is the most, so it is damaged or hostile."
        )
    if not fits:
        raise AdapterInvalid(
            f"{name} is cut off or no safetensors file: its header of {length} bytes does not fit {size} bytes."
        )
    raise AdapterInvalid(f"{name} is no safetensors file: its header does not start with a brace.")


def parse_header(text: bytes, data_size: int, name: str) -> Header:
    """The checked header for `data_size` bytes of tensor data."""
    if not text.startswith(b"{") or not text.rstrip(b" ").endswith(b"}"):
        raise AdapterInvalid(f"{name} is no safetensors file: its header is no object in braces.")
    _check_amount(text, name)
    try:
        document = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_natural,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
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


def _check_amount(text: bytes, name: str) -> None:
    """The JSON holds no more objects, lists and values than a header may: they are counted before any is made.

    A legal header of 8 MiB could else be three million empty lists, which Python keeps in 300 MB.
    """
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    many = unescaped.count(b'"') > 10 * MAX_TENSORS + 4 * MAX_METADATA_KEYS + 2  # five texts a tensor
    if not many:
        bones = b"".join(unescaped.split(b'"')[::2])  # what stands outside of texts
        many = bones.count(b"{") + bones.count(b"[") > 3 * MAX_TENSORS + 2
        many |= bones.count(b",") > 8 * MAX_TENSORS + MAX_METADATA_KEYS
    if many:
        raise AdapterInvalid(
            f"The header of {name} holds more than {MAX_TENSORS} tensors and {MAX_METADATA_KEYS} metadata keys make."
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise ValueError(f"the key {name[:60]!r} stands there twice")
        document[name] = value
    return document


def _natural(text: str) -> int:
    if text.startswith("-") or len(text) > 19:
        raise ValueError(f"{text[:30]} is no size and no offset")
    return int(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:30]} is no whole number")


def _metadata(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise AdapterInvalid(f"The metadata of {name} must be texts by name.")
    if len(value) > MAX_METADATA_KEYS or sum(len(k) + len(v) for k, v in value.items()) > MAX_METADATA:
        raise AdapterInvalid(
            f"The metadata of {name} is larger than {MAX_METADATA_KEYS} keys or {MAX_METADATA} characters."
        )
    if any(_SURROGATE.search(key) or _SURROGATE.search(text) for key, text in value.items()):
        raise AdapterInvalid(f"The metadata of {name} holds half a character, which is no Unicode text.")
    return value


def _tensor(key: str, entry: Any, name: str) -> TensorEntry:
    def refuse(why: str) -> AdapterInvalid:
        return AdapterInvalid(f"Tensor {key[:80]!r} of {name} {why}.")

    if not key or len(key) > MAX_NAME or not key.isascii() or not key.isprintable() or _UPWARDS.search(key):
        raise refuse("has no proper name")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse("needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise refuse(f"has the unknown type {str(dtype)[:20]}")
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS or any(side > MAX_SIDE for side in shape):
        raise refuse(f"has a shape that is no list of up to {MAX_DIMENSIONS} sizes")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise refuse("has broken data offsets")
    if math.prod(shape) * DTYPES[dtype] != offsets[1] - offsets[0]:
        raise refuse(f"says {dtype} {shape} but spans {offsets[1] - offsets[0]} bytes")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int for v in value)  # none is negative: _natural


def _check_tiling(tensors: Mapping[str, TensorEntry], data_size: int, name: str) -> None:
    reached = 0
    for key, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != reached:
            raise AdapterInvalid(f"{name} is damaged: there is a hole or an overlap before tensor {key!r}.")
        reached = entry.end
    if reached != data_size:
        raise AdapterInvalid(f"{name} is damaged: its tensors span {reached} bytes, the file holds {data_size}.")
