"""Whether any bytes bring down what reads headers and metadata, and how much of it they reach.

`python -m tests.faults.fuzz [--minutes 30] [--target header]`: each target for so long. With atheris (libFuzzer) beside
it, `pip install --target DIR atheris` and DIR in PYTHONPATH, what reaches something new is kept and changed further;
without it the kept inputs (`corpus`) are changed at random. Exits 1 where a bar is missed: 0 exceptions other than a
refusal, 95 % of the branches.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha1
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import coverage

from engine import AdapterInvalid, AdapterUnsupported
from engine.adapters import check, claims, header, pattern
from engine.adapters.inspect import inspect_adapter
from engine.adapters.layers import Layer

from .mutants import CHANGES, METADATA, seeds

CORPUS = Path(__file__).parent / "corpus"
LEAST = 95.0  # percent of the branches of MODULES
MODULES = (header, check, claims, pattern)
MODULE = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
LAYERS = {MODULE: Layer("LoRA", rank=4)}
GUIDED = """
import sys, atheris
with atheris.instrument_imports(include=["engine.adapters"]):
    from tests.faults import fuzz
fuzz.guided(atheris, *sys.argv[1:])
"""


class Target(NamedTuple):
    """`run` raises for a fault alone. `change` makes another input of one."""

    run: Callable[[bytes], None]
    change: Callable[[bytes, random.Random], bytes]
    seeds: Callable[[], list[bytes]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="for each target")
    parser.add_argument("--target", choices=TARGETS, help="this one alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="write the inputs that reach something into the corpus")
    args = parser.parse_args()
    found: dict[str, list[bytes]] = {}
    good = True
    for name in [args.target] if args.target else TARGETS:
        fuzz = _with_atheris if importlib.util.find_spec("atheris") else _at_random
        found[name], fine = fuzz(name, args.minutes * 60, args.seed)
        good &= fine
    measured = branches((name, data) for name, inputs in found.items() for data in inputs)
    for module, percent in measured.items():
        print(f"{percent:>6.1f} % of the branches of {module}")
    if args.keep:
        _keep(found)
    return 0 if good and (args.target or measured["all"] >= LEAST) else 1


def branches(inputs: Iterable[tuple[str, bytes]]) -> dict[str, float]:
    """Module -> the percentage of its branches that these (target, data) go, and that of all together."""
    watch = coverage.Coverage(branch=True, data_file=None, include=[str(module.__file__) for module in MODULES])
    with watch.collect(), tempfile.TemporaryDirectory() as folder:
        for name, data in inputs:
            TARGETS[name].run(data)
        for refused in _by_hand(Path(folder)):
            with suppress(AdapterInvalid):
                header.read_header(refused)
        report = Path(folder) / "report.json"
        watch.stop()
        watch.json_report(outfile=str(report))
        told = json.loads(report.read_text())
    percents = {Path(name).stem: _percent(file["summary"]) for name, file in told["files"].items()}
    return percents | {"all": _percent(told["totals"])}


def _by_hand(folder: Path) -> Iterator[Path]:
    """What a fuzzer does not come to: no files, and files too large for it. Each is refused."""
    yield from (folder, folder / "none")
    path = folder / "x"
    with path.open("wb") as file:
        file.truncate(header.MAX_FILE + 1)  # sparse: it takes no room
    yield path
    for document in (
        {f"t{i}": 0 for i in range(header.MAX_TENSORS + 1)},
        {"__metadata__": {f"k{i}": "" for i in range(header.MAX_METADATA_KEYS + 1)}, "t": {}},
        {"t": {"dtype": [""] * 100_000}},
    ):
        text = json.dumps(document).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        yield path


def changed(name: str, seed: int) -> Iterator[bytes]:
    """What is kept, then without end what becomes of it."""
    target, rand, kept = TARGETS[name], random.Random(seed), corpus(name)
    yield from kept
    while True:
        data = rand.choice(kept)
        for _ in range(rand.choice((1, 1, 2, 4))):
            data = target.change(data, rand)
        yield data


def corpus(name: str) -> list[bytes]:
    """The seeds, and what earlier runs found that reaches something."""
    return TARGETS[name].seeds() + [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def guided(atheris: Any, name: str, folder: str, seconds: str, seed: str) -> None:
    """One run of libFuzzer. It ends the process: with 0, or with the traceback of what broke."""
    target = TARGETS[name]

    def change(data: bytes, most: int, number: int) -> bytes:
        rand = random.Random(number)
        return atheris.Mutate(data, most) if rand.random() < 0.5 else target.change(data, rand)[:most]

    options = [f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=5", "-max_len=20000", "-print_final_stats=1"]
    atheris.Setup(["fuzz", folder, *options, f"-artifact_prefix={folder}-"], target.run, custom_mutator=change)
    atheris.Fuzz()


def _with_atheris(name: str, seconds: float, seed: int) -> tuple[list[bytes], bool]:
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / name
        inputs.mkdir()
        for data in corpus(name):
            (inputs / sha1(data).hexdigest()).write_bytes(data)
        before = len(list(inputs.iterdir()))
        command = [sys.executable, "-c", GUIDED, name, str(inputs), str(int(seconds)), str(seed + 1)]
        done = subprocess.run(command, capture_output=True, text=True)
        found = [path.read_bytes() for path in sorted(inputs.iterdir())]
        count = int((re.search(r"number_of_executed_units: (\d+)", done.stderr) or [0, 0])[1])
        print(f"{name}: atheris, {seconds:.0f} s, {count:,} inputs, {len(found) - before} that reach something new")
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-4000:])
        return found, done.returncode == 0


def _at_random(name: str, seconds: float, seed: int) -> tuple[list[bytes], bool]:
    end, count, slowest = time.monotonic() + seconds, 0, 0.0
    for data in changed(name, seed):
        begun = time.monotonic()
        if begun > end:
            break
        TARGETS[name].run(data)
        slowest = max(slowest, time.monotonic() - begun)
        count += 1
    print(f"{name}: {count:,} inputs at random in {seconds:.0f} s, the slowest took {slowest * 1000:.0f} ms")
    return list(islice(changed(name, seed), min(count, 3000))), slowest < 1


def _keep(found: dict[str, list[bytes]]) -> None:
    """Of what was found, the small ones that reach a branch that the ones before them do not."""
    for name, inputs in found.items():
        kept = TARGETS[name].seeds()
        reached = branches((name, data) for data in kept)["all"]
        for data in sorted(set(inputs) - set(kept), key=len):
            more = branches((name, one) for one in [*kept, data])["all"]
            if more > reached:
                kept, reached = [*kept, data], more
                (CORPUS / name).mkdir(parents=True, exist_ok=True)
                (CORPUS / name / sha1(data).hexdigest()[:12]).write_bytes(data)


def _percent(summary: dict[str, int]) -> float:
    return 100 * summary["covered_branches"] / summary["num_branches"]


# ---------------------------------------------------------------------------------- header: a whole file


def files() -> list[bytes]:
    """Those that the mutants come from, and LoRAs whose alpha is of each type, with bytes of each kind of number."""
    found = [*seeds(), _lora("U8", [2], b"xx")]
    for low, high in (b"\x01\x01", b"\x40\x40", b"\xff\xc0", b"\xff\x7f"):
        found += [_lora(dtype, [], bytes([low] * (size - 1) + [high])) for dtype, size in header.DTYPES.items()]
    return found


def _lora(dtype: str, shape: list[int], alpha: bytes) -> bytes:
    entries = {
        "lora_up.weight": {"dtype": "F32", "shape": [8, 2], "data_offsets": [0, 64]},
        "lora_down.weight": {"dtype": "F32", "shape": [2, 8], "data_offsets": [64, 128]},
        "alpha": {"dtype": dtype, "shape": shape, "data_offsets": [128, 128 + len(alpha)]},
    }
    text = json.dumps({f"lora_unet_conv_in.{role}": entry for role, entry in entries.items()}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(128) + alpha


def read_file(data: bytes) -> None:
    """A file of these bytes is an adapter, or is refused."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        with suppress(AdapterInvalid, AdapterUnsupported):
            inspect_adapter(file.name)


