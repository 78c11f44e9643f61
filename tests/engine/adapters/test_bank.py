"""The bank: W' = round(W + sum m_i D_i), from the pristine W, and back to it bit for bit."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import AdapterInvalid, AdapterMismatch, load_lora, unload_lora
from engine.adapters import bank as bank_module
from engine.adapters import blocks
from engine.adapters.bank import AdapterBank, Weights
from engine.adapters.binding import Bound
from engine.adapters.blocks import Work
from engine.adapters.file import Adapter, read_adapter
from engine.adapters.formats.lora import LowRank
from engine.adapters.kernel import Kernel
from engine.adapters.table import key_table
from engine.residency import Residency
from engine.strength import blocks_of

from ..conftest import attention_layers, same, weights_of
from ..files import write_kohya
from ..layouts import sd15, sd15_unet_only


def closed_form(path: Path, module: str, weight: torch.Tensor) -> torch.Tensor:
    """D in float64 from the file's own tensors: alpha / rank * up @ down, reshaped to the weight."""
    file = load_file(path)
    up, down = (file[f"{module}.lora_{part}.weight"].double() for part in ("up", "down"))
    alpha = file[f"{module}.alpha"].item() if f"{module}.alpha" in file else down.shape[0]
    return (alpha / down.shape[0] * (up.flatten(1) @ down.flatten(1))).reshape(weight.shape)


@pytest.mark.parametrize("strength", [0.5, 1.0, -1.0, 2.0])
def test_every_layer_changes_by_strength_times_its_closed_form(
    builtin: Any, bank: AdapterBank, adapter: Adapter, strength: float
) -> None:
    """After set, W' - W is m * alpha/rank * up @ down within 2e-5 of the largest change."""
    before = weights_of(builtin)
    table = key_table(builtin)
    bank.set([(adapter, strength)])
    for module, weight in attention_layers(builtin):
        target = table[module]
        pristine = next(v for k, v in before.items() if k.replace("text_model.", "") == f"{target.name}.weight")
        wanted = strength * closed_form(adapter.path, module, weight)
        error = (weight.double() - pristine.double() - wanted).abs().max() / wanted.abs().max()
        assert error < 2e-5, module


def test_weight_zero_changes_no_bit(builtin: Any, bank: AdapterBank, adapter: Adapter) -> None:
    """A mix of weight 0 is the base model exactly."""
    before = weights_of(builtin)
    bank.set([(adapter, 0.0)])
    assert same(before, weights_of(builtin))


def test_set_and_set_empty_are_inverses_after_many_switches(
    builtin: Any, bank: AdapterBank, adapter: Adapter, other: Adapter
) -> None:
    """After 200 random switches set([]) gives back every weight bit for bit."""
    before = weights_of(builtin)
    rng = random.Random(5)
    for _ in range(200):
        bank.set([(a, rng.uniform(-2, 2)) for a in rng.sample([adapter, other], rng.randint(0, 2))])
    bank.set([])
    assert same(before, weights_of(builtin))


@pytest.mark.slow
def test_an_sd15_size_unet_in_bfloat16_is_restored_bit_for_bit_after_200_switches(tmp_path: Path) -> None:
    """200 random switches of two adapters on the 860 M weights of an SD 1.5 UNet leave every one as it was."""
    pipeline = sd15_unet_only(torch.bfloat16)
    layers = [(k, p) for k, p in attention_layers(pipeline) if "attn1_to_q" in k or "attn2_to_v" in k]
    adapters = [read_adapter(write_kohya(tmp_path / f"{i}.safetensors", layers[i::2], seed=i)) for i in range(2)]
    bank = AdapterBank(pipeline)
    before = weights_of(pipeline)
    rng = random.Random(1)
    for _ in range(200):
        bank.set([(a, rng.uniform(-2, 2)) for a in rng.sample(adapters, rng.randint(0, 2))])
    bank.set([(adapters[0], 1.0)])
    assert not same(before, weights_of(pipeline)), "the adapters must have changed something"
    bank.set([])
    assert same(before, weights_of(pipeline))


