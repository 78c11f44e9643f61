"""What many switches leave behind in memory: nothing, if this shows a flat line."""

from __future__ import annotations

import gc
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..residency import Residency
from .bank import AdapterBank
from .bench import Size, attention, bench_pipeline, write_adapter
from .binding import Bound
from .file import Adapter, read_adapter

ADAPTERS, SWITCHES, WARM = 20, 1000, 100
PAGE = 4096
STATM = Path("/proc/self/statm")  # Linux; elsewhere the resident size is not shown


@dataclass(frozen=True, slots=True)
class Sample:
    """After `switches` switches: resident bytes of the process, live tensors and the bytes of their storages."""

    switches: int
    resident: int
    tensors: int
    tensor_bytes: int


def soak(size: Size = "sd15", device: str = "cpu") -> str:
    """1,000 random switches among 20 adapters, a third of which fit the budget, as a table with the slopes."""
    torch.set_num_threads(1)
    place = torch.device(device)
    pipeline = bench_pipeline(size, place)
    with tempfile.TemporaryDirectory() as folder:
        adapters = list(adapters_for(pipeline, Path(folder)))
    bank = bank_with_room_for_a_third(pipeline, adapters)
    samples = list(switches(bank, adapters, SWITCHES, every=SWITCHES // 10))
    rows = [f"{'switches':>8}{'resident MB':>14}{'tensors':>10}{'their MB':>12}"]
    rows += [f"{s.switches:8}{s.resident / 1e6:14.1f}{s.tensors:10}{s.tensor_bytes / 1e6:12.1f}" for s in samples]
    after = [sample for sample in samples if sample.switches >= WARM]
    rows.append(f"resident: {slope(after, 'resident'):+.0f} bytes a switch; tensors: ")
    rows[-1] += f"{slope(after, 'tensors'):+.3f} and {slope(after, 'tensor_bytes'):+.0f} bytes a switch"
    rows.append(f"prepared factors: {bank.factors.figures}")
    if place.type == "cuda":
        stats = torch.cuda.memory_stats(place)
        kinds = ("allocated_bytes.all.current", "allocated_bytes.all.peak", "reserved_bytes.all.current")
        rows += [f"{kind}: {stats[kind]:,}" for kind in (*kinds, "num_alloc_retries", "num_ooms")]
    return "\n".join(rows)


def adapters_for(pipeline: Any, folder: Path) -> Iterator[Adapter]:
    """Twenty, of different ranks, each on its own half of the attention layers."""
    layers = attention(pipeline)
    for i in range(ADAPTERS):
        own = dict(random.Random(i).sample(list(layers.items()), len(layers) // 2))
        yield read_adapter(write_adapter(own, folder / f"soak{i}.safetensors", i, rank=4 + 4 * (i % 4)))


def bank_with_room_for_a_third(pipeline: Any, adapters: list[Adapter]) -> AdapterBank:
    """So that factors come and go with most switches."""
    budget: Residency[str, Bound] = Residency(sum(adapter.nbytes for adapter in adapters) // 3)
    return AdapterBank(pipeline, factors=budget)


def switches(bank: AdapterBank, adapters: list[Adapter], count: int, *, every: int) -> Iterator[Sample]:
    """`count` switches to random mixes of none to three; a sample `every` so many, each time without an adapter."""
    rng = random.Random(0)
    for done in range(count + 1):
        if done % every == 0:
            bank.set([])
            yield sample(done)
        bank.set([(adapter, rng.uniform(-1, 1)) for adapter in rng.sample(adapters, rng.randint(0, 3))])
    bank.set([])


def sample(done: int) -> Sample:
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    held = (tensor.untyped_storage() for tensor in tensors if tensor.device.type != "meta")
    storages = {storage.data_ptr(): storage.nbytes() for storage in held}
    resident = int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else 0
    return Sample(done, resident, len(tensors), sum(storages.values()))


def slope(samples: list[Sample], what: str) -> float:
    """Of the least squares line through `what` over switches."""
    xs, ys = [s.switches for s in samples], [getattr(s, what) for s in samples]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return float(sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs))
