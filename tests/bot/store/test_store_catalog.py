"""The catalog: who sees what, under which name, and what is on the disk."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import text

import bot.store.open
from bot.orders import CatalogEntry, Shared
from bot.store import Store, open_store
from engine import BUILTIN_ADAPTERS, builtin_samples, inspect_adapter
from tests.fakes import GUILD, MEMBER, adapter_file, order, who

HERE, ELSEWHERE, DIRECT = who(), who(7, guild_id=9), who(7, guild_id=None)


@pytest.fixture
def builtins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files in place of the built-in ones."""
    folder = tmp_path / "builtin"
    folder.mkdir()
    for name in BUILTIN_ADAPTERS:
        adapter_file(folder / f"{name}.safetensors")
    monkeypatch.setattr(bot.store.open, "builtin_adapter", lambda name: folder / f"{name}.safetensors")
    return folder


async def names(store: Store, asker: object, needle: str = "", family: str | None = None) -> list[str]:
    return [entry.name for entry in await store.catalog.search(asker, needle, family, 25)]  # type: ignore[arg-type]


async def add(store: Store, folder: Path, name: str, visibility: str, **whose: int) -> CatalogEntry:
    path = adapter_file(folder / f"{name}-{visibility}.safetensors", width=whose.pop("width", 96))
    return await store.catalog.add(path, name, visibility=visibility, **whose)


async def test_the_builtin_adapters_are_in_every_catalog_once(store: Store, builtins: Path) -> None:
    """Everybody finds ink, neon and light, in a server or not, however often they were adopted."""
    await store.adopt_builtins()
    first = await store.catalog.search(HERE, "", None, 25)
    await store.adopt_builtins()
    assert await store.catalog.search(HERE, "", None, 25) == first
    for asker in (HERE, ELSEWHERE, DIRECT):
        assert await names(store, asker) == sorted(BUILTIN_ADAPTERS)
    assert {entry.owner_id for entry in first} == {None}


async def test_a_new_builtin_file_takes_the_old_ones_place(store: Store, builtins: Path) -> None:
    """After an update the name stands for the new file, and is still there once."""
    await store.adopt_builtins()
    adapter_file(builtins / "ink.safetensors", text="better ink")
    await store.adopt_builtins()
    assert await names(store, HERE) == sorted(BUILTIN_ADAPTERS)
    ink = await store.catalog.find(HERE, "ink")
    assert ink is not None
    assert ink.info.title == "better ink"


async def shown(store: Store, name: str = "ink") -> list[tuple[bytes, tuple[int, int], str]]:
    entry = await store.catalog.find(HERE, name)
    assert entry is not None
    samples = await store.catalog.samples(HERE, entry, 9)
    return [(sample.path.read_bytes(), (sample.width, sample.height), sample.kind) for sample in samples]


async def test_the_builtin_adapters_have_their_pictures_once(tmp_path: Path, builtins: Path) -> None:
    """Those that come with the engine, in the bot's own folder, which no later start writes to."""
    kept: set[frozenset[tuple[str, int]]] = set()
    for _ in range(3):
        async with open_store(None, tmp_path / "data") as store:
            await store.adopt_builtins()
            for name in BUILTIN_ADAPTERS:
                shipped = [(path.read_bytes(), (128, 128), "drawn") for path in builtin_samples(name)]
                assert await shown(store, name) == shipped
        files = (tmp_path / "data" / "previews").iterdir()
        kept.add(frozenset((path.name, path.stat().st_mtime_ns) for path in files))
    ((*files,),) = kept
    assert len(files) == 2 * len(BUILTIN_ADAPTERS)


async def test_an_older_folder_gets_the_pictures_and_so_does_one_that_lost_them(
    store: Store, builtins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was shown before is gone from the disk too."""
    monkeypatch.setattr(bot.store.open, "builtin_samples", lambda name: ())
    await store.adopt_builtins()
    assert await shown(store) == []
    monkeypatch.setattr(bot.store.open, "builtin_samples", lambda name: builtin_samples("neon"))
    await store.adopt_builtins()
    assert await shown(store) == await shown(store, "neon") != []
    monkeypatch.undo()
    await store.adopt_builtins()
    files = list((store.adapters_folder.parent / "previews").iterdir())
    assert [data for data, *_ in await shown(store)] == [path.read_bytes() for path in builtin_samples("ink")]
    assert len(files) == 2 * len(BUILTIN_ADAPTERS)
    for file in files:
        file.unlink()
    await store.adopt_builtins()
    assert len(await shown(store)) == 2


async def test_without_room_for_pictures_the_builtin_adapters_are_there_all_the_same(
    store: Store, builtins: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (store.adapters_folder.parent / "previews").rmdir()
    await store.adopt_builtins()
    assert await names(store, HERE) == sorted(BUILTIN_ADAPTERS)
    assert await shown(store) == []
    assert "The built-in adapter ink is shown without pictures" in caplog.text


async def test_a_builtin_s_pictures_outlast_its_forks(store: Store, builtins: Path) -> None:
    """A fork shows them too; when it is removed, or its member forgotten, they are there for everybody else."""
    await store.adopt_builtins()
    before = await shown(store)
    ink = await store.catalog.find(HERE, "ink")
    assert ink is not None
    fork = await store.entries.fork(HERE, ink.id, "mine")
    assert fork is not None
    assert await shown(store, "mine") == before
    assert await store.entries.remove(HERE, fork.id) is not None
    assert await shown(store) == before
    assert await store.entries.fork(HERE, ink.id, "mine") is not None
    await store.people.forget(MEMBER, Shared.REMOVED)
    assert await store.catalog.find(HERE, "mine") is None
    assert await shown(store) == before


async def test_what_the_file_says_is_kept_without_loss(store: Store, tmp_path: Path) -> None:
    """An entry's info is what the engine read from the file."""
    path = adapter_file(tmp_path / "moss.safetensors")
    await store.catalog.add(path, "Moss", visibility="everyone")
    moss = await store.catalog.find(HERE, "moss")
    assert moss is not None
    assert moss.info == inspect_adapter(path)


async def test_a_file_that_an_older_version_kept_is_still_shown(store: Store, tmp_path: Path) -> None:
    """Its row says less: what was not asked then is empty now."""
    entry = await store.catalog.add(adapter_file(tmp_path / "moss.safetensors"), "moss", visibility="everyone")
    assert (entry.info.alphas, entry.info.fits) == ((2.0,), ("built-in",))
    async with store.catalog._database.write() as session:
        await session.execute(text("UPDATE adapter_files SET more = '{}'"))
    moss = await store.catalog.find(HERE, "moss")
    assert moss is not None
    assert (moss.info.alphas, moss.info.fits, moss.info.notes) == ((), (), ())
    assert (moss.info.family, moss.info.ranks) == ("built-in", (2,))


async def test_a_file_is_kept_once_by_content_and_read_only(store: Store, tmp_path: Path) -> None:
    """Two names for the same content are one file, ab/<sha256>.safetensors, which nobody writes to any more."""
    path = adapter_file(tmp_path / "moss.safetensors")
    for name in ("moss", "lichen"):
        entry = await store.catalog.add(path, name, visibility="everyone")
    sha256 = entry.info.sha256
    kept = store.adapters_folder / sha256[:2] / f"{sha256}.safetensors"
    assert [file for file in store.adapters_folder.rglob("*") if file.is_file()] == [kept]
    assert kept.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) & 0o222 == 0