def _change_file(data: bytes, rand: random.Random) -> bytes:
    try:
        return rand.choice(CHANGES)(data, rand)
    except (ValueError, OverflowError, MemoryError):
        return data  # it is no longer enough of a file for that change


# ---------------------------------------------------------------------------------- metadata: texts by name

WORDS = (
    *("null", "true", "NaN", "1e999", "-1", "0", "[]", "{}", '""', "1" * 400, "[" * 200, '{"a":' * 100, "\\ud800", "é"),
    *("/home/a/b", "C:\\a\\", "@everyone", "\u202e", "\x1b[2J", "\n", ",", ":", '"', "[", "]", "{", "}", "1700000000"),
    *(
        '{"img_count": 3}',
        '{"subsets": [{"img_count": 2}]}',
        '{"a": {"b": 1}}',
        '"lora_alpha": 2',
        '"alpha_pattern": {',
    ),
    *(".*", "(a|b)", "[ab]", "\\d+", "^", "$", "(?:", ")", "to_q", "attn1.to_q", "SDXL", "sd_v1", "None", "(unknown)"),
)
KEYS = (
    *("ss_base_model_version", "modelspec.architecture", "ss_v2", "sshs_model_hash", "modelspec.hash_sha256"),
    *("modelspec.trigger_phrase", "trained_words", "ss_tag_frequency", "ss_network_args", "ss_network_module"),
    *("training_info", "software", "ot_revision", "ss_sd_scripts_commit_hash", "ss_optimizer", "modelspec.date"),
    *("ss_dataset_dirs", "ss_datasets", "ss_training_finished_at", "modelspec.title", "<s1>", "unet:0:rank"),
    "lora_adapter_metadata",
)


