"""What is refused before it can do harm, and that nothing good is: threats F1 to F9 of an uploaded file.

(`shared/reference/reliability_security.md` §1a.) The big runs: `python -m tests.faults.headers --nightly`.
"""

from __future__ import annotations

import ast
import gzip
import io
import itertools
import json
import os
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_torch
from safetensors.torch import save_file

from engine import AdapterInvalid, EngineError, inspect_adapter
from engine.adapters.check import MAX_SCALE, single
from engine.adapters.file import LARGEST, read_adapter
from engine.adapters.formats import load_change
from engine.adapters.header import MAX_HEADER, read_header
from engine.adapters.layers import MAX_RANK, layer_of
from tests.faults.bombs import BOMBS, write_bomb
from tests.faults.headers import accepts, library_accepts
from tests.faults.mutants import mutants, seeds
from tests.faults.oracle import why_invalid

from .cases import CASES, LAYERS, Random

MODULE = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
Tensors = dict[str, torch.Tensor]


def lora(rank: int = 2, module: str = MODULE) -> Tensors:
    return {f"{module}.lora_up.weight": torch.ones(64, rank), f"{module}.lora_down.weight": torch.ones(rank, 64)}


def verdict(look: Callable[[Path], object], path: Path) -> str:
    try:
        look(path)
    except EngineError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def refused(path: Path, words: str) -> None:
    """By its header and when read, for the same reason."""
    for look in (inspect_adapter, read_adapter):
        with pytest.raises(AdapterInvalid, match=words):
            look(path)


# ---------------------------------------------------------------------------------- F1 to F4: the header


def test_mutants_are_taken_exactly_when_an_independent_reader_takes_them(tmp_path: Path) -> None:
    """0 accepted-invalid, 0 rejected-valid, and nothing that the library refuses."""
    path, taken = tmp_path / "x.safetensors", 0
    for data in mutants(1000, seed=1):
        path.write_bytes(data)
        accepted, reason = accepts(path), why_invalid(data)
        assert accepted == (not reason), (reason, data[:400])
        assert library_accepts(data) or not accepted
        taken += accepted
    assert 200 < taken < 800, "mutants that are all good or all bad prove nothing"


def test_reading_and_inspecting_agree_on_what_the_header_decides(tmp_path: Path) -> None:
    """The same verdict in the same words; after a header and layers that are good, numbers alone can differ."""
    path, different = tmp_path / "x.safetensors", 0
    for data in mutants(300, seed=2):
        path.write_bytes(data)
        inspected, read = verdict(inspect_adapter, path), verdict(read_adapter, path)
        assert inspected == read or (not inspected and "holds" in read), (inspected, read)
        different += inspected != read
    assert different < 60