def test_the_order_of_a_mix_does_not_matter(builtin: Any, bank: AdapterBank, adapter: Adapter, other: Adapter) -> None:
    """Two adapters, one of them twice, give the same weights in any order, bit for bit."""
    mix = [(adapter, 0.5), (other, 1.0), (adapter, -0.3)]
    bank.set(mix)
    wanted = weights_of(builtin)
    for other_order in itertools.permutations(mix):
        bank.set(other_order)
        assert same(wanted, weights_of(builtin))


def test_weights_keep_their_storage(builtin: Any, bank: AdapterBank, adapter: Adapter) -> None:
    """Merging happens in place, so compiled and captured models stay valid."""
    pointers = [parameter.data_ptr() for _, parameter in attention_layers(builtin)]
    bank.set([(adapter, 1.0)])
    assert pointers == [parameter.data_ptr() for _, parameter in attention_layers(builtin)]


def test_only_the_layers_of_the_old_and_the_new_mix_are_written(
    builtin: Any, bank: AdapterBank, other: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, and no bit of any other weight is another."""
    next_one = read_adapter(write_kohya(tmp_path / "next.safetensors", attention_layers(builtin)[30:50]))
    old, new = (set(bank.bind(adapter).changes) for adapter in (other, next_one))
    assert old - new
    assert old & new
    assert new - old
    before, real = weights_of(builtin), bank_module.write_sums
    asked: list[list[str]] = []

    def write_sums(works: list[Work], device: torch.device | None) -> None:
        asked.append(sorted(work.name for work in works))
        real(works, device)

    monkeypatch.setattr(bank_module, "write_sums", write_sums)
    for mix, changed in (([(other, 1.0)], old), ([(next_one, 1.0)], new), ([], set())):
        bank.set(mix)
        after = weights_of(builtin)
        names = {name for name in before if not torch.equal(before[name], after[name])}
        assert {name.replace("text_model.", "").removesuffix(".weight") for name in names} == changed
    assert asked == [sorted(old), sorted(old | new), sorted(new)]


def test_text_encoder_and_unet_have_their_own_weights(builtin: Any, bank: AdapterBank, adapter: Adapter) -> None:
    """Weights(unet=1, text=0) changes the UNet and leaves the text encoder bit for bit."""
    before = weights_of(builtin)
    bank.set([(adapter, Weights(unet=1.0, text=0.0))])
    after = weights_of(builtin)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"unet"}


@pytest.mark.parametrize("threads", [1, 4, 0], ids=["the loop", "the loop on threads", "PyTorch"])
def test_a_fault_at_any_layer_restores_every_layer(
    builtin: Any, bank: AdapterBank, adapter: Adapter, other: Adapter, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer in turn breaks when it is written, in whichever way: no trace of the old or of the new mix is left."""
    before, broken = weights_of(builtin), 0
    written: set[int] = set()

    def breaking(real: Any) -> Any:
        def write(by: Any, rows: torch.Tensor, *rest: Any) -> None:
            real(by, rows, *rest)
            if isinstance(by, Kernel) or not threads:
                written.add(rows.data_ptr())
            if rows.data_ptr() == broken:
                raise MemoryError("this layer")

        return write

    monkeypatch.setattr(torch, "get_num_threads", lambda: max(threads, 1))
    monkeypatch.setattr(Kernel, "write", breaking(Kernel.write))
    monkeypatch.setattr(blocks, "_write_rows", breaking(blocks._write_rows))
    if not threads:
        monkeypatch.setattr(blocks, "kernel", lambda: None)
    bank.set([(adapter, 1.0)])
    wanted = weights_of(builtin)
    layers = {weight.data_ptr() for _, weight in attention_layers(builtin)}
    assert written <= layers
    assert len(written) > 20 if threads else written == layers
    for place in sorted(written):
        broken = 0
        bank.set([(other, 1.0)])
        broken = place
        with pytest.raises(MemoryError, match="this layer"):
            bank.set([(adapter, 1.0)])
        assert bank.mix == ()
        assert same(before, weights_of(builtin))
    broken = 0
    bank.set([(adapter, 1.0)])
    assert same(wanted, weights_of(builtin)), "the next mix is in force as if nothing had been"


def test_a_file_for_another_family_is_refused_before_any_weight_is_touched(
    builtin: Any, bank: AdapterBank, adapter: Adapter, tmp_path: Path
) -> None:
    """An SD 1.5 file on another model: both families are named, and the mix before stays in force."""
    layers = [(k, p) for k, p in attention_layers(sd15()) if "attn2_to_k" in k]
    foreign = read_adapter(
        write_kohya(tmp_path / "foreign.safetensors", [(k, torch.empty(p.shape)) for k, p in layers])
    )
    bank.set([(adapter, 1.0)])
    before = weights_of(builtin)
    with pytest.raises(AdapterMismatch, match=r"foreign is made for SD 1\.5; this base model is built-in"):
        bank.set([(foreign, 1.0)])
    assert same(before, weights_of(builtin))


def test_a_layer_of_the_wrong_shape_is_refused_by_name(bank: AdapterBank, tmp_path: Path) -> None:
    """A key that exists with a shape that does not fit names the layer and both shapes."""
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    wrong = read_adapter(write_kohya(tmp_path / "wrong.safetensors", [(key, torch.empty(33, 80))]))
    with pytest.raises(AdapterMismatch, match=rf"{key} has up \(33, 4\)"):
        bank.set([(wrong, 1.0)])


def test_every_key_is_accounted_for(bank: AdapterBank, builtin: Any, tmp_path: Path) -> None:
    """Keys are applied, ignored with a reason, or unknown by name; the report says how many layers of how many."""
    layers = [
        *attention_layers(builtin)[:3],
        ("lora_unet_no_such_layer", torch.empty(8, 8)),
        ("bundle_emb.me", torch.empty(8, 8)),
    ]
    report = bank.set([(read_adapter(write_kohya(tmp_path / "mixed.safetensors", layers, alpha=None)), 1.0)])[0]
    assert str(report) == "mixed: 3 of 5 layers, 4 keys unknown"
    assert {key.split(".")[0] for key in report.unknown} == {"lora_unet_no_such_layer", "bundle_emb"}


def test_one_layer_under_two_spellings_is_refused(bank: AdapterBank, builtin: Any, tmp_path: Path) -> None:
    """A file that spells one layer twice is not applied twice in silence."""
    table = key_table(builtin)
    target = table["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"]
    spellings = [key for key, other in table.items() if other is target][:2]
    twice = write_kohya(tmp_path / "twice.safetensors", [(key, target.parameter) for key in spellings])
    with pytest.raises(AdapterInvalid, match="twice"):
        bank.set([(read_adapter(twice), 1.0)])


def test_load_lora_adds_up_and_unload_lora_is_its_inverse(builtin: Any, adapter: Adapter, other: Adapter) -> None:
    """load_lora twice equals one mix of both; unload_lora gives the pristine weights back bit for bit."""
    before = weights_of(builtin)
    load_lora(builtin, adapter.path, 0.5)
    report = load_lora(builtin, other.path, lora_weight=1.0)
    assert str(report) == "other: 40 of 40 layers"
    loaded = weights_of(builtin)
    unload_lora(builtin)
    assert same(before, weights_of(builtin))
    bank = AdapterBank(builtin)
    bank.set([(adapter, 0.5), (other, 1.0)])
    assert same(loaded, weights_of(builtin))
    bank.set([])


def test_unload_lora_without_load_lora_does_nothing(builtin: Any) -> None:
    """The inverse of nothing is nothing."""
    before = weights_of(builtin)
    unload_lora(builtin)
    assert same(before, weights_of(builtin))


def test_an_adapter_is_prepared_once_until_it_has_to_go(builtin: Any, adapter: Adapter, other: Adapter) -> None:
    """By its bytes, whatever object they are read into; beyond the budget the least recently used is prepared again."""
    room: Residency[str, Bound] = Residency(AdapterBank(builtin).bind(adapter).nbytes)
    bank = AdapterBank(builtin, factors=room)
    first = bank.bind(adapter)
    assert bank.bind(read_adapter(adapter.path)) is first
    assert (room.figures.hits, room.figures.misses, room.figures.nbytes) == (1, 1, first.nbytes)
    assert first.nbytes == sum(c.up.nbytes + c.down.nbytes for c in first.changes.values() if isinstance(c, LowRank))
    bank.bind(other)
    assert room.figures.evictions == 1
    assert bank.bind(adapter) is not first


def test_the_report_says_the_name_that_this_reading_has(bank: AdapterBank, adapter: Adapter) -> None:
    """Prepared once for two names, each is told its own."""
    bank.set([(adapter, 1.0)])
    assert bank.set([(read_adapter(adapter.path, name="mine"), 1.0)])[0].name == "mine"


def test_block_weights_are_strengths_by_block(bank: AdapterBank, builtin: Any, adapter: Adapter) -> None:
    """A block at 1 is as in the whole adapter, one at 0 as in the base, BASE is the text encoder."""
    base = weights_of(builtin)
    bank.set([(adapter, 0.5)])
    whole = weights_of(builtin)
    bank.set([(adapter, Weights(0.5, 0.5, blocks_of([0, *[1] * 6, 0, *[0] * 9])))])
    cut = weights_of(builtin)
    inputs = {name for name in base if name.startswith("unet.down_blocks")}
    assert all(torch.equal(cut[name], (whole if name in inputs else base)[name]) for name in base)
    assert any(not torch.equal(whole[name], base[name]) for name in inputs)
    bank.set([])
    assert same(weights_of(builtin), base)


def test_a_dynamic_rank_is_a_file_of_so_few_ranks(
    bank: AdapterBank, builtin: Any, adapter: Adapter, tmp_path: Path
) -> None:
    """The first ranks, at the scale of all of them (alpha over the full rank)."""
    tensors = load_file(adapter.path)
    for key in tensors:
        if "lora_up" in key:
            tensors[key] = tensors[key][:, :2].contiguous()
        elif "lora_down" in key:
            tensors[key] = tensors[key][:2].contiguous()
        else:
            tensors[key] = tensors[key] / 2  # alpha / rank stays
    save_file(tensors, tmp_path / "small.safetensors")
    bank.set([(read_adapter(tmp_path / "small.safetensors"), 0.7)])
    small = weights_of(builtin)
    report = bank.set([(adapter, Weights(0.7, 0.7, rank=2))])[0]
    assert report.notes == ()
    cut = weights_of(builtin)
    assert all(torch.allclose(cut[name], small[name], atol=1e-6) for name in small)
    bank.set([(adapter, Weights(0.7, 0.7, rank=99))])
    more = weights_of(builtin)
    bank.set([(adapter, 0.7)])
    assert same(weights_of(builtin), more)


def test_a_dynamic_rank_of_what_has_no_ranks_is_told(bank: AdapterBank, builtin: Any, tmp_path: Path) -> None:
    """The layers are applied whole, and the report says so."""
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    weight = builtin.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    save_file({f"{layer}.diff": torch.ones_like(weight)}, tmp_path / "full.safetensors")
    report = bank.set([(read_adapter(tmp_path / "full.safetensors"), Weights(1.0, 1.0, rank=2))])[0]
    assert str(report) == (
        "full: 1 of 1 layers, a dynamic rank of 2 does nothing to 1 of them, which are no plain LoRA"
    )
