"""Files of all formats at once: in force as the sum of their changes, and gone without a trace."""

from __future__ import annotations

import copy
import random
import threading
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.adapters import blocks
from engine.adapters.bank import AdapterBank
from engine.adapters.blocks import Work
from engine.adapters.file import Adapter, read_adapter
from engine.adapters.formats import FORMATS
from engine.adapters.kernel import Kernel
from engine.adapters.table import key_table

from ..conftest import same, weights_of
from ..layouts import SimplePipeline
from .cases import CASES, zoo


@pytest.fixture(scope="module")
def adapters(builtin: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    """Three files; together every format stands in them, on several kinds of layers."""
    folder, found = tmp_path_factory.mktemp("zoo"), []
    for seed in range(3):
        save_file(zoo(unet_layers(builtin), seed * 17), folder / f"zoo{seed}.safetensors")
        found.append(read_adapter(folder / f"zoo{seed}.safetensors"))
    return found


def unet_layers(pipeline: Any) -> dict[str, torch.Tensor]:
    """Kohya's spelling without its prefix -> weight, of every layer of the blocks."""
    heads = ("lora_unet_down_", "lora_unet_mid_", "lora_unet_up_")
    table = key_table(pipeline).items()
    return {key.removeprefix("lora_unet_"): target.parameter for key, target in table if key.startswith(heads)}


def test_the_three_files_hold_every_format(builtin: Any, adapters: list[Adapter]) -> None:
    """What the tests below say about "all formats" is true: every class is among the bound changes."""
    bank = AdapterBank(builtin)
    kinds = {type(change) for adapter in adapters for change in bank.bind(adapter).changes.values()}
    assert kinds == set(FORMATS)
    assert any(name.endswith(".bias") for name in bank.bind(adapters[0]).changes)


@pytest.fixture(scope="module")
def twenty(builtin: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    """Twenty files that overlap, each of a few layers in several formats."""
    folder, found = tmp_path_factory.mktemp("twenty"), []
    for seed in range(20):
        layers = random.Random(seed).sample(sorted(unet_layers(builtin).items()), 12)
        save_file(zoo(dict(layers), seed), folder / f"{seed}.safetensors")
        found.append(read_adapter(folder / f"{seed}.safetensors"))
    return found


def test_a_thousand_random_mixes_leave_every_weight_as_it_was(builtin: Any, twenty: list[Adapter]) -> None:
    """Of twenty files in all formats at random strengths, some of them zero; set([]) gives back every bit."""
    bank, before, rng = AdapterBank(builtin), weights_of(builtin), random.Random(3)
    for _ in range(1000):
        chosen = rng.sample(twenty, rng.randint(0, 3))
        bank.set([(adapter, rng.choice((0.0, rng.uniform(-2, 2)))) for adapter in chosen])
    bank.set([(adapter, 1.0) for adapter in twenty])
    assert not same(before, weights_of(builtin))
    bank.set([])
    assert same(before, weights_of(builtin))


def test_mixes_written_by_four_threads_are_those_of_one(
    builtin: Any, bank: AdapterBank, adapters: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every format, set and undone, bit for bit; several threads have had a part in it."""
    before, alone, runners = weights_of(builtin), [], set()
    mixes = [[(adapter, 0.5)] for adapter in adapters] + [[(adapter, -0.3) for adapter in adapters]]
    for mix in mixes:
        bank.set(mix)
        alone.append(weights_of(builtin))
    real = Kernel.write

    def write(self: Kernel, *args: Any) -> None:
        runners.add(threading.current_thread())
        real(self, *args)

    monkeypatch.setattr(Kernel, "write", write)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for mix, wanted in zip(mixes, alone, strict=True):
        bank.set(mix)
        assert same(wanted, weights_of(builtin))
        bank.set([])
        assert same(before, weights_of(builtin))
    assert len(runners) > 1
    assert threading.main_thread() not in runners


def test_formats_that_depend_on_the_weight_see_the_pristine_one_in_any_order(
    builtin: Any, bank: AdapterBank, adapters: list[Adapter]
) -> None:
    """A mix changes each weight by the sum of what its adapters change it by alone."""
    before = weights_of(builtin)
    alone = []
    for adapter in adapters:
        bank.set([(adapter, 0.5)])
        alone.append(weights_of(builtin))
    bank.set([(adapter, 0.5) for adapter in reversed(adapters)])
    for name, mixed in weights_of(builtin).items():
        wanted = before[name].double() + sum(one[name].double() - before[name].double() for one in alone)
        assert (mixed.double() - wanted).abs().max() <= 1e-5 * wanted.abs().max().clamp_min(1), name


@pytest.mark.slow
def test_a_fault_at_any_layer_of_any_format_restores_every_weight(
    builtin: Any, bank: AdapterBank, adapters: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever weight or bias breaks, after its change was added, no trace of the old or of the new mix is left."""
    before = weights_of(builtin)
    names = bank.bind(adapters[0]).changes
    real, broken = blocks._put_back, ""

    def put_back(work: Work, *args: Any) -> None:
        real(work, *args)
        if work.name == broken:
            raise MemoryError(work.name)

    monkeypatch.setattr(blocks, "_put_back", put_back)
    for name in names:
        broken = ""
        bank.set([(adapters[1], 1.0)])
        broken = name
        with pytest.raises(MemoryError, match=name):
            bank.set([(adapters[0], 1.0)])
        assert bank.mix == ()
        assert same(before, weights_of(builtin)), name
    assert len(names) > 100
    assert any(name.endswith(".bias") for name in names)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_weight_is_rounded_once(builtin: Any, adapters: list[Adapter], dtype: torch.dtype) -> None:
    """Two adapters on weights in half precision give the float32 sum of that model's own weights, rounded once."""
    half = SimplePipeline(unet=copy.deepcopy(builtin.unet).to(dtype))
    single = SimplePipeline(unet=copy.deepcopy(half.unet).float())
    mix = [(adapters[0], 0.5), (adapters[1], 1.0)]
    AdapterBank(half).set(mix)
    AdapterBank(single).set(mix)
    exact = weights_of(single)
    assert all(torch.equal(weight, exact[name].to(dtype)) for name, weight in weights_of(half).items())


def test_moving_and_counting_reach_every_tensor(builtin: Any, adapters: list[Adapter]) -> None:
    """Each change moved to the meta device holds nothing any more; before, its bytes are counted."""
    bank = AdapterBank(builtin)
    for change in bank.bind(adapters[0]).changes.values():
        assert change.nbytes > 0
        moved = change.to(torch.device("meta"))
        assert moved.nbytes == change.nbytes
        assert "device='meta'" in repr(moved)
        assert "device='meta'" not in repr(change)
    assert len(CASES) > 40


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("count", [1, 2])
def test_a_layer_written_in_blocks_of_rows_gets_the_same_weight(
    builtin: Any, adapters: list[Adapter], layout: torch.memory_format, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a few rows give what whole layers and the compiled loop give, for every format, in any layout."""
    for adapter in adapters:
        mix = [(adapter, 0.5)] * count
        whole, cut = (SimplePipeline(unet=copy.deepcopy(builtin.unet)) for _ in range(2))
        AdapterBank(whole).set(mix)
        cut.unet.to(memory_format=layout)
        monkeypatch.setattr(blocks, "kernel", lambda: None)
        monkeypatch.setattr(blocks, "BLOCK", 1200)  # a few rows of a linear layer, one of a convolution
        AdapterBank(cut).set(mix)
        monkeypatch.undo()
        wanted = weights_of(whole)
        for name, weight in weights_of(cut).items():
            assert (weight - wanted[name]).abs().max() <= 1e-6 * wanted[name].abs().max().clamp_min(1), name


def test_layers_written_together_get_the_same_weights(builtin: Any, adapters: list[Adapter]) -> None:
    """The way of a GPU, many layers at a time in one buffer, for every format."""
    one, many = (SimplePipeline(unet=copy.deepcopy(builtin.unet)) for _ in range(2))
    many.unet.to(memory_format=torch.channels_last)
    AdapterBank(one).set([(adapter, 0.5) for adapter in adapters])
    plan: dict[str, list[Any]] = {}
    for adapter in sorted(adapters, key=lambda adapter: adapter.info.sha256):
        for name, change in AdapterBank(many).bind(adapter).changes.items():
            plan.setdefault(name, []).append((change, 0.5))
    targets = AdapterBank(many)._targets
    works = [Work(n, targets[n].parameter, targets[n].parameter.detach().clone(), plan[n]) for n in plan]
    groups = list(blocks._groups(works))
    assert sum(map(len, groups)) == len(works)
    with torch.no_grad():
        for group in groups:
            blocks.write_together(group, torch.device("cpu"))
    wanted = weights_of(one)
    for name, weight in weights_of(many).items():
        assert (weight - wanted[name]).abs().max() <= 1e-6 * wanted[name].abs().max().clamp_min(1), name


@pytest.mark.parametrize("size", [blocks.GROUP, 200_000, 1])
def test_groups_hold_every_layer_once_and_fit_where_a_layer_does(
    builtin: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order; a layer that is too large stands alone."""
    monkeypatch.setattr(blocks, "GROUP", size)
    works = [Work(name, weight, weight, ()) for name, weight in unet_layers(builtin).items()]
    groups = list(blocks._groups(works))
    assert [work.name for group in groups for work in group] == [work.name for work in works]
    assert all(len(group) == 1 or sum(w.weight.numel() for w in group) <= size for group in groups)