def test_what_trainers_write_stays_valid(tmp_path: Path) -> None:
    """Megabytes of tag frequencies, thumbnails, a thousand layers, padding by spaces."""
    tags = {f"{i}_set": {f"tag number {n}, of “many”": n for n in range(2500)} for i in range(20)}
    metadata = {f"ss_key_{i}": "value" for i in range(120)} | {
        "ss_tag_frequency": json.dumps(tags),
        "modelspec.thumbnail": "data:image/jpeg;base64," + "A" * 700_000,
    }
    names = [
        f"lora_unet_input_blocks_{i}_1_transformer_blocks_{j}_attn2_to_k" for i in (4, 5, 7, 8) for j in range(240)
    ]
    tensors = {key: value for name in names for key, value in lora(1, name).items()}
    data = save_torch({key: value.half() for key, value in tensors.items()}, metadata)
    assert len(data) > 2_000_000
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert len(read_header(path).tensors) == 1920
    assert inspect_adapter(path).triggers
    length = int.from_bytes(data[:8], "little")
    path.write_bytes((length + 64).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 64 + data[8 + length :])
    assert len(read_header(path).metadata) == 122


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_judged_without_going_off(what: str, tmp_path: Path) -> None:
    """A header of the largest legal size: counted before it is parsed, so that the verdict takes no memory to speak of.
    (Measured by tests.faults.headers; here only that it is a verdict.)"""
    write_bomb(tmp_path / "x.safetensors", what, MAX_HEADER)
    said = verdict(inspect_adapter, tmp_path / "x.safetensors")  # anything else than these would be raised
    harmless = what in ("escapes", "escaped quotes", "spaces")  # a long text and padding are legal
    assert said.startswith("AdapterInvalid") or (harmless and said == "")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"PK\x05\x06" + bytes(18),
        lambda data: b"PK\x03\x04" + data,
        lambda data: b"%PDF-1.7\n" + data,
        lambda data: b"<html>" + data,
        lambda data: data + b"<script>",
        lambda data: data[:-1],
        lambda data: data[:8].replace(data[:1], bytes([data[0] + 1]), 1) + data[8:],
    ],
)
def test_no_second_file_fits_before_or_behind(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(change(seeds()[0]))
    refused(tmp_path / "x", "x")


# ---------------------------------------------------------------------------------- F5: numbers


FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2)


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        *itertools.product(FLOATS, (float("nan"), float("inf"), -float("inf"))),
        (torch.float8_e4m3fn, float("nan")),  # which has no infinities
    ],
)
def test_one_number_that_is_none_is_found_wherever_it_stands(dtype: torch.dtype, bad: float, tmp_path: Path) -> None:
    rand = random.Random(0)
    for rank in (1, 2, 7):
        for place in (0, 64 * rank - 1, rand.randrange(64 * rank)):
            tensors = {key: value.to(dtype) for key, value in lora(rank).items()}
            key = rand.choice(list(tensors))
            flat = tensors[key].float().flatten()
            flat[place] = bad
            tensors[key] = flat.view(tensors[key].shape).to(dtype)
            save_file(tensors, tmp_path / "x")
            with pytest.raises(AdapterInvalid, match=key):
                read_adapter(tmp_path / "x")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_number_that_float16_cannot_hold_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    """Finite here, infinite where the model is drawn in float16."""
    for value, good in ((60_000.0, True), (70_000.0, False), (1e38, False)):
        tensors = {key: torch.zeros_like(tensor, dtype=dtype) for key, tensor in lora().items()}
        tensors[f"{MODULE}.lora_up.weight"][3, 1] = value
        save_file(tensors, tmp_path / "x")
        assert (verdict(read_adapter, tmp_path / "x") == "") is good


@pytest.mark.parametrize(
    ("up", "down", "good"), [(1000.0, 30.0, True), (1000.0, 40.0, False), (60_000.0, 60_000.0, False)]
)
def test_a_product_that_float16_cannot_hold_is_refused(up: float, down: float, good: bool, tmp_path: Path) -> None:
    """Two ranks of 1000 * 30 are 60,000, of 1000 * 40 are 80,000."""
    save_file(
        {f"{MODULE}.lora_up.weight": torch.full((64, 2), up), f"{MODULE}.lora_down.weight": torch.full((2, 64), down)},
        tmp_path / "x",
    )
    said = verdict(read_adapter, tmp_path / "x")
    assert (said == "") is good
    assert good or MODULE in said
    assert torch.finfo(torch.float16).max == LARGEST


@pytest.mark.parametrize(
    "dtype", [*FLOATS, torch.float8_e4m3fn, torch.int64, torch.int32, torch.int16, torch.int8, torch.bool]
)
def test_a_single_number_is_read_as_torch_reads_it(dtype: torch.dtype) -> None:
    """All 256 values of the types of one byte, and samples of the others."""
    size = torch.empty(0, dtype=dtype).element_size()
    names = {torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.bfloat16: "BF16", torch.bool: "BOOL"}
    name = names.get(dtype) or f"{'F' if dtype.is_floating_point else 'I'}{8 * size}"
    rand = random.Random(0)
    patterns = [bytes([i]) for i in range(2 if dtype == torch.bool else 256)]
    for data in patterns if size == 1 else [rand.randbytes(size) for _ in range(300)]:
        wanted = float(torch.frombuffer(bytearray(data), dtype=torch.uint8).view(dtype).double())
        assert single(name, data) == wanted or (wanted != wanted and single(name, data) != single(name, data))


@pytest.mark.parametrize("role", ["alpha", "scale", "on_input"])
@pytest.mark.parametrize("byte", [2, 0xFF])
def test_a_truth_that_is_neither_is_refused(role: str, byte: int, tmp_path: Path) -> None:
    """The library takes any byte as a BOOL, and readers differ on what it is."""
    tensors = lora() if role != "on_input" else {f"{MODULE}.weight": torch.ones(64)}
    truth = torch.tensor([1], dtype=torch.uint8)
    save_file(tensors | {f"{MODULE}.{role}": truth.view(torch.bool)}, tmp_path / "x")
    assert verdict(read_adapter, tmp_path / "x") == ""
    truth[0] = byte
    save_file(tensors | {f"{MODULE}.{role}": truth.view(torch.bool)}, tmp_path / "x")
    refused(tmp_path / "x", f"has the {role} nan")


