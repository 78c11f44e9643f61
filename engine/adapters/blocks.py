"""weight = round(pristine + sum of m * D): in float32, rounded once, in blocks of rows that stay in the cache.

What a switch costs on a CPU is memory traffic: a float32 copy of a whole layer goes to memory and comes back for every
adapter, and the memory for it is fresh each time. Two megabytes of rows at a time, in one scratch buffer, the sum lives
in the cache from the first conversion to the rounding, and only the weight itself goes through memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .formats import Change

BLOCK = 1 << 19  # float32 numbers: 2 MiB; measured best from 1 to 2 MiB, smaller ones cost more calls than they save
Changes = Sequence[tuple[Change, float]]  # with their strengths


def write_sum(weight: torch.Tensor, pristine: torch.Tensor, changes: Changes, device: torch.device) -> None:
    """`weight` holds the rounded sum, in its own storage; `pristine` is unchanged. Multiplied on `device`."""
    if not changes:
        weight.copy_(pristine)
        return
    rows = weight.reshape(weight.shape[0], -1)  # a view, but for a layout of the memory that is none of matrices
    base = pristine.reshape(rows.shape)
    local = device.type == weight.device.type == "cpu"
    if local and all(change.rows(0, 1) is not None for change, _ in changes):
        _write_blocks(rows, base, changes)
    else:
        total = base.to(device, torch.float32, copy=True)
        for change, strength in changes:
            change.add_to(total, pristine, strength)
        rows.copy_(total)
    if rows.data_ptr() != weight.data_ptr():
        weight.copy_(rows.view(weight.shape))


def _write_blocks(rows: torch.Tensor, base: torch.Tensor, changes: Changes) -> None:
    count = len(rows)
    step = min(count, max(1, BLOCK // rows.shape[1]))
    scratch = torch.empty(step, rows.shape[1])
    for start in range(0, count, step):
        stop = min(start + step, count)
        kept, total = base[start:stop], scratch[: stop - start]
        total.copy_(kept)
        for change, strength in changes:
            part = change.rows(start, stop)
            assert part is not None  # write_sum has asked
            part.add_to(total, kept, strength)
        rows[start:stop].copy_(total)