async def test_everybody_sees_their_own_the_servers_and_everyones(store: Store, tmp_path: Path) -> None:
    """A private entry is seen by its owner alone, a server's in that server alone, everyone's everywhere."""
    await add(store, tmp_path, "mine", "private", owner_id=MEMBER)
    await add(store, tmp_path, "ours", "guild", owner_id=MEMBER, guild_id=GUILD)
    await add(store, tmp_path, "all", "everyone")
    assert await names(store, HERE) == ["all", "mine", "ours"]
    assert await names(store, who(7)) == ["all", "ours"]
    assert await names(store, who(guild_id=None)) == ["all", "mine"]
    assert await names(store, ELSEWHERE) == ["all"]
    assert await names(store, DIRECT) == ["all"]


async def test_nothing_invisible_is_found_by_name_or_content(store: Store, tmp_path: Path) -> None:
    """Somebody else's private entry is as if it were not there."""
    secret = await add(store, tmp_path, "secret", "private", owner_id=MEMBER)
    assert await store.catalog.find(who(7), "secret") is None
    assert await store.catalog.find_file(who(7), secret.info.sha256) is None
    assert await store.catalog.find_file(HERE, secret.info.sha256) == secret


async def test_of_one_name_the_nearest_is_meant(store: Store, tmp_path: Path) -> None:
    """One's own comes before the server's and that before everyone's, in search as in find, each name once."""
    everyones = await add(store, tmp_path, "ink", "everyone")
    servers = await add(store, tmp_path, "Ink", "guild", guild_id=GUILD)
    own = await add(store, tmp_path, "INK", "private", owner_id=MEMBER)
    for asker, nearest in ((HERE, own), (who(7), servers), (ELSEWHERE, everyones)):
        assert await store.catalog.find(asker, " iNk ") == nearest
        assert await store.catalog.search(asker, "", None, 25) == (nearest,)


async def test_search_finds_parts_of_names_literally(store: Store, tmp_path: Path) -> None:
    """Names that begin with the needle come first; % and _ are letters like any other."""
    for name in ("darklight", "Light", "50%_off", "50 x off"):
        await add(store, tmp_path, name, "everyone")
    assert await names(store, HERE, "LIGHT") == ["Light", "darklight"]
    assert await names(store, HERE, "%_") == ["50%_off"]


async def test_search_by_family_keeps_what_fits_or_does_not_tell(store: Store, tmp_path: Path) -> None:
    """Adapters of another family are left out."""
    await add(store, tmp_path, "small", "everyone")
    await add(store, tmp_path, "big", "everyone", width=768)
    assert await names(store, HERE, family="built-in") == ["small"]
    assert await names(store, HERE) == ["big", "small"]


async def test_the_most_used_come_first(store: Store, tmp_path: Path) -> None:
    """An order counts as one use of each of its entries; the same interaction again does not."""
    for name in ("a", "b"):
        await add(store, tmp_path, name, "everyone")
    b = await store.catalog.find(HERE, "b")
    assert b is not None
    an_order = order()
    for _ in range(2):
        await store.jobs.record(an_order, entry_ids={b.id})
    found = await store.catalog.search(HERE, "", None, 25)
    assert [(entry.name, entry.uses) for entry in found] == [("b", 1), ("a", 0)]


async def test_a_copy_that_went_wrong_is_not_kept(store: Store, tmp_path: Path) -> None:
    """A file that changes between reading and copying leaves neither file nor entry."""
    path = adapter_file(tmp_path / "moss.safetensors")
    with pytest.raises(OSError, match="changed while it was copied"):
        await store.catalog._adapters.add(path, "ab" * 32)
    assert [file for file in store.adapters_folder.rglob("*") if file.is_file()] == []
