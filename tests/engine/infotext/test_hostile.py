"""Files and texts that somebody made to hurt: a clear refusal or a Reading, soon, and in little memory."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.errors import EngineError, ImageUnreadable, MetadataUnreadable
from engine.infotext import Reading, read_infotext, read_picture

from . import files
from .samples import COMFY, SAMPLES, WEBUI

LONG = 400_000
SOON = 2.0  # seconds of processor time; the slowest takes a fifth of it alone


def read_or_refuse(read: Callable[[Any], Reading], given: Any) -> Reading | None:
    """What `read` gives, or None for an error of the tree; any other error fails the test."""
    try:
        return read(given)
    except EngineError:
        return None


def chain(length: int, *, cyclic: bool) -> dict[str, Any]:
    """A sampler behind so many adapters, the last of them behind the first."""
    graph = COMFY | {
        f"n{i}": {
            "class_type": "LoraLoader",
            "inputs": {"lora_name": f"a{i}", "model": [f"n{i + 1}", 0], "clip": ["4", 1]},
        }
        for i in range(length)
    }
    graph["3"] = {"class_type": "KSampler", "inputs": COMFY["3"]["inputs"] | {"model": ["n0", 0]}}
    graph[f"n{length}"] = {"class_type": "Reroute", "inputs": {"model": ["n0" if cyclic else "4", 0]}}
    return graph


TEXTS = {
    "words without end": "a" * LONG,
    "words without end, as values": "Steps: 20, Seed: 1, Sampler: Euler a, " + "a" * LONG,
    "many colons": "Steps: 20, Seed: 1, " + "a:" * (LONG // 2),
    "many keys": "Steps: 20, " + "ab: 1, " * (LONG // 7),
    "open quotes": "Steps: 20, Seed: 1, " + 'ab: "x, ' * (LONG // 8),
    "open JSON": "Steps: 20, Seed: 1, " + 'ab: [{"x": ["' * (LONG // 13),
    "backslashes": 'Steps: 20, Seed: 1, ab: "' + "\\" * LONG,
    "spaces": "Steps: 20, Seed: 1, ab:" + " " * LONG + "x",
    "many lines": "Steps: 20, Seed: 1\n" * (LONG // 19),
    "empty lines": "x" + "\n" * LONG + "Steps: 20, Seed: 1, Size: 1x1",
    "tags": "<lora:a:1>" * (LONG // 10) + "\nSteps: 20, Seed: 1, Sampler: x",
    "brackets": "([" * (LONG // 2) + "\nSteps: 20, Seed: 1, Sampler: x",
    "deep JSON": '{"a":' * LONG,
    "deep lists in the values": "x\nSteps: 20, Seed: 1, Civitai resources: " + "[" * LONG,
    "a deep graph": json.dumps(chain(4000, cyclic=False)),
    "a cyclic graph": json.dumps(chain(200, cyclic=True)),
    "too many nodes": json.dumps(chain(6000, cyclic=False)),
    "hashes": "x\nSteps: 20, Seed: 1, Sampler: x, Lora hashes: " + json.dumps("a: b, " * (LONG // 6)),
    "a seed without end": f"x\nSteps: 20, Seed: {'9' * LONG}, Sampler: x, Size: {'9' * 50}x1, CFG scale: nan",
    "InvokeAI's brackets": json.dumps({"image": {"prompt": "[" * LONG}}),
    "control characters": "".join(map(chr, range(32))) * 100 + "\nSteps: 20, Seed: 1, Sampler: x",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_is_read_or_refused_soon(text: str) -> None:
    began = time.process_time()
    read_or_refuse(read_infotext, text)
    for name in ("parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream", "Comment"):
        if name != "parameters" and len(text) < LONG * 2:
            read_or_refuse(read_picture, with_text(name, text))
    assert time.process_time() - began < SOON


def with_text(name: str, text: str) -> bytes:
    return files.with_chunk(files.png({}), b"iTXt", name.encode() + b"\0\0\0\0\0" + text.encode())


def test_a_cyclic_graph_gives_each_adapter_once() -> None:
    found = read_infotext(json.dumps(chain(3, cyclic=True)))
    assert [use.name for use in found.request.adapters] == ["a2", "a1", "a0"]


@pytest.mark.parametrize(
    "damage", ["[]", "null", "1", '"x"', "{", '{"1": []}', '{"1": {"class_type": 3, "inputs": []}}']
)
@pytest.mark.parametrize("name", ["prompt", "workflow", "invokeai_metadata", "sd-metadata", "Comment", "parameters"])
def test_json_of_another_shape_is_refused_or_passed_over(name: str, damage: str) -> None:
    read_or_refuse(read_picture, files.png({name: damage}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.data())
def test_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    """The metadata of a real tool, with one value after the other replaced by nonsense."""
    sample = data.draw(
        st.sampled_from([sample for sample in SAMPLES if b'{"' in sample.data and b"\x89PNG" in sample.data])
    )
    with Image.open(io.BytesIO(sample.data)) as image:
        texts = dict(image.text)  # type: ignore[attr-defined]
    name = data.draw(st.sampled_from([name for name, text in texts.items() if text.startswith("{")] or ["parameters"]))
    try:
        values = json.loads(texts[name])
    except (KeyError, ValueError):
        return
    place = values
    while isinstance(place, dict) and place:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or data.draw(st.booleans()):
            place[key] = data.draw(json_values)
            break
        place = place[key]
    read_or_refuse(read_picture, with_text(name, json.dumps(values)))


@given(st.text(max_size=200), st.text(max_size=30))
def test_any_text_is_read_or_refused(prompt: str, value: str) -> None:
    read_or_refuse(read_infotext, prompt)
    read_or_refuse(read_infotext, f"{prompt}\nSteps: {value}, Seed: {value}, Size: {value}, Civitai resources: {value}")


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused(body: bytes, at: int, byte: int) -> None:
    for good in (files.png({"parameters": WEBUI}), files.webp(files.exif_block(files.unicode_comment(WEBUI)))):
        broken = bytearray(good)
        broken[at % len(broken)] = byte
        read_or_refuse(read_picture, bytes(broken))
        read_or_refuse(read_picture, good[: at % len(good)])
    read_or_refuse(read_picture, body)
    for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
        read_or_refuse(read_picture, files.with_chunk(files.png({}), kind, body))


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "stealth"])
def test_a_bomb_is_refused_before_it_fills_the_memory(kind: str) -> None:
    bomb = "a" * (64 << 20)
    data = (
        files.stealth(bomb, channels="RGB", zipped=True, size=(512, 512))
        if kind == "stealth"
        else files.zipped_png("parameters", bomb, international=kind == "iTXt")
    )
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(MetadataUnreadable):
            read_picture(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_picture_with_too_many_pixels_is_not_unpacked() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with pytest.raises(ImageUnreadable, match="too many pixels"):
        read_picture(data)


def test_a_hidden_text_that_is_cut_off_or_lies_about_its_length_is_refused() -> None:
    data = files.stealth("x" * 300, channels="A", zipped=True, size=(40, 40))
    with Image.open(io.BytesIO(data)) as image:
        cut = io.BytesIO()
        image.crop((0, 0, 6, 40)).save(cut, "PNG")
    with pytest.raises(MetadataUnreadable):
        read_picture(cut.getvalue())


@pytest.mark.parametrize("data", [b"", b"x", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_picture_is_told_so(data: bytes) -> None:
    with pytest.raises(ImageUnreadable, match="PNG, JPEG and WebP"):
        read_picture(data)
