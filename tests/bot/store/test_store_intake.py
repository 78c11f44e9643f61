"""What is on the disk and what the rows know are the same, whenever a run was cut short."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.importing import PreviewPicture, Provenance
from bot.orders.additions import Addition
from bot.orders.errors import ShelfFull
from bot.orders.values import Allotment
from bot.store import back_up, open_store, restore
from bot.store.samples import SampleFolder
from engine import inspect_adapter
from tests.fakes import MEMBER, adapter_file, who

WEBP = PreviewPicture(b"RIFF", 8, 8, False, "")


def addition(path: Path) -> Addition:
    info = inspect_adapter(path)
    origin = Provenance(
        origin="upload", source="", page="", file_name=path.name, sha256=info.sha256, fetched_at="2026-01-01"
    )
    return Addition(info=info, provenance=origin, visibility="private", proposed=path.stem, previews=(WEBP,))


async def test_what_no_row_knows_is_gone_after_the_start_and_the_rest_stays(tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "mine.safetensors")
    async with open_store(None, tmp_path / "data") as store:
        kept = await store.intake.keep(path, addition(path), who(), owner_id=MEMBER)
        stray = tmp_path / "data" / "adapters" / "ab" / f"ab{'0' * 62}.safetensors"
        half = tmp_path / "data" / "adapters" / "ab" / ".x.part"
        sample, other = (tmp_path / "data" / "previews" / name for name in ("0.webp", ".y.part"))
        own = tmp_path / "data" / "adapters" / "notes.txt"
        stray.parent.mkdir(exist_ok=True)
        for file in (stray, half, sample, other, own):
            file.write_bytes(b"x")
        assert await store.sweep() == 2
        assert [file.exists() for file in (stray, half, sample, other, own)] == [False] * 4 + [True]
        assert await store.catalog.find(who(), kept.entry.name) is not None
        assert len(list((tmp_path / "data" / "previews").iterdir())) == 1
        assert (store.adapters_folder / kept.entry.info.sha256[:2]).is_dir()
        assert await store.sweep() == 0


async def test_two_who_add_the_same_at_once_share_one_file(tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "mine.safetensors")
    async with open_store(None, tmp_path / "data") as store:
        keeping = (store.intake.keep(path, addition(path), who(owner), owner_id=owner) for owner in range(1, 9))
        added = await asyncio.gather(*keeping)
        assert len({one.entry.id for one in added}) == 8
        assert len(list(store.adapters_folder.rglob("*.safetensors"))) == 1


async def test_what_is_taken_back_is_nobody_else_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is about to be written down when another one with the same file is refused."""
    path, begun, go_on = adapter_file(tmp_path / "mine.safetensors"), asyncio.Event(), asyncio.Event()
    add = SampleFolder.add

    async def slowly(folder: SampleFolder, webp: bytes) -> str:
        begun.set()
        await go_on.wait()
        return await add(folder, webp)

    monkeypatch.setattr(SampleFolder, "add", slowly)
    async with open_store(None, tmp_path / "data") as store:
        first = asyncio.create_task(store.intake.keep(path, addition(path), who(1), owner_id=1))
        await begun.wait()
        unwelcome = replace(addition(path), previews=())
        refused = asyncio.create_task(store.intake.keep(path, unwelcome, who(2), owner_id=2, allotment=Allotment(0)))
        await asyncio.sleep(0.1)
        go_on.set()
        entry = (await first).entry
        with pytest.raises(ShelfFull):
            await refused
        assert len(list(store.adapters_folder.rglob(f"{entry.info.sha256}.safetensors"))) == 1


async def test_samples_are_in_a_backup_too(tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "mine.safetensors")
    async with open_store(None, tmp_path / "data") as store:
        await store.intake.keep(path, addition(path), who(), owner_id=MEMBER)
    back_up(tmp_path / "data", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "again")
    assert [file.read_bytes() for file in (tmp_path / "again" / "previews").iterdir()] == [WEBP.webp]


async def test_one_who_presses_twice_has_one_entry(tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "mine.safetensors")
    async with open_store(None, tmp_path / "data") as store:
        keeping = (store.intake.keep(path, addition(path), who(), owner_id=MEMBER) for _ in range(8))
        added = await asyncio.gather(*keeping)
        assert len({one.entry.id for one in added}) == 1
        assert sum(one.new for one in added) == 1
        assert len(list((tmp_path / "data" / "previews").iterdir())) == 1