@pytest.mark.parametrize("role", ["bias_indices", "bias_size"])
def test_truths_are_no_positions(role: str, tmp_path: Path) -> None:
    """Whole numbers are; a residual whose places or size are BOOL was written by no trainer."""
    sparse = {
        "bias_indices": torch.zeros(2, 1, dtype=torch.int16),
        "bias_values": torch.ones(1),
        "bias_size": torch.tensor([64, 64]),
    }
    sparse[role] = sparse[role].bool()
    save_file(lora() | {f"{MODULE}.{name}": tensor for name, tensor in sparse.items()}, tmp_path / "x")
    refused(tmp_path / "x", "stored as BOOL")


@pytest.mark.parametrize(
    ("role", "value", "good"),
    [
        ("alpha", 2 * MAX_SCALE, True),
        ("alpha", -2.0, True),
        ("alpha", 2 * MAX_SCALE + 1, False),
        ("alpha", float("nan"), False),
        ("alpha", float("inf"), False),
        ("scale", MAX_SCALE, True),
        ("scale", -MAX_SCALE - 1, False),
    ],
)
def test_an_absurd_alpha_is_refused(role: str, value: float, good: bool, tmp_path: Path) -> None:
    """|alpha / rank| is at most 64, here at rank 2."""
    save_file(lora() | {f"{MODULE}.{role}": torch.tensor(value)}, tmp_path / "x")
    if good:
        assert inspect_adapter(tmp_path / "x").alphas == ((value,) if role == "alpha" else ())
    else:
        refused(tmp_path / "x", role)


def test_the_alpha_of_a_full_lokr_does_not_count_whatever_it_is(tmp_path: Path) -> None:
    """Trainers force full factors by a dimension of 100,000 and write that as alpha, which float16 makes infinite."""
    tensors = {"lokr_w1": torch.ones(8, 8), "lokr_w2": torch.ones(8, 8), "alpha": torch.tensor(1e5)}
    save_file({f"{MODULE}.{role}": tensor.half() for role, tensor in tensors.items()}, tmp_path / "x")
    assert read_adapter(tmp_path / "x").info.alphas == ()


@pytest.mark.parametrize(
    "settings",
    [
        '{"unet.lora_alpha": 1e999}',
        '{"unet.lora_alpha": NaN}',
        '{"unet.lora_alpha": 1e6}',
        '{"unet.alpha_pattern": {"to_q": 1e300}}',
        "{",
        "[" * 100_000,
    ],
    ids=str,
)
def test_pefts_settings_hold_to_the_same(settings: str, tmp_path: Path) -> None:
    """They are alphas too: what cannot be read, or is absurd, would be misapplied."""
    save_file(lora(), tmp_path / "x", {"lora_adapter_metadata": settings})
    refused(tmp_path / "x", "lora_adapter_metadata")


# ---------------------------------------------------------------------------------- F6: ranks, sizes, pairs


@pytest.mark.parametrize("rank", [1, 128, 129, MAX_RANK, MAX_RANK + 1, 2**14])
def test_a_giant_rank_is_refused(rank: int, tmp_path: Path) -> None:
    save_file(lora(rank), tmp_path / "x")
    if rank <= MAX_RANK:
        assert inspect_adapter(tmp_path / "x").ranks == (rank,)
    else:
        refused(tmp_path / "x", f"rank {rank}")


WRONG: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "rank 0": {"lora_up.weight": (64, 0), "lora_down.weight": (0, 64)},
    "ranks that do not meet": {"lora_up.weight": (64, 2), "lora_down.weight": (3, 64)},
    "no down": {"lora_up.weight": (64, 2)},
    "no up": {"lora_down.weight": (2, 64)},
    "an alpha alone": {"alpha": ()},
    "a magnitude alone": {"dora_scale": (64, 1)},
    "vectors for factors": {"lora_up.weight": (64,), "lora_down.weight": (64,)},
    "half a LoHa": {"hada_w1_a": (64, 2), "hada_w1_b": (2, 64)},
    "IA3 without its side": {"weight": (64,), "diff": (64, 64)},
    "a LoKr too large to multiply out": {"lokr_w1": (8, 8), "lokr_w2_a": (99_999, 1), "lokr_w2_b": (1, 99_999)},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_layer_that_is_not_whole_is_refused_by_its_header(what: str, tmp_path: Path) -> None:
    tensors = {f"{MODULE}.{role}": numpy.zeros(shape, numpy.float16) for role, shape in WRONG[what].items()}
    (tmp_path / "x").write_bytes(save(tensors))
    refused(tmp_path / "x", MODULE)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.int32])
