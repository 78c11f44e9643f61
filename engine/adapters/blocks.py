"""weight = round(pristine + sum of m * D): in float32, rounded once, with as little traffic in memory as possible.

On a CPU a switch costs the multiplications (two flops a weight and rank, at what the core can do) and the way of the
weights through memory. What LoRA asks for, which is nearly everything, a loop of our own does in one pass (`kernel`).
For the rest a float32 copy of a whole layer would go to memory and back for every adapter, in fresh memory each time; a
few megabytes of rows at a time, in one scratch buffer for all layers, the sum lives in the cache from the first
conversion to the rounding. On a GPU the launches of kernels count: there, many layers are converted by one launch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch

from ..errors import AdapterInvalid
from .formats import Change
from .formats.lora import LowRank
from .kernel import Factors, Kernel, kernel

BLOCK = 1 << 20  # float32 numbers: 4 MiB. Measured: half of it costs 10 % more, an eighth 50 %, whole layers 110 %
GROUP = 1 << 26  # float32 numbers: 256 MiB of a GPU's memory, a few launches for all of SD 1.5
SAFE = {torch.float32: 1e37, torch.bfloat16: 1e37}  # sums of changes within this cannot leave the type
Changes = Sequence[tuple[Change, float]]  # with their strengths


class Work(NamedTuple):
    """`weight` is to hold round(pristine + sum of strength * change), in its own storage."""

    name: str
    weight: torch.Tensor
    pristine: torch.Tensor
    changes: Changes


def write_sums(works: Iterable[Work], device: torch.device | None = None) -> None:
    """Every weight holds its sum. Multiplied on `device`, None: where the weight lives.

    Raises AdapterInvalid for a sum that the weight's type cannot hold; some of the weights are written by then.
    """
    works = list(works)
    idle = [work for work in works if not work.changes]
    if idle:
        torch._foreach_copy_([work.weight for work in idle], [work.pristine for work in idle])
    near: list[Work] = []
    there: dict[torch.device, list[Work]] = {}
    for work in works:
        place = device or work.weight.device
        if work.changes and place.type == work.weight.device.type == "cpu":
            near.append(work)
        elif work.changes:
            there.setdefault(place, []).append(work)
    if near:
        write_near(near)
    for place, group in there.items():
        for some in _groups(group):
            write_together(some, place)


def write_near(works: Iterable[Work]) -> None:
    """Weights on the CPU, on as many threads as PyTorch has: it splits a layer among them, we the layers."""
    loop, scratch = kernel(), torch.empty(BLOCK)
    fused: list[_Fused] = []
    for work in works:
        one = _fused(loop, work) if loop is not None else None
        if one is not None:
            fused.append(one)
        else:
            write_sum(work, scratch)
    _write_fused(fused)


class _Fused(NamedTuple):
    """One weight whose changes are products of two matrices and nothing more: one pass over it writes the sum."""

    loop: Kernel
    work: Work
    rows: torch.Tensor
    base: torch.Tensor
    factors: Factors  # with the strengths in them; of all layers at once, as small as a LoRA is beside its model


def _fused(loop: Kernel, work: Work) -> _Fused | None:
    """None where a change is of another kind, or a matrix laid out otherwise than the loop needs it."""
    factors: list[tuple[torch.Tensor, torch.Tensor]] = []
    for change, strength in work.changes:
        if not isinstance(change, LowRank):
            return None
        factors.append(((change.up * strength).contiguous(), change.down.contiguous()))
    rows, base = _matrices(work)
    return _Fused(loop, work, rows, base, factors) if loop.takes(rows, base, factors) else None


def _write_fused(fused: list[_Fused]) -> None:
    """The threads run the loop and nothing of PyTorch's, which would open as many threads again for each of them."""
    threads = min(torch.get_num_threads(), len(fused))
    if threads > 1:
        fused = sorted(fused, key=lambda one: one.rows.numel())  # then every hand gets small ones and large ones
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(_run_loops, [fused[hand::threads] for hand in range(threads)]))
    else:
        _run_loops(fused)
    for one in fused:
        _require_finite(one.work, one.rows)
        _put_back(one.work, one.rows)


