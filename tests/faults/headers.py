"""How well files are told from no files, beside an independent oracle and the library itself.

`python -m tests.faults.headers [--nightly]`: 5,000 mutants, or 100,000, and every bomb. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from safetensors import SafetensorError, deserialize

from engine import AdapterInvalid, EngineError
from engine.adapters.header import read_header
from engine.adapters.inspect import inspect_adapter

from .bombs import BOMBS, LENGTHS, SIZES, measure, write_bomb
from .mutants import mutants, seeds
from .oracle import why_invalid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nightly", action="store_true", help="100,000 mutants instead of 5,000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.safetensors"
        good = compare(path, 100_000 if args.nightly else 5_000, args.seed)
        good &= lengths(path)
        good &= bombs(path)
    return 0 if good else 1


def compare(path: Path, count: int, seed: int) -> bool:
    """Every mutant is taken exactly when the oracle takes it, and never when the library does not."""
    found: Counter[str] = Counter()
    slowest, before = 0.0, _peak()
    for data in mutants(count, seed):
        path.write_bytes(data)
        begun = time.perf_counter()
        taken = accepts(path)
        slowest = max(slowest, time.perf_counter() - begun)
        reason, library = why_invalid(data), library_accepts(data)
        found["accepted"] += taken
        found["accepted-invalid"] += taken and bool(reason)
        found["accepted, refused by the library"] += taken and not library
        found["rejected-valid"] += not taken and not reason
        found["rejected, accepted by the library"] += not taken and library
        found["inspect disagrees"] += not taken and _inspects(path)
    wrong = ("accepted-invalid", "accepted, refused by the library", "rejected-valid", "inspect disagrees")
    print(f"{count:,} mutants of {len(seeds())} files, seed {seed}")
    for what in ("accepted", *wrong, "rejected, accepted by the library"):
        print(f"  {found[what]:>8,} {what}")
    grew = _peak() - before
    print(f"  slowest {slowest * 1000:.1f} ms, this process grew by {grew:.1f} MB")
    return not any(found[what] for what in wrong) and slowest < 1 and grew < 20


def accepts(path: Path) -> bool:
    try:
        read_header(path)
    except AdapterInvalid:
        return False
    return True


def library_accepts(data: bytes) -> bool:
    try:
        deserialize(data)
    except SafetensorError:
        return False
    return True


def lengths(path: Path) -> bool:
    """No claimed length costs time or memory."""
    header = seeds()[0]
    before, slowest = _peak(), 0.0
    for length in (*LENGTHS, len(header) - 8, len(header) - 7):
        path.write_bytes(length.to_bytes(8, "little") + header[8:])
        begun = time.perf_counter()
        if accepts(path):
            print(f"  a header length of {length} was taken")
            return False
        slowest = max(slowest, time.perf_counter() - begun)
    grew = _peak() - before
    print(f"{len(LENGTHS) + 2} wrong header lengths: refused, slowest {slowest * 1000:.1f} ms, {grew:.1f} MB more")
    return slowest < 0.05 and grew < 5


def bombs(path: Path) -> bool:
    """Each within 3 s and 400 MB of a process of its own."""
    good = True
    print(f"{'bomb':<30}{'header':>9}{'seconds':>9}{'MB more':>9}{'peak MB':>9}  verdict")
    for what in BOMBS:
        for name, size in SIZES.items():
            write_bomb(path, what, size)
            found = measure(path)
            print(
                f"{what:<30}{name:>9}{found['seconds']:>9.3f}{found['more']:>9.1f}{found['mb']:>9.0f}  {found['said']}"
            )
            good &= float(found["seconds"]) < 3 and float(found["mb"]) < 400
    return good


def _inspects(path: Path) -> bool:
    try:
        inspect_adapter(path)
    except EngineError:
        return False
    return True


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
