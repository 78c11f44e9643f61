"""Adapters in and out of the engine's memory, over restarts and changes of the base model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bot.orders import Forbidden, OrderError, Orders, Stock
from bot.store import Store, open_store
from engine import AdapterNotFound, AdapterUse, EngineFault, WorkerId
from tests.fakes import MEMBER, FakeFleet, FakeLine, adapter_file, until, who

OWNER = replace(who(8), owner=True)
ADMIN = replace(who(9), admin=True)


@dataclass
class Row:
    sha256: str
    draws: int
    failures: int = 0
    seconds_per_step: float = 0.0
    base_seconds_per_step: float = 0.0


@dataclass
class Rows:
    rows: Sequence[Row] = ()

    async def all(self) -> Sequence[Row]:
        return self.rows


async def add(store: Store, folder: Path, name: str, *, width: int = 96, owner: int | None = None) -> str:
    """The hash of an adapter that everybody sees, or its owner alone."""
    path = adapter_file(folder / f"{name}.safetensors", width=width, text=name)
    visibility = "everyone" if owner is None else "private"
    return (await store.catalog.add(path, name, visibility=visibility, owner_id=owner)).info.sha256


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def stock(store: Store, fleet: FakeFleet) -> Stock:
    return Stock(store, fleet, Orders(store, FakeLine(store)))


async def test_loading_and_unloading_are_inverses(stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path) -> None:
    sha256 = await add(store, tmp_path, "Ink")
    before = fleet.holds
    assert (await stock.load(OWNER, "ink")).name == "Ink"
    (worker,) = await stock.held(ADMIN)
    assert [(held.name, held.gpu, held.ram, held.pinned) for held in worker.adapters] == [("Ink", True, True, False)]
    assert sha256 in fleet.holds.ram
    assert (await stock.unload(OWNER, "ink")).name == "Ink"
    assert fleet.holds == before


async def test_pinning_and_unpinning_are_inverses(stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path) -> None:
    """What is pinned is not unloaded; each act is in the audit of the bot, not of a server."""
    sha256 = await add(store, tmp_path, "Ink")
    await stock.pin(OWNER, "Ink")
    await stock.pin(OWNER, "Ink")
    assert (fleet.holds.pinned, await store.stock.pinned()) == ({sha256}, {sha256})
    with pytest.raises(OrderError, match="unpin"):
        await stock.unload(OWNER, "Ink")
    await stock.unpin(OWNER, "Ink")
    assert (fleet.holds.pinned, await store.stock.pinned()) == (frozenset(), frozenset())
    entries = await store.audit.entries(None)
    assert [(entry.action, entry.guild_id, entry.subject) for entry in entries] == [
        ("adapter unpin", None, "Ink"),
        ("adapter pin", None, "Ink"),
    ]


async def test_warming_and_cooling_are_inverses(stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path) -> None:
    sha256 = await add(store, tmp_path, "Ink")
    await stock.warm(OWNER, "Ink")
    assert await store.stock.warm() == {sha256}
    assert sha256 in fleet.holds.ram
    await stock.cool(OWNER, "Ink")
    assert await store.stock.warm() == frozenset()


@pytest.mark.parametrize("act", ["load", "unload", "pin", "unpin", "warm", "cool"])
async def test_memory_is_for_those_who_run_the_bot(stock: Stock, act: str) -> None:
    with pytest.raises(Forbidden):
        await getattr(stock, act)(ADMIN, "ink")
    with pytest.raises(AdapterNotFound):
        await getattr(stock, act)(OWNER, "no such")


async def test_what_is_held_is_for_admins_to_see(stock: Stock) -> None:
    for by in (who(), who(moderator=True)):
        with pytest.raises(Forbidden):
            await stock.held(by)
        with pytest.raises(Forbidden):
            await stock.stats(by)


async def test_nobody_learns_the_names_of_what_is_not_theirs(
    stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path
) -> None:
    """It is counted; whoever runs the bot sees, and can name, the beginning of the hash."""
    sha256 = await add(store, tmp_path, "my secret", owner=MEMBER)
    await fleet.load(fleet.id, AdapterUse("", sha256=sha256))
    (seen,) = await stock.held(ADMIN)
    assert (seen.adapters, seen.others) == ((), 1)
    (seen,) = await stock.held(OWNER)
    assert [held.name for held in seen.adapters] == [sha256[:10]]
    for name in (sha256[:7], "0" * 10, "my secret"):
        with pytest.raises(AdapterNotFound):
            await stock.unload(OWNER, name)
    await stock.unload(OWNER, sha256[:10])
    assert fleet.holds.ram == frozenset()


async def test_figures_are_of_what_was_drawn_with_and_is_seen(store: Store, fleet: FakeFleet, tmp_path: Path) -> None:
    ink, neon = await add(store, tmp_path, "Ink"), await add(store, tmp_path, "Neon")
    own = await add(store, tmp_path, "own", owner=MEMBER)
    rows = [Row(ink, 3, 1, 0.5, 0.25), Row(neon, 0), Row(own, 9)]
    stock = Stock(store, fleet, Orders(store, FakeLine(store)), Rows(rows))
    assert (await stock.stats(ADMIN)).figures == (("Ink", rows[0]),)
    assert [name for name, _ in (await stock.stats(OWNER)).figures] == ["Ink", own[:10]]


@asynccontextmanager
async def process(data: Path, fleet: FakeFleet) -> AsyncIterator[tuple[Stock, Store]]:
    """The stock of a bot that has just started."""
    async with open_store(None, data) as store:
        stock = Stock(store, fleet, Orders(store, FakeLine(store)))
        stock.look()
        yield stock, store
        await stock.aclose()


async def test_pins_and_the_warm_set_are_back_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with process(data, FakeFleet()) as (stock, store):
        ink, neon = await add(store, tmp_path, "Ink"), await add(store, tmp_path, "Neon")
        await stock.pin(OWNER, "Ink")
        await stock.warm(OWNER, "Neon")
    fleet = FakeFleet()
    async with process(data, fleet):
        await until(lambda: fleet.holds.ram == {ink, neon})
        assert fleet.holds.pinned == {ink}


async def test_another_base_model_gets_what_fits_it(
    stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path
) -> None:
    """And what is of another kind waits for its own; the same model is not filled twice."""
    ink, old = await add(store, tmp_path, "Ink"), await add(store, tmp_path, "Old", width=768)
    assert not (await stock.warm(OWNER, "Ink")).later
    placed = await stock.pin(OWNER, "Old")
    assert (placed.later, placed.family) == (True, "SD 1.5")
    assert old not in fleet.holds.ram
    stock.look()
    await fleet.switch("sd15", "SD 1.5")
    stock.look()
    await until(lambda: fleet.holds.gpu == {old})
    await fleet.unload(fleet.id, old)
    stock.look()
    await asyncio.sleep(0.05)
    assert fleet.holds.gpu == frozenset()
    await fleet.switch("builtin")
    stock.look()
    await until(lambda: fleet.holds.gpu == {ink})
    await stock.aclose()


async def test_one_that_cannot_be_brought_back_keeps_no_other_out(
    stock: Stock, store: Store, fleet: FakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = await add(store, tmp_path, "A"), await add(store, tmp_path, "B")
    for name in "AB":
        await store.stock.keep_warm(bad if name == "A" else good, name, OWNER, on=True)
    load = fleet.load

    async def failing(worker: WorkerId, adapter: AdapterUse) -> str:
        if adapter.sha256 == bad:
            raise EngineFault("its file is gone")
        return await load(worker, adapter)

    monkeypatch.setattr(fleet, "load", failing)
    stock.look()
    await until(lambda: fleet.holds.ram == {good})
    await stock.aclose()
