"""Whether bytes are a safetensors file, decided a second time: from the format's description, with a JSON reader of its
own. Nothing of the engine is imported, so that the two cannot be wrong together.

The format: eight bytes, little-endian, the length of the header; the header, one JSON object in UTF-8 that begins with
a brace, spaces may follow; then the tensors. An entry has dtype, shape and data_offsets; `__metadata__` maps texts to
texts; the tensors fill the rest of the file without holes. Names are unique (https://github.com/huggingface/safetensors).
The limits are the bot's own (issue 3): 8 MiB of header, 8192 tensors, 1024 metadata keys and 4 MiB of metadata, names
of 1 to 256 printable ASCII characters that as paths lead nowhere up, 4 dimensions, sides up to 2^31.
"""

from __future__ import annotations

from typing import NamedTuple

SIZES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
SIZES |= dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1)


class Invalid(Exception):
    """Why it is none."""


class Object(NamedTuple):
    pairs: list[tuple[str, object]]


def why_invalid(data: bytes) -> str:
    """The reason, or "" for a valid file."""
    try:
        _check(data)
    except Invalid as error:
        return str(error)
    return ""


def _check(data: bytes) -> None:
    if len(data) < 10:
        raise Invalid("too short")
    length = sum(byte << 8 * i for i, byte in enumerate(data[:8]))
    if length > 8 * 1024 * 1024 or 8 + length > len(data):
        raise Invalid("header length")
    header = data[8 : 8 + length]
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid("no UTF-8") from error
    if not text.startswith("{"):
        raise Invalid("first byte")
    document, end = _value(text, 0, 0)
    if text[end:].strip(" "):
        raise Invalid("something behind the object")
    assert isinstance(document, Object)
    names = [name for name, _ in document.pairs]
    if len(set(names)) < len(names):
        raise Invalid("a name twice")
    entries = [(name, value) for name, value in document.pairs if name != "__metadata__"]
    for name, value in document.pairs:
        if name == "__metadata__":
            _check_metadata(value)
    if not 1 <= len(entries) <= 8192:
        raise Invalid("number of tensors")
    owned = [_span(name, value) for name, value in entries]
    reached = 0
    for begin, end in sorted(owned):
        if begin != reached:
            raise Invalid("a hole or an overlap")
        reached = end
    if reached != len(data) - 8 - length:
        raise Invalid("not as long as its tensors")


def _check_metadata(value: object) -> None:
    if not isinstance(value, Object) or any(not isinstance(text, str) for _, text in value.pairs):
        raise Invalid("metadata is no map of texts")
    keys = [key for key, _ in value.pairs]
    if len(set(keys)) < len(keys):
        raise Invalid("a metadata key twice")
    if len(keys) > 1024 or sum(len(key) + len(str(text)) for key, text in value.pairs) > 4 * 1024 * 1024:
        raise Invalid("too much metadata")
    for key, text in value.pairs:
        if any(0xD800 <= ord(c) <= 0xDFFF for c in key + str(text)):
            raise Invalid("half a character")


def _span(name: str, value: object) -> tuple[int, int]:
    if not 1 <= len(name) <= 256 or any(not 32 <= ord(c) <= 126 for c in name):
        raise Invalid("name")
    if ".." in name.replace("\\", "/").split("/"):
        raise Invalid("a path")
    if not isinstance(value, Object) or sorted(key for key, _ in value.pairs) != ["data_offsets", "dtype", "shape"]:
        raise Invalid("fields")
    entry = dict(value.pairs)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise Invalid("dtype")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(n) is not int for n in numbers):
            raise Invalid("numbers")
    assert isinstance(shape, list)
    assert isinstance(offsets, list)
    if len(shape) > 4 or any(side > 2**31 for side in shape) or len(offsets) != 2:
        raise Invalid("shape or offsets")
    count = SIZES[dtype]
    for side in shape:
        count *= side
    if offsets[1] - offsets[0] != count:
        raise Invalid("span")
    return offsets[0], offsets[1]


# ---------------------------------------------------------------------------------- JSON by RFC 8259


def _value(text: str, at: int, depth: int) -> tuple[object, int]:
    """(value, where it ends). Objects keep their pairs; numbers other than naturals are refused, no field has one."""
    if depth > 100:
        raise Invalid("too deep")
    c = text[at : at + 1]
    if c == '"':
        return _string(text, at)
    if c == "{":
        return _members(text, at, depth)
    if c == "[":
        return _items(text, at, depth)
    if c and c in "0123456789":
        end = at
        while text[end : end + 1] in tuple("0123456789"):
            end += 1
        if (c == "0" and end > at + 1) or text[end : end + 1] in (".", "e", "E") or end - at > 19:
            raise Invalid("number")
        return int(text[at:end]), end
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
    raise Invalid("no JSON")


def _space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _members(text: str, at: int, depth: int) -> tuple[Object, int]:
    pairs: list[tuple[str, object]] = []
    at = _space(text, at + 1)
    if text[at : at + 1] == "}":
        return Object(pairs), at + 1
    while True:
        if text[at : at + 1] != '"':
            raise Invalid("no JSON: a key")
        key, at = _string(text, at)
        at = _space(text, at)
        if text[at : at + 1] != ":":
            raise Invalid("no JSON: a colon")
        value, at = _value(text, _space(text, at + 1), depth + 1)
        pairs.append((key, value))
        at = _space(text, at)
        if text[at : at + 1] == "}":
            return Object(pairs), at + 1
        if text[at : at + 1] != ",":
            raise Invalid("no JSON: a comma")
        at = _space(text, at + 1)


def _items(text: str, at: int, depth: int) -> tuple[list[object], int]:
    items: list[object] = []
    at = _space(text, at + 1)
    if text[at : at + 1] == "]":
        return items, at + 1
    while True:
        value, at = _value(text, at, depth + 1)
        items.append(value)
        at = _space(text, at)
        if text[at : at + 1] == "]":
            return items, at + 1
        if text[at : at + 1] != ",":
            raise Invalid("no JSON: a comma")
        at = _space(text, at + 1)


ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _string(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    at += 1
    while True:
        c = text[at : at + 1]
        if c == '"':
            return _joined("".join(parts)), at + 1
        if c == "" or ord(c) < 32:
            raise Invalid("no JSON: a text")
        if c != "\\":
            parts.append(c)
            at += 1
            continue
        escape = text[at + 1 : at + 2]
        if escape == "u":
            digits = text[at + 2 : at + 6]
            if len(digits) != 4 or any(d not in "0123456789abcdefABCDEF" for d in digits):
                raise Invalid("no JSON: an escape")
            parts.append(chr(int(digits, 16)))
            at += 6
        elif escape in ESCAPES and escape:
            parts.append(ESCAPES[escape])
            at += 2
        else:
            raise Invalid("no JSON: an escape")


def _joined(text: str) -> str:
    """Pairs of surrogates are one character; halves stay."""
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if _paired(text) else text


def _paired(text: str) -> bool:
    i = 0
    while i < len(text):
        if 0xD800 <= ord(text[i]) <= 0xDBFF and i + 1 < len(text) and 0xDC00 <= ord(text[i + 1]) <= 0xDFFF:
            i += 2
        elif 0xD800 <= ord(text[i]) <= 0xDFFF:
            return False
        else:
            i += 1
    return True