def test_factors_of_whole_numbers_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    """They would be quantised by a rule that the file does not tell."""
    save_file({key: tensor.to(dtype) for key, tensor in lora().items()}, tmp_path / "x")
    refused(tmp_path / "x", "no type of factors")


def test_shapes_are_judged_as_the_formats_judge_the_tensors() -> None:
    """For sets of tensors of every format, whole or with roles and sizes changed at random: both refuse, or neither."""
    rand, verdicts = random.Random(0), []
    makers = [(case, kind) for case in CASES.values() for kind in case.layers]
    sizes = {"linear": (64, 96), "square": (64, 64), "1x1": (64, 32, 1, 1), "3x3": (64, 32, 3, 3), "norm": (64,)}
    assert sizes.keys() == LAYERS.keys()
    for turn in range(1500):
        case, kind = rand.choice(makers)
        tensors = {_role(k): v for k, v in case.make(sizes[kind], Random(torch.Generator().manual_seed(turn))).items()}
        if turn % 3:
            _spoil(tensors, rand)
        sparse = "bias_indices" in tensors  # its indices are numbers, which only the format looks at
        for shapes_good, good in _both(tensors) if not sparse else ():
            assert shapes_good == good, {role: tuple(tensor.shape) for role, tensor in tensors.items()}
            verdicts.append(good)
    assert 0.3 < sum(verdicts) / len(verdicts) < 0.9


def _role(suffix: str) -> str:
    from engine.adapters.naming import ROLES

    return ROLES[suffix]


def _spoil(tensors: Tensors, rand: random.Random) -> None:
    role = rand.choice(list(tensors))
    shape = list(tensors[role].shape)
    match rand.randrange(4):
        case 0:
            del tensors[role]
        case 1 if shape:
            shape[rand.randrange(len(shape))] += rand.choice((1, 2))
            tensors[role] = torch.ones(shape)
        case 2:
            tensors[role] = tensors[role].flatten() if rand.random() < 0.5 else tensors[role][None]
        case _:
            other = rand.choice(("alpha", "diff", "lokr_w1", "dora", "up", "mid", "bm", "rescale", "hada_t1"))
            tensors[other] = torch.ones(rand.choice(((), (4, 4), (64, 4), (4, 4, 3, 3))))


def _both(tensors: Tensors) -> Iterator[tuple[bool, bool]]:
    """(by shapes, by tensors), where there is a set to judge; numbers of one value only are judged elsewhere."""
    if not tensors or any(t.numel() != 1 for role, t in tensors.items() if role in ("alpha", "scale", "on_input")):
        return
    results = []
    for judge in (
        lambda: layer_of("x", {role: tuple(tensor.shape) for role, tensor in tensors.items()}),
        lambda: load_change("x", tensors, {}),
    ):
        try:
            judge()
            results.append(True)
        except AdapterInvalid:
            results.append(False)
    yield results[0], results[1]


# ---------------------------------------------------------------------------------- F7: pickles and archives


CANARY = "canary"


class Payload:
    """Unpickled anywhere, it makes a folder."""

    def __init__(self, act: Callable[..., object], *arguments: object) -> None:
        self.reduced = act, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


