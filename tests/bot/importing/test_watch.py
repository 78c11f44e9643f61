"""The watch folder: settled files are taken, refused ones are put aside with a sentence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.importing import Fetched, SourceUnusable, WatchFolder

from .conftest import Sites


class Shelf:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.refusal: Exception | None = None

    async def keep(self, fetched: Fetched) -> None:
        if self.refusal:
            raise self.refusal
        assert fetched.path.exists()
        self.kept.append((fetched.info.name, fetched.provenance.origin))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def watch(sites: Sites, shelf: Shelf, tmp_path: Path) -> WatchFolder:
    return WatchFolder(tmp_path / "watched", sites.importer, shelf.keep)


async def test_a_file_is_taken_once_it_no_longer_changes(watch: WatchFolder, shelf: Shelf, adapter: bytes) -> None:
    assert await watch.look() == 0  # makes the folder
    path = watch.folder / "ink.safetensors"
    path.write_bytes(adapter[:1000])
    assert await watch.look() == 0
    path.write_bytes(adapter)
    assert await watch.look() == 0
    assert await watch.look() == 1
    assert shelf.kept == [("ink", "watch folder")]
    assert (watch.folder / "imported" / "ink.safetensors").read_bytes() == adapter
    assert await watch.look() == await watch.look() == 0


async def test_a_refused_file_lies_beside_its_reason(watch: WatchFolder, shelf: Shelf, adapter: bytes) -> None:
    await watch.look()
    (watch.folder / "a.safetensors").write_bytes(adapter[:-10])
    (watch.folder / "b.ckpt").write_bytes(b"\x80")
    (watch.folder / "c.safetensors").symlink_to("/etc/passwd")
    await watch.look()
    assert await watch.look() == 3
    refused = watch.folder / "refused"
    assert "a.safetensors" in (refused / "a.safetensors.txt").read_text()
    assert "Only .safetensors files" in (refused / "b.ckpt.txt").read_text()
    assert "no links" in (refused / "c.safetensors.txt").read_text()
    assert shelf.kept == []
    assert sorted(path.name for path in watch.folder.iterdir()) == ["refused"]


async def test_two_files_of_one_name_are_both_kept(watch: WatchFolder, shelf: Shelf) -> None:
    shelf.refusal = SourceUnusable("No.")
    await watch.look()
    for _ in range(2):
        (watch.folder / "b.ckpt").write_bytes(b"\x80")
        await watch.look()
        await watch.look()
    assert len(list((watch.folder / "refused").glob("b*.ckpt"))) == 2


async def test_whoever_keeps_files_may_refuse_one(watch: WatchFolder, shelf: Shelf, adapter: bytes) -> None:
    shelf.refusal = SourceUnusable("It is here already.")
    await watch.look()
    (watch.folder / "a.safetensors").write_bytes(adapter)
    await watch.look()
    await watch.look()
    assert (watch.folder / "refused" / "a.safetensors.txt").read_text() == "It is here already.\n"


async def test_what_is_on_its_way_is_left_alone(watch: WatchFolder) -> None:
    await watch.look()
    for name in ("a.safetensors.part", ".b.safetensors", "c.safetensors.crdownload"):
        (watch.folder / name).write_bytes(b"half")
    (watch.folder / "folder").mkdir()
    for _ in range(3):
        assert await watch.look() == 0


async def test_it_goes_on_when_the_folder_cannot_be_used(
    watch: WatchFolder, shelf: Shelf, adapter: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    watch.folder.write_text("a file is in the way")
    task = asyncio.create_task(watch.run(every=0.01))
    await asyncio.sleep(0.1)
    assert len(caplog.records) == 1
    watch.folder.unlink()
    watch.folder.mkdir()
    (watch.folder / "ink.safetensors").write_bytes(adapter)
    for _ in range(300):
        await asyncio.sleep(0.01)
        if shelf.kept:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(shelf.kept) == 1
