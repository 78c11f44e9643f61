"""Small adapter files as trainers write them, and mutants of them: damaged, only odd, or as good as before."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy
from safetensors.numpy import save

Document = dict[str, Any]
KOHYA = "lora_unet_down_blocks_{}_attentions_0_transformer_blocks_0_attn{}_to_{}"
LDM = "lora_unet_input_blocks_{}_1_transformer_blocks_0_attn{}_to_{}"
PEFT = "unet.down_blocks.{}.attentions.0.transformer_blocks.0.attn{}.to_{}"
TEXT = "lora_te1_text_model_encoder_layers_{}_self_attn{}_{}_proj"
ROLES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "LoRA": {"lora_up.weight": (8, 2), "lora_down.weight": (2, 8), "alpha": ()},
    "LoCon": {"lora_up.weight": (8, 2, 1, 1), "lora_down.weight": (2, 8, 3, 3), "alpha": (1,)},
    "LoHa": {"hada_w1_a": (8, 2), "hada_w1_b": (2, 8), "hada_w2_a": (8, 2), "hada_w2_b": (2, 8), "alpha": ()},
    "LoKr": {"lokr_w1": (2, 2), "lokr_w2": (4, 4), "alpha": ()},
    "IA3": {"weight": (8,), "on_input": ()},
    "OFT": {"oft_blocks": (2, 4, 4), "alpha": ()},
    "DoRA": {"lora_up.weight": (8, 2), "lora_down.weight": (2, 8), "dora_scale": (8, 1), "alpha": ()},
    "full": {"diff": (8, 8), "diff_b": (8,)},
}
METADATA: tuple[dict[str, str] | None, ...] = (
    None,
    {"format": "pt"},
    {
        "ss_tag_frequency": json.dumps({"10_moss": {"moss, \\(mossy\\)": 12, "grün “✿”": 3}}),
        "ss_sd_model_name": 'C:\\models\\"base".safetensors',
        "ss_network_args": json.dumps({"algo": "loha", "conv_dim": 8}),
        "ss_bucket_info": json.dumps({"buckets": {"0": {"resolution": [512, 512], "count": 3}}}),
        "sshs_model_hash": "ab" * 32,
    },
    {"modelspec.title": "苔 🌿", "modelspec.trigger_phrase": "moss\nstyle\u0000", "": "empty"},
)


def seeds() -> list[bytes]:
    """Twenty-four valid files: formats, spellings, types and metadata in turn, written by the library itself."""
    found = []
    for i, (spelling, metadata) in enumerate((s, m) for s in (KOHYA, LDM, PEFT, TEXT) for m in METADATA):
        for half in range(2) if i < 8 else (0,):
            roles = list(ROLES.values())[(2 * i + half) % len(ROLES)]
            dtype = (numpy.float32, numpy.float16)[(i + half) % 2]
            tensors = {
                f"{spelling.format(layer, 1, part)}.{role}": numpy.ones(shape, dtype)
                for layer in (1, 2)
                for part in ("q", "k")
                for role, shape in roles.items()
            }
            found.append(save(tensors, metadata))
    return found


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """`count` files; each is a valid one changed once, or now and then twice."""
    rand = random.Random(seed)
    files = seeds()
    for _ in range(count):
        data = rand.choice(files)
        for _ in range(1 if rand.random() < 0.8 else 2):
            data = rand.choice(CHANGES)(data, rand)
        yield data


def _split(data: bytes) -> tuple[bytes, bytes]:
    length = min(int.from_bytes(data[:8], "little"), max(0, len(data) - 8))
    return data[8 : 8 + length], data[8 + length :]


def _joined(header: bytes, tensors: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + tensors


def _in_header(change: Callable[[bytearray, int, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def changed(data: bytes, rand: random.Random) -> bytes:
        header, tensors = _split(data)
        text = bytearray(header)
        if text:
            change(text, rand.randrange(len(text)), rand)
        return _joined(bytes(text), tensors)

    return changed


def _flip(text: bytearray, at: int, rand: random.Random) -> None:
    text[at] ^= 1 << rand.randrange(8)


def _overwrite(text: bytearray, at: int, rand: random.Random) -> None:
    text[at] = rand.choice(b'{}[]",:0123456789 \t\n\\x-.eE\x00\x7f\xc3\xff')


def _cut(text: bytearray, at: int, rand: random.Random) -> None:
    del text[at : at + rand.choice((1, 1, 2, 8, 40))]


def _repeat(text: bytearray, at: int, rand: random.Random) -> None:
    text[at:at] = text[at : at + rand.choice((1, 2, 10, 60, 200))]


def _insert(text: bytearray, at: int, rand: random.Random) -> None:
    text[at:at] = rand.choice(
        (
            b" ",
            b"\n",
            b"\t",
            b"\r",
            b"0",
            b"-",
            b"+",
            b".0",
            b"e0",
            b",",
            b'"',
            b"\\",
            b"\\u0041",
            b"\\ud83c",
            b"\\u0000",
            b"\xef\xbb\xbf",
            b"NaN",
            b"null",
            b"true",
            b"[]",
            b"{}",
            b'"a":1,',
            b"/**/",
            b"\xe2\x9c\xbf",
            b"\xed\xa0\x80",
        )
    )


def _digit(text: bytearray, at: int, rand: random.Random) -> None:
    places = [i for i, byte in enumerate(text) if byte in b"0123456789"]
    if places:
        text[rand.choice(places)] = rand.choice(b"0123456789")


def _space_between(text: bytearray, at: int, rand: random.Random) -> None:
    places = [i for i, byte in enumerate(text) if byte in b'{}[],:"']
    if places:
        at = rand.choice(places) + rand.randrange(2)
        text[at:at] = rand.choice((b" ", b"  ", b"\n", b"\t", b"\r\n"))


def _escape_a_letter(text: bytearray, at: int, rand: random.Random) -> None:
    places = [i for i, byte in enumerate(text) if chr(byte).isalpha() and byte < 128]
    if places:
        at = rand.choice(places)
        text[at : at + 1] = b"\\u%04x" % text[at]


def _pad(data: bytes, rand: random.Random) -> bytes:
    header, tensors = _split(data)
    filler = rand.choice((b" ", b"        ", b"\n", b"\t", b"\0", b" \n", b"}", b"x"))
    return _joined(rand.choice((header + filler, header + filler, filler + header)), tensors)


def _length(data: bytes, rand: random.Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    wrong = (0, 1, 2, 7, 8, length - 1, length + 1, len(data) - 8, len(data) - 7, len(data), 8 << 20, (8 << 20) + 1,
             2**31, 2**32, 2**63, 2**64 - 1)  # fmt: skip
    return (max(0, rand.choice(wrong)) % 2**64).to_bytes(8, "little") + data[8:]


def _ends(data: bytes, rand: random.Random) -> bytes:
    cut = rand.choice((1, 2, 4, 8, 64))
    other = rand.choice((b"\0", b"PK\x03\x04" + bytes(30), b"PK\x05\x06" + bytes(18), b"<html>", b"%PDF-1.7", bytes(8)))
    return rand.choice((data[:-cut], data[: rand.randrange(len(data))], data + other, other + data))


def _document(data: bytes, rand: random.Random) -> bytes:
    """The header as an object, changed, and written again: what byte changes hardly ever reach."""
    header, tensors = _split(data)
    try:
        document = json.loads(header)
        names = [name for name in document if name != "__metadata__"]
        rand.choice(DOCUMENT_CHANGES)(document, names, rand)
    except (ValueError, AttributeError, TypeError, IndexError, KeyError, RecursionError):
        return data  # it was changed beyond reading before
    style: dict[str, Any] = rand.choice(({}, {"separators": (",", ":")}, {"ensure_ascii": False}))
    return _joined(json.dumps(document, **style).encode("utf-8", "surrogatepass"), tensors)


def _reorder(document: Document, names: list[str], rand: random.Random) -> None:
    items = list(document.items())
    rand.shuffle(items)
    document.clear()
    document.update(items)


def _swap_offsets(document: Document, names: list[str], rand: random.Random) -> None:
    first, second = rand.choice(names), rand.choice(names)
    one, other = document[first]["data_offsets"], document[second]["data_offsets"]
    document[first]["data_offsets"], document[second]["data_offsets"] = other, one


def _change_number(document: Document, names: list[str], rand: random.Random) -> None:
    entry = document[rand.choice(names)]
    numbers = entry[rand.choice(("shape", "data_offsets"))]
    wrong: list[Any] = [-1, 0, 1, 2, 2**31, 2**31 + 1, 2**63, 2**64, 2**64 - 8, 10**30, 1.0, True, None, "2", [2], -0.0]
    if numbers:
        at = rand.randrange(len(numbers))
        numbers[at] = rand.choice([*wrong, numbers[at] + 1, numbers[at] - 1, float(numbers[at])])


def _change_shape(document: Document, names: list[str], rand: random.Random) -> None:
    entry = document[rand.choice(names)]
    shape = entry["shape"]
    total = 1
    for side in shape:
        total *= side
    entry["shape"] = rand.choice(
        ([total], [1, total], [total, 1, 1, 1], [1, 1, 1, 1, total], shape[::-1], [*shape, 1], [*shape, 0], [], [0])
    )


def _change_dtype(document: Document, names: list[str], rand: random.Random) -> None:
    entry = document[rand.choice(names)]
    entry["dtype"] = rand.choice(
        ("F16", "BF16", "I16", "F32", "I32", "F64", "U8", "F33", "f32", "", None, 4, ["F32"], "F4")
    )


def _change_fields(document: Document, names: list[str], rand: random.Random) -> None:
    entry = document[rand.choice(names)]
    if rand.random() < 0.5:
        entry[rand.choice(("more", "strides", "", "Dtype"))] = rand.choice((0, "", None, []))
    else:
        del entry[rand.choice(sorted(entry))]


def _rename(document: Document, names: list[str], rand: random.Random) -> None:
    name = rand.choice(names)
    new = (
        "",
        "\0",
        "a\nb",
        "../../x",
        "é",
        "a" * 256,
        "a" * 257,
        " ",
        "\x7f",
        "\ud800",
        name + ".",
        "__metadata__",
        "<b>",
    )
    document[rand.choice(new)] = document.pop(name)


def _add_empty(document: Document, names: list[str], rand: random.Random) -> None:
    """A tensor of no numbers, where it may stand or where it may not."""
    places = [end for name in names for end in document[name]["data_offsets"]]
    at = rand.choice((*places, 1, 3))
    document["empty"] = {
        "dtype": "F32",
        "shape": rand.choice(([0], [0, 4], [2**31, 0], [2**62, 0])),
        "data_offsets": [at, at],
    }


def _drop(document: Document, names: list[str], rand: random.Random) -> None:
    del document[rand.choice(names)]


def _change_metadata(document: Document, names: list[str], rand: random.Random) -> None:
    wrong: list[Any] = [
        1,
        None,
        [],
        {},
        True,
        "\ud800",
        "\ud83c\udf3f",
        "🌿",
        "\0",
        "x" * 5000,
        "é",
        json.dumps({"a": [1]}),
    ]
    value = rand.choice(wrong)
    document["__metadata__"] = rand.choice(({"k": value}, {"k": "v", "more": value}, {str(value): "v"}, value, {}))


DOCUMENT_CHANGES = (
    _reorder,
    _swap_offsets,
    _change_number,
    _change_number,
    _change_shape,
    _change_dtype,
    _change_fields,
    _rename,
    _add_empty,
    _drop,
    _change_metadata,
)
CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *map(_in_header, (_flip, _overwrite, _cut, _repeat, _insert, _digit, _space_between, _escape_a_letter)),
    _pad,
    _length,
    _ends,
    _document,
    _document,
    _document,
    _document,
    _document,
)
