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
from tests.faults.headers import library_accepts
from tests.faults.oracle import why_invalid

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
    "a name that leads upwards": header_of(**{"../../x": GOOD["a"]}),
    "a name that leads upwards on Windows": header_of(**{"a\\..\\x": GOOD["a"]}),
    "a name that is two dots": header_of(**{"..": GOOD["a"]}),
    "a control character in the name": header_of(**{"a\x1b[2J": GOOD["a"]}),
    "a thousand dimensions": header_of(a={"dtype": "F32", "shape": [1] * 999 + [2], "data_offsets": [0, 8]}),
    "an empty tensor of a side of 2^63-1": header_of(
        a=GOOD["a"], b={"dtype": "F32", "shape": [0, 2**63 - 1], "data_offsets": [8, 8]}
    ),
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
    "a field twice": b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "a field that is missing": header_of(a={"dtype": "F32", "shape": [2]}),
    "three offsets": header_of(a={"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}),
    "a size as a text": header_of(a={"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}),
    "a size with an exponent": b'{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}',
    "a size with a zero before it": b'{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}',
    "a size of forty digits": header_of(a={"dtype": "F32", "shape": [10**40], "data_offsets": [0, 8]}),
    "infinity": b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,8]}}',
    "a comma too many": b'{"a":' + ENTRY + b",}",
    "a comment": b'{/**/"a":' + ENTRY + b"}",
    "text in UTF-16": b"{" + header_of(**GOOD)[1:].decode().encode("utf-16-le"),
    "a line end in a text": b'{"__metadata__":{"k":"a\nb"},"a":' + ENTRY + b"}",
    "a type in small letters": header_of(a={"dtype": "f32", "shape": [2], "data_offsets": [0, 8]}),
    "a type of half a byte": header_of(a={"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}),
    "metadata twice": b'{"__metadata__":{},"__metadata__":{"k":"v"},"a":' + ENTRY + b"}",
    "metadata within metadata": header_of(__metadata__={"k": {"k": "v"}}, **GOOD),
    "too many tensors": header_of(
        **GOOD, **{f"b{i}": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]} for i in range(8192)}
    ),
    "a header of spaces behind nothing": b"{" + b" " * 100,
}
# of reliability_security.md, 0.1: what the library takes (NaN, infinity and wrong truths in tensors: test_validation)
TAKEN_BY_THE_LIBRARY = (
    "duplicate tensor",
    "duplicate metadata key",
    "unknown field",
    "empty name",
    "NUL in the name",
    "a name that leads upwards",
    "a thousand dimensions",
    "an empty tensor of a side of 2^63-1",
)


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_headers_are_refused(what: str, tmp_path: Path) -> None:
    """One thing wrong is enough, and the reader that knows nothing of ours says so too."""
    path = file_of(tmp_path / "x", HOSTILE[what], bytes(8))
    with pytest.raises(AdapterInvalid):
        read_header(path)
    assert why_invalid(path.read_bytes())


@pytest.mark.parametrize("what", TAKEN_BY_THE_LIBRARY)
def test_what_the_library_takes_is_why_there_is_a_check_of_our_own(what: str, tmp_path: Path) -> None:
    """Should a release refuse these, the comparison with it says less than it seems to."""
    assert library_accepts(file_of(tmp_path / "x", HOSTILE[what], bytes(8)).read_bytes())


def test_the_hostile_headers_are_many_and_each_has_one_fault(tmp_path: Path) -> None:
    """More than forty that differ, and the same header without a fault is taken by all three."""
    assert len(set(HOSTILE.values())) == len(HOSTILE) > 40
    path = file_of(tmp_path / "x", header_of(__metadata__={"k": "v"}, **GOOD) + b"  ", bytes(8))
    assert read_header(path).tensors
    assert library_accepts(path.read_bytes())
    assert why_invalid(path.read_bytes()) == ""


@pytest.mark.parametrize("name", ["a..b", "...", "..a/b", "a/b..", "a/b", "<s1>", "C:x"])
def test_dots_and_slashes_are_no_way_upwards(name: str, tmp_path: Path) -> None:
    """Only a whole part of a path that is two dots is; names are never used as paths here."""
    path = file_of(tmp_path / "x", header_of(**{name: GOOD["a"]}), bytes(8))
    assert name in read_header(path).tensors
    assert why_invalid(path.read_bytes()) == ""


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
