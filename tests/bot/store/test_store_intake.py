"""What is on the disk and what the rows know are the same, whenever a run was cut short."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.importing import PreviewPicture, Provenance
from bot.orders.additions import Addition
from bot.store import open_store
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


async def test_one_who_presses_twice_has_one_entry(tmp_path: Path) -> None:
    path = adapter_file(tmp_path / "mine.safetensors")
    async with open_store(None, tmp_path / "data") as store:
        keeping = (store.intake.keep(path, addition(path), who(), owner_id=MEMBER) for _ in range(8))
        added = await asyncio.gather(*keeping)
        assert len({one.entry.id for one in added}) == 1
        assert sum(one.new for one in added) == 1
        assert len(list((tmp_path / "data" / "previews").iterdir())) == 1
