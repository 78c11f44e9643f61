"""The strict safetensors check: what the library lets through is refused here, and real files are not."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from engine import AdapterInvalid
from engine.adapters.header import MAX_HEADER, parse_header, read_header

ENTRY = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def file_of(path: Path, header: bytes, data: bytes, length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def header_of(**tensors: Any) -> bytes:
    return json.dumps(tensors).encode()


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    """Names, shapes and metadata come out as they were written, by the library itself."""
    save_file({"a": torch.ones(2, 3), "b": torch.ones(0)}, tmp_path / "x.safetensors", metadata={"ss_output_name": "x"})
    header = read_header(tmp_path / "x.safetensors")
    assert header.tensors["a"].shape == (2, 3)
    assert header.metadata == {"ss_output_name": "x"}


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32, 2**63, 2**64 - 1, MAX_HEADER, MAX_HEADER + 1, 10_000])
def test_a_header_length_that_cannot_be_is_refused(length: int, tmp_path: Path) -> None:
    """Whatever the first eight bytes claim, nothing is allocated for it."""
    with pytest.raises(AdapterInvalid):
        read_header(file_of(tmp_path / "x", json.dumps(GOOD).encode(), bytes(8), length))


HOSTILE = {
    "duplicate tensor": b'{"a":' + ENTRY + b',"a":' + ENTRY + b"}",
    "duplicate metadata key": b'{"__metadata__":{"k":"1","k":"2"},"a":' + ENTRY + b"}",
    "leading space": b' {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "unknown field": header_of(a=GOOD["a"] | {"more": 1}),
    "no tensors": b"{}",
    "empty name": header_of(**{"": GOOD["a"]}),
    "NUL in the name": header_of(**{"a\0b": GOOD["a"]}),
    "hole": header_of(a={"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}),
    "trailing bytes": header_of(a={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
    "overlap": header_of(a=GOOD["a"], b={"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}),
    "end before begin": header_of(a={"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}),
    "shape against span": header_of(a={"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}),
    "overflowing shape": header_of(a={"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}),
    "negative size": header_of(a={"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}),
    "boolean offset": header_of(a={"dtype": "F32", "shape": [2], "data_offsets": [False, 8]}),
    "unknown type": header_of(a={"dtype": "F33", "shape": [2], "data_offsets": [0, 8]}),
    "five dimensions": header_of(a={"dtype": "F32", "shape": [1, 1, 1, 1, 2], "data_offsets": [0, 8]}),
    "metadata that is no text": header_of(__metadata__={"k": 1}, **GOOD),
    "NaN": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}',
    "deep nesting": b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "not UTF-8": b'{"\xff":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "a list": b"[]",
    "NUL as padding": header_of(**GOOD) + b"\0",
    "a line end as padding": header_of(**GOOD) + b"\n",
    "something behind the object": header_of(**GOOD) + b"{}",
    "a size with a sign": b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]},"b":' + ENTRY + b"}",
    "a size as a fraction": b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}',
    "an empty tensor of giant sides": header_of(
        a=GOOD["a"], b={"dtype": "F32", "shape": [0, 2**62], "data_offsets": [8, 8]}
    ),
    "half a character": b'{"__metadata__":{"k":"\\ud800"},"a":' + ENTRY + b"}",
    "a name that is no ASCII": header_of(é=GOOD["a"]),
    "a name too long": header_of(**{"a" * 257: GOOD["a"]}),
    "too many metadata keys": header_of(__metadata__={str(i): "" for i in range(1025)}, **GOOD),
    "a byte order mark": b"\xef\xbb\xbf" + header_of(**GOOD),
    "metadata that is null": header_of(__metadata__=None, **GOOD),
    "an entry that is a list": header_of(a=[1, 2, 3]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_headers_are_refused(what: str, tmp_path: Path) -> None:
    """One thing wrong is enough."""
    with pytest.raises(AdapterInvalid):
        read_header(file_of(tmp_path / "x", HOSTILE[what], bytes(8)))


def oracle_accepts(text: bytes, size: int) -> bool:
    """An independent reading of the format, by counting which byte belongs to which tensor."""
    names: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: names.extend(k for k, _ in pairs) or dict(pairs))
    except ValueError:
        return False
    if not isinstance(document, dict) or not text.startswith(b"{"):
        return False
    owners = [0] * size
    for entry in document.values():
        begin, end = entry["data_offsets"]
        if not 0 <= begin <= end <= size or entry["shape"][0] * 4 != end - begin:
            return False
        for i in range(begin, end):
            owners[i] += 1
    top = [name for name in names if name in ("t0", "t1", "t2")]
    return bool(document) and len(top) == len(set(top)) and all(count == 1 for count in owners)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["t0", "t1", "t2"]), st.integers(0, 16), st.integers(0, 16), st.integers(0, 4)),
        max_size=3,
    ),
    st.integers(0, 16),
)
def test_tilings_are_accepted_exactly_when_every_byte_has_one_owner(
    entries: list[tuple[str, int, int, int]], size: int
) -> None:
    """Agrees in both directions with an oracle that counts bytes."""
    body = ",".join(f'"{name}":{{"dtype":"F32","shape":[{n}],"data_offsets":[{a},{b}]}}' for name, a, b, n in entries)
    text = b"{" + body.encode() + b"}"
    try:
        parse_header(text, size, "x")
        accepted = True
    except AdapterInvalid:
        accepted = False
    assert accepted == oracle_accepts(text, size)
