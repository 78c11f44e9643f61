"""Headers of a legal length that cost a careless reader gigabytes, and lengths that cost a careless allocation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MB = 1 << 20
SIZES = {"1 MB": MB, "4 MB": 4_000_000, "8 MiB": 8 * MB, "99.9 MB": 99_900_000}
GOOD = (
    b'"lora_unet_conv_in.lora_up.weight":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]},'
    b'"lora_unet_conv_in.lora_down.weight":{"dtype":"F16","shape":[1,1],"data_offsets":[2,4]}'
)
META = b'{"__metadata__":{'
BOMBS: Mapping[str, tuple[bytes, bytes, bytes]] = {  # what is repeated, and what stands before it and behind it
    "empty tensors": (b'"%08d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},', b"{", GOOD + b"}"),
    "metadata keys": (b'"%08d":"",', META, b'"":""},' + GOOD + b"}"),
    "one shape of many sides": (b"1,", b'{"a":{"dtype":"U8","data_offsets":[0,1],"shape":[', b"1]}," + GOOD + b"}"),
    "empty lists": (b"[],", b'{"a":[', b"[]]," + GOOD + b"}"),
    "nested lists": (b"[", b'{"a":', b"}"),
    "nested objects": (b'{"a":', b'{"a":', b"}"),
    "one key again and again": (b'"a":{},', b"{", GOOD + b"}"),
    "texts": (b'"",', b'{"a":[', b'""],' + GOOD + b"}"),
    "escapes": (b"\\\\", META + b'"k":"', b'"},' + GOOD + b"}"),
    "escaped quotes": (b'\\"', META + b'"ss_tag_frequency":"', b'"},' + GOOD + b"}"),
    "one long text": (b"x", META + b'"modelspec.title":"', b'"},' + GOOD + b"}"),
    "one long list of words": (b"x,", META + b'"modelspec.trigger_phrase":"', b'"},' + GOOD + b"}"),
    "a long number": (b"9", b'{"a":{"dtype":"U8","shape":[', b"]}}"),
    "spaces": (b" ", b"{" + GOOD, b"}"),
    "lists in the tag frequencies": (b"[],", META + b'"ss_tag_frequency":"[', b'[]]"},' + GOOD + b"}"),
    "depth in the tag frequencies": (b"[", META + b'"ss_tag_frequency":"', b'"},' + GOOD + b"}"),
    "tags": (b'\\"%08d\\":1,', META + b'"ss_tag_frequency":"{\\"d\\":{', b'\\"t\\":1}}"},' + GOOD + b"}"),
}
LENGTHS = (0, 1, 7, 8, 8 * MB - 1, 8 * MB, 8 * MB + 1, 2**31, 2**32, 2**63, 2**64 - 1)

_CHILD = """
import json, re, sys, time
from pathlib import Path
from engine import EngineError, inspect_adapter
from engine.adapters import inspect

def peak():  # of this program alone; getrusage would count what its parent had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
begun = time.perf_counter()
try:
    said = str(inspect_adapter(sys.argv[1]).notes)
except EngineError as error:
    said = f"{type(error).__name__}: {error}"
seconds = time.perf_counter() - begun
most = peak()
print(json.dumps({"seconds": seconds, "mb": most / 1024, "more": (most - before) / 1024, "said": said[:110]}))
"""


def write_bomb(path: Path, what: str, size: int) -> None:
    """A file with a header of about `size` bytes, full of that; a good adapter but for it where JSON allows."""
    unit, before, after = BOMBS[what]
    unit_size = len(unit % 0) if b"%" in unit else len(unit)
    count = (size - len(before) - len(after)) // unit_size
    length = len(before) + count * unit_size + len(after)
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + before)
        for start in range(0, count, MB):
            stop = min(start + MB, count)
            file.write(b"".join(unit % i for i in range(start, stop)) if b"%" in unit else unit * (stop - start))
        file.write(after + bytes(4))


def measure(path: Path) -> dict[str, float | str]:
    """Seconds, peak memory (MB) and how much of it came with the file, and the verdict, of a fresh process."""
    out = subprocess.run([sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True)
    found: dict[str, float | str] = json.loads(out.stdout)
    return found
