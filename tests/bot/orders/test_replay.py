"""A picture's metadata held against the catalog and the models that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.orders import Orders, Replay
from bot.store import Store
from engine import read_infotext
from tests.fakes import FakeLine, adapter_file, who

TEXT = "x <lora:paint:0.5:0.8> <lora:gone:1>\nSteps: 9, Sampler: Heun, Seed: 3, RNG: CPU"


async def replayed(
    store: Store, text: str, *, models: tuple[str, ...] = ("builtin",), family: str = "built-in"
) -> Replay:
    orders = Orders(store, FakeLine(store, family))
    return await orders.replay(read_infotext(text), who(), models, ("Vae-FT",))


@pytest.mark.parametrize("kind", ["sha256", "tensor_sha256"])
@pytest.mark.parametrize("digits", [8, 10, 12, 64])
async def test_an_adapter_is_found_by_any_hash_under_another_name(
    store: Store, tmp_path: Path, kind: str, digits: int
) -> None:
    """AutoV2 is of the file, the WebUI's and AutoV3 of its tensors."""
    entry = await store.catalog.add(adapter_file(tmp_path / "a.safetensors"), "watercolour", visibility="everyone")
    digest = str(getattr(entry.info, kind))[:digits].upper()
    found = await replayed(store, f'{TEXT}, Lora hashes: "paint: {digest}"')
    assert [(one.entry.name, one.same) for one in found.found] == [("watercolour", True)]
    assert [(use.name, use.weight, use.text_weight) for use in found.request.adapters] == [("watercolour", 0.8, 0.5)]
    assert found.missing == (("gone", ""),)
    assert found.notes == ()


async def test_the_text_of_a_replay_is_the_same_order(store: Store, tmp_path: Path) -> None:
    """Also when the catalog's name has signs that a tag cannot hold."""
    await store.catalog.add(adapter_file(tmp_path / "a.safetensors"), "oil: old, new", visibility="everyone")
    entry = await store.catalog.find(who(), "oil: old, new")
    assert entry is not None
    first = await replayed(store, f'{TEXT}, Lora hashes: "paint: {entry.info.tensor_sha256[:12]}"')
    again = await replayed(store, first.infotext)
    assert again.request == first.request
    assert again.request.adapters[0].name == "oil: old, new"


async def test_what_others_keep_to_themselves_is_not_found(store: Store, tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "a.safetensors")
    entry = await store.catalog.add(path, "paint", visibility="private", owner_id=7)
    found = await replayed(store, f'{TEXT}, Lora hashes: "paint: {entry.info.sha256}"')
    assert [name for name, _ in found.missing] == ["paint", "gone"]


async def test_a_hash_that_is_none_or_too_short_finds_nothing(store: Store, tmp_path: Path) -> None:
    entry = await store.catalog.add(adapter_file(tmp_path / "a.safetensors"), "other", visibility="everyone")
    for digest in (entry.info.sha256[:7], "%%%%%%%%%%", "________"):
        found = await replayed(store, f'{TEXT}, Lora hashes: "paint: {digest}"')
        assert [name for name, _ in found.missing] == ["paint", "gone"]


async def test_an_adapter_for_another_base_model_is_left_out_and_told(store: Store, tmp_path: Path) -> None:
    await store.catalog.add(adapter_file(tmp_path / "a.safetensors", width=768), "paint", visibility="everyone")
    found = await replayed(store, TEXT)
    assert found.request.adapters == ()
    assert found.notes == ("paint was made for SD 1.5 and is left out: this base model is built-in.",)


@pytest.mark.parametrize(
    ("written", "model", "told"),
    [
        ("Model: Dream.v8", "dream.v8", False),
        ("Model: folder\\dream.v8.safetensors", "dream.v8", False),
        ("Model: other", "", True),
        ("VAE: vae-ft.pt", "", False),
        ("VAE: mine.pt", "", True),
    ],
)
async def test_models_are_found_by_name_however_it_is_written(
    store: Store, written: str, model: str, told: bool
) -> None:
    found = await replayed(
        store, f"x\nSteps: 9, Sampler: Heun, Seed: 3, RNG: CPU, {written}", models=("builtin", "dream.v8")
    )
    assert found.request.model == model
    assert found.request.vae == ("Vae-FT" if "vae-ft" in written else "")
    assert bool(found.notes) is told