def read_texts(data: bytes) -> None:
    """Metadata of these texts, key and value in turn, is told in short harmless lines, or PEFT's part of it refused."""
    texts = data.decode("utf-8", "replace").split("\0")
    metadata = dict(zip(texts[::2], texts[1::2], strict=False))
    notes: list[str] = []
    trained = claims.training(metadata, notes)
    assert claims.training(metadata, known := list(notes)) == trained
    assert known == notes, "what is noted is noted once"
    shown = [*claims.trigger_words(metadata, notes), *trained.values()]
    shown += [claims.claimed_family(metadata), claims.text_of(metadata, "modelspec.title"), *notes]
    for text in shown:
        assert len(text) <= claims.MAX_TEXT, text
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in text), ascii(text)
    assert all(len(digest) == 64 for digest in claims.claimed_tensor_hashes(metadata))
    with suppress(AdapterInvalid):
        settings = check.peft_settings(metadata, "x")
        check.peft_alphas(settings, LAYERS)
        for key, patterns in settings.items():
            for text in patterns if key.endswith("alpha_pattern") else ():
                pattern.means(pattern.read_pattern(text), MODULE)


def _change_texts(data: bytes, rand: random.Random) -> bytes:
    """A text cut, doubled, filled in or under another key; the JSON in it keeps its shape about half the time."""
    texts = data.decode("utf-8", "replace").split("\0")
    at = rand.randrange(len(texts))
    text = texts[at]
    places = [i for i, c in enumerate(text) if c in ':,"[]{} '] or [0]
    begin, end = sorted(rand.choice(places) if rand.random() < 0.5 else rand.randrange(len(text) + 1) for _ in "ab")
    texts[at] = rand.choice(
        (
            text[:begin] + text[end:],
            text[:end] + text[begin:],
            text[:begin] + rand.choice(WORDS) + text[begin:],
            text[:begin] + rand.choice(WORDS) + text[end:],
            rand.choice(KEYS) if at % 2 == 0 else rand.choice(WORDS),
        )
    )
    return "\0".join(texts[:40]).encode("utf-8", "replace")[:20_000]


def _texts() -> list[bytes]:
    """Metadata as trainers write it."""
    patterns = {MODULE: 8, r".*attn(1|2)\.to_[qk]": 2, "^mid_block.+$": 3, "[ab]?c*": 1}
    wrong: list[Any] = [["to_q"], *({text: 1} for text in ("a)", "(a", "[z-a]", "a" * 257, "a{2}")), {"to_q": "1"}]
    peft = {"unet.lora_alpha": 4, "unet.alpha_pattern": patterns, "text_encoder.alpha_pattern": None}
    written: list[dict[str, str]] = [metadata for metadata in METADATA if metadata]
    written += [
        {"lora_adapter_metadata": json.dumps(peft), "<s1>": "<embed>"},
        {"lora_adapter_metadata": json.dumps({"lora_alpha": 4, "alpha_pattern": {"to_q": 100}})},
        {"lora_adapter_metadata": json.dumps({"alpha_pattern": {f"{'a' * i}.*": 1 for i in range(60)}})},
        *({"lora_adapter_metadata": json.dumps({"alpha_pattern": patterns})} for patterns in wrong),
        {"software": json.dumps({"name": "ai-toolkit", "version": "1"}), "training_info": json.dumps({"step": 7})},
        {"ot_revision": "a" * 40, "trained_words": json.dumps(["a", 1]), "ss_v2": "True"},
        {"ss_base_model_version": "sdxl_base_v1-0", "ss_network_args": "None", "ss_training_finished_at": "1.7e9"},
        {"ss_datasets": json.dumps([{"subsets": [{"img_count": 3}]}]), "ss_sd_scripts_commit_hash": "(unknown)"},
        {"ss_dataset_dirs": json.dumps({"10_a": {"img_count": 3}}), "modelspec.date": "2024-01-01T00:00:00"},
        {"unet:0:rank": "4", "ss_optimizer": "torch.optim.AdamW(lr=1)", "trained_words": "a, b"},
    ]
    return ["\0".join(text for pair in metadata.items() for text in pair).encode() for metadata in written]


TARGETS: dict[str, Target] = {
    "header": Target(read_file, _change_file, files),
    "metadata": Target(read_texts, _change_texts, _texts),
}

if __name__ == "__main__":
    sys.exit(main())
