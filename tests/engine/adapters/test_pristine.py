"""Where the weights as loaded are kept: beside the model while it fits, else in RAM."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.adapters.bank import AdapterBank
from engine.adapters.file import Adapter
from engine.adapters.pristine import RESERVE, Pristine, free_bytes, place

from ..conftest import same, weights_of

MEBIBYTE = 1 << 20
DEVICE = torch.device("meta")  # stands for a GPU: a device that is not the CPU, with as much room as the test says


@pytest.mark.parametrize(
    ("free", "where"),
    [(RESERVE + MEBIBYTE, "meta"), (RESERVE + MEBIBYTE - 1, "cpu"), (0, "cpu"), (None, "meta")],
)
def test_a_copy_goes_to_ram_where_it_would_leave_too_little(free: int | None, where: str) -> None:
    """RESERVE stays free for drawing; None is a device that shares the RAM."""
    assert place(torch.empty(MEBIBYTE, dtype=torch.int8, device=DEVICE), lambda device: free).type == where


def test_free_memory_is_asked_at_every_first_touch(builtin: Any, adapter: Adapter) -> None:
    """Of the weight's own device, once a weight; what is kept does not move. Restored bit for bit from either place."""
    asked: list[torch.device] = []

    def free(device: torch.device) -> int:
        asked.append(device)
        return 0 if len(asked) % 2 else 1 << 40

    before = weights_of(builtin)
    bank = AdapterBank(builtin, free=free)
    for strength in (1.0, 0.5):
        bank.set([(adapter, strength)])
    assert asked == [torch.device("cpu")] * len(adapter.modules)
    bank.set([])
    assert same(before, weights_of(builtin))


def test_a_copy_is_made_once_and_counted() -> None:
    """Later changes of the weight do not reach it."""
    kept, weight = Pristine(), torch.ones(4)
    first = kept.keep("a", weight)
    weight.zero_()
    assert kept.keep("a", weight) is first
    assert torch.equal(first, torch.ones(4))
    assert (kept.nbytes, "a" in kept, "b" in kept) == (16, True, False)


def test_the_ram_has_no_other_place() -> None:
    """A model on the CPU keeps its copies there."""
    assert free_bytes(torch.device("cpu")) is None