def payloads(folder: Path) -> dict[str, bytes]:
    """Thirty files that would act if anything opened them as what they are."""
    canary = str(folder / CANARY)
    acts = {
        "mkdir": Payload(os.mkdir, canary),
        "system": Payload(os.system, f"mkdir {canary}"),
        "eval": Payload(eval, f"__import__('os').mkdir({canary!r})"),
        "in a state dict": {"lora_up.weight": Payload(os.mkdir, canary)},
    }
    found = {f"{name}, protocol {p}": pickle.dumps(act, p) for name, act in acts.items() for p in range(6)}
    raw = found["mkdir, protocol 2"]
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("archive/data.pkl", raw)
    found["PyTorch's zip"] = buffer.getvalue()
    torch.save(acts["in a state dict"], buffer := io.BytesIO(), _use_new_zipfile_serialization=False)
    found["PyTorch's old format"] = buffer.getvalue()
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as tar:
        tar.addfile(tarfile.TarInfo("data.pkl"), io.BytesIO(b""))
    found["tar"] = buffer.getvalue()
    found["gzip"] = gzip.compress(raw)
    found["NumPy object array"] = (
        b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + b"{'descr': '|O'}".ljust(118) + raw
    )
    found["behind a good file"] = seeds()[0] + raw
    return found


@pytest.mark.parametrize("end", [".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ""])
def test_no_pickle_under_any_name_is_opened(end: str, tmp_path: Path) -> None:
    """Thirty payloads, by both ways in: refused with a sentence, nothing executed."""
    found = payloads(tmp_path)
    assert len(found) >= 30
    for what, data in found.items():
        path = tmp_path / f"adapter{end}"
        path.write_bytes(data)
        for look in (inspect_adapter, read_adapter):
            with pytest.raises(AdapterInvalid) as caught:
                look(path)
            if what != "behind a good file":
                assert "only .safetensors files are taken" in str(caught.value), (what, caught.value)
        assert not (tmp_path / CANARY).exists(), what


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """Opened as what they are, the payloads do act: otherwise the test above shows nothing."""
    pickle.loads(payloads(tmp_path)["mkdir, protocol 2"])
    assert (tmp_path / CANARY).exists()


def test_nothing_that_reads_uploads_can_unpickle() -> None:
    """No pickle, marshal, shelve, eval or exec in engine and bot; torch.load only in the built-in model's recipe."""
    root = Path(__file__).parents[3]
    for path in (path for part in ("engine", "bot") for path in (root / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "marshal", "shelve", "dill", "joblib"}, (
                    path
                )
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "eval", "exec"):
                assert path.parent.name == "builtin", path
                assert "weights_only=True" in ast.unparse(node), path


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "zip"),
        (b"\x80\x04\x95", "pickle"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "RAR"),
        (b"BZh9", "bzip2"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"GGUF", "GGUF"),
        (b"\x89HDF", "HDF5"),
        (b"MZ\x90", "Windows"),
        (b"\x7fELF", "Linux"),
        (b"#!/bin/sh", "script"),
        (b"%PDF-", "PDF"),
        (b"\x89PNG", "picture"),
        (b"<!DOCTYPE", "web page"),
        (b'{"error": 401}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x00" * 257 + b"ustar", "tar"),
    ],
)
def test_other_kinds_of_file_are_named(start: bytes, what: str, tmp_path: Path) -> None:
    """A renamed checkpoint or an error page is told from a damaged file."""
    (tmp_path / "x.safetensors").write_bytes(start + b"\xff" * 600)
    refused(tmp_path / "x.safetensors", what)


def test_a_header_length_that_looks_like_a_mark_is_a_length(tmp_path: Path) -> None:
    """A header of 0x4b50 bytes makes a file begin with PK."""
    data = save({"a.lora_up.weight": numpy.ones((2, 2)), "a.lora_down.weight": numpy.ones((2, 2))})
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].ljust(0x4B50)
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert (tmp_path / "x").read_bytes().startswith(b"PK")
    assert len(read_header(tmp_path / "x").tensors) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        refused(tmp_path / name, "no file|cannot be read")


# ---------------------------------------------------------------------------------- F9: a file that changes


def test_a_file_swapped_or_cut_after_it_was_checked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file(lora(), path)
    known = inspect_adapter(path).sha256
    assert read_adapter(path, sha256=known).info.sha256 == known
    good = path.read_bytes()
    save_file(lora(3), path)
    assert "changed on disk" in verdict(lambda p: read_adapter(p, sha256=known), path)
    path.write_bytes(good[:-1])
    assert "AdapterInvalid" in verdict(lambda p: read_adapter(p, sha256=known), path)


def test_every_case_in_this_file_ran_on_files_that_the_mutants_come_from() -> None:
    """The seeds themselves are valid, for us, for the oracle and for the library."""
    assert len(seeds()) == 24
    for data in seeds():
        assert why_invalid(data) == ""
        assert library_accepts(data)