def _run_loops(some: Iterable[_Fused]) -> None:
    for one in some:
        one.loop.write(one.rows, one.base, one.factors)


def write_sum(work: Work, scratch: torch.Tensor) -> None:
    """One weight on the CPU, in blocks of rows where its changes can be cut."""
    rows, base = _matrices(work)
    count, columns = rows.shape
    step = max(1, scratch.numel() // columns)
    if count <= step:
        _write_rows(work, rows, base, work.pristine, work.changes, scratch)
    elif all(change.rows(0, 1) is not None for change, _ in work.changes):
        for start in range(0, count, step):
            stop = min(start + step, count)
            parts = [(part, strength) for change, strength in work.changes if (part := change.rows(start, stop))]
            kept = base[start:stop]
            _write_rows(work, rows[start:stop], kept, kept, parts, scratch)
    else:
        _write_rows(work, rows, base, work.pristine, work.changes, torch.empty(rows.numel()))
    _put_back(work, rows)


def _write_rows(
    work: Work, rows: torch.Tensor, base: torch.Tensor, pristine: torch.Tensor, changes: Changes, scratch: torch.Tensor
) -> None:
    """rows = round(base + changes), by way of `scratch`; `pristine` is base in the shape that the changes know."""
    total = scratch.as_strided(rows.shape, (rows.shape[1], 1))
    total.copy_(base)
    for change, strength in changes:
        change.add_to(total, pristine, strength)
    rows.copy_(total)
    _require_finite(work, rows)


def write_together(works: Sequence[Work], device: torch.device) -> None:
    """Several weights, each step for all of them at once where PyTorch has a launch for many tensors."""
    rows = [_matrices(work)[0] for work in works]
    near = [work.pristine.to(device, non_blocking=True) for work in works]
    scratch = torch.empty(sum(row.numel() for row in rows), device=device)
    parts = torch.split(scratch, [row.numel() for row in rows])
    totals = [part.view(row.shape) for part, row in zip(parts, rows, strict=True)]
    torch._foreach_copy_(totals, [base.reshape(row.shape) for base, row in zip(near, rows, strict=True)])
    for work, base, total in zip(works, near, totals, strict=True):
        for change, strength in work.changes:
            change.add_to(total, base, strength)
    torch._foreach_copy_(rows, totals)
    doubtful = [(work, row) for work, row in zip(works, rows, strict=True) if not _safe(work)]
    finite = [row.sum(dtype=torch.float32).isfinite() for _, row in doubtful]
    if finite and not torch.stack(finite).all():  # the one time that the CPU waits for the GPU
        for work, row in doubtful:
            if not row.isfinite().all():
                raise _overflow(work)
    for work, row in zip(works, rows, strict=True):
        _put_back(work, row)


def _require_finite(work: Work, rows: torch.Tensor) -> None:
    if not _safe(work) and not math.isfinite(rows.sum()) and not rows.isfinite().all():
        raise _overflow(work)


def _groups(works: Iterable[Work]) -> Iterator[list[Work]]:
    group: list[Work] = []
    for work in works:
        if group and sum(held.weight.numel() for held in group) + work.weight.numel() > GROUP:
            yield group
            group = []
        group.append(work)
    yield group


def _matrices(work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight, pristine) as (out, in * kernel): views, but for a layout of the memory that is none of matrices."""
    if work.weight.dim() == 2:
        return work.weight, work.pristine
    rows = work.weight.reshape(work.weight.shape[0], -1)
    return rows, work.pristine.reshape(rows.shape)


def _put_back(work: Work, rows: torch.Tensor) -> None:
    if rows is not work.weight and rows.data_ptr() != work.weight.data_ptr():
        work.weight.copy_(rows.view(work.weight.shape))


def _safe(work: Work) -> bool:
    """Whether no sum can be infinite, by how large the changes can be; then a reading of every weight is spared."""
    return sum(abs(strength) * change.reach for change, strength in work.changes) < SAFE.get(work.weight.dtype, 0)


def _overflow(work: Work) -> AdapterInvalid:
    kind = str(work.weight.dtype).removeprefix("torch.")
    return AdapterInvalid(
        f"With these adapters at these weights {work.name} has numbers that {kind} cannot hold, so none is in force. "
        "Lower the weights, or leave one out."
    )
