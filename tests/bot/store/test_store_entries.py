"""What owners do with entries: each act and its inverse together change nothing, and nobody else can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import CatalogEntry, Change, JobState, NameTaken, Triggers
from bot.store import Store
from bot.store.models import FileRow, OriginRow, QuarantineRow, SampleRow
from engine import AdapterUse
from tests.fakes import GUILD, MEMBER, NOW, adapter_file, order, who

HERE, OTHER = who(), who(7)


async def put(
    store: Store, folder: Path, name: str, visibility: str = "private", owner_id: int = MEMBER, text: str = ""
) -> CatalogEntry:
    path = adapter_file(folder / f"{name}-{owner_id}.safetensors", text=text or name)
    guild_id = GUILD if visibility == "guild" else None
    return await store.catalog.add(path, name, visibility=visibility, owner_id=owner_id, guild_id=guild_id)


def is_kept(store: Store, entry: CatalogEntry) -> bool:
    sha256 = entry.info.sha256
    return (store.adapters_folder / sha256[:2] / f"{sha256}.safetensors").is_file()


async def test_shared_and_taken_back_is_as_it_was(store: Store, tmp_path: Path) -> None:
    """With the server, with everyone, and from each to each."""
    before = await put(store, tmp_path, "moss")
    for visibility, asker in (("guild", OTHER), ("everyone", who(7, guild_id=9)), ("guild", OTHER)):
        shared = await store.entries.move(HERE, before.id, visibility)
        assert shared is not None
        assert (shared.visibility, shared.guild_id) == (visibility, GUILD if visibility == "guild" else None)
        assert await store.catalog.find(asker, "moss") == shared
    assert await store.entries.move(HERE, before.id, "private") == before
    assert await store.catalog.find(OTHER, "moss") is None


async def test_a_name_is_there_once_in_every_scope(store: Store, tmp_path: Path) -> None:
    """Sharing, renaming and forking into a name or an alias that is taken say so, and change nothing."""
    theirs = await put(store, tmp_path, "Moss", "guild", 7)
    await store.entries.edit(OTHER, theirs.id, Change(alias="green"))
    mine = await put(store, tmp_path, "moss")
    with pytest.raises(NameTaken, match="of this server is called 'moss' already"):
        await store.entries.move(HERE, mine.id, "guild")
    assert await store.catalog.find_id(HERE, mine.id) == mine
    with pytest.raises(NameTaken, match="One of your adapters"):
        await store.entries.fork(HERE, theirs.id, "MOSS")
    other = await put(store, tmp_path, "lichen", "guild")
    for change in (Change(name="moss"), Change(name="GREEN"), Change(alias="Moss")):
        with pytest.raises(NameTaken):
            await store.entries.edit(HERE, other.id, change)
    assert await store.catalog.find_id(HERE, other.id) == other
    assert await store.entries.edit(HERE, other.id, Change(name="LICHEN")) == replace(other, name="LICHEN")


async def test_adding_under_somebody_elses_name_is_refused(store: Store, tmp_path: Path) -> None:
    """A name for everyone does not come to stand for another one's file."""
    theirs = await put(store, tmp_path, "moss", "everyone", 7)
    with pytest.raises(NameTaken, match="somebody else"):
        await put(store, tmp_path, "moss", "everyone", MEMBER, "another")
    assert await store.catalog.find(HERE, "moss") == theirs
    assert await store.catalog.sweep() == 1


async def test_a_fork_says_whose_work_it_is_and_whence(store: Store, tmp_path: Path) -> None:
    """Same file, own entry, everything that was said; what it is called and who sees it is its owner's."""
    theirs = await put(store, tmp_path, "moss", "everyone", 7)
    said = Change(
        alias="green", weight=0.7, least=0.4, most=0.9, triggers=Triggers.CHOSEN, chosen=("softgreen",),
        tags=("forest", "green"), description="Damp", nsfw=True, real_person=True, credit="Fern", license="CC0",
    )  # fmt: skip
    original = await store.entries.edit(OTHER, theirs.id, said)
    assert original is not None
    async with store.connections.write() as session:
        session.add(OriginRow(entry_id=theirs.id, value="{}", at_source="", checked_at=NOW))
        for kind in ("drawn", "review"):
            session.add(SampleRow(entry_id=theirs.id, kind=kind, file=kind, width=8, height=8, mature=False))
    fork = await store.entries.fork(HERE, theirs.id, "mine")
    assert fork is not None
    own = {"id": fork.id, "name": "mine", "owner_id": MEMBER, "visibility": "private", "forked_from": theirs.id}
    assert fork == replace(original, **own, created_at=fork.created_at)  # type: ignore[arg-type]
    adult = replace(HERE, adult=True)
    assert [sample.kind for sample in await store.catalog.samples(adult, fork, 9)] == ["drawn"]
    async with store.connections.read() as session:
        origin = await session.get(OriginRow, fork.id)
        assert origin is not None
    again = await store.entries.fork(OTHER, fork.id, "x")
    assert again is None  # it is private
    assert await store.entries.remove(HERE, fork.id) is not None
    assert is_kept(store, original)
    assert await store.catalog.find_id(OTHER, theirs.id) == original


async def test_the_maker_that_a_file_names_is_its_forks_credit(store: Store, tmp_path: Path) -> None:
    """Where nobody has said more, and however often it is forked."""
    await store.adopt_builtins()
    ink = await store.catalog.find(HERE, "ink")
    assert ink is not None
    first = await store.entries.fork(HERE, ink.id, "")
    assert first is not None
    second = await store.entries.fork(HERE, first.id, "second")
    assert second is not None
    assert (first.name, first.credit, first.license, first.forked_from) == ("ink", "Loraloom", "MIT", ink.id)
    assert (second.credit, second.license, second.forked_from) == ("Loraloom", "MIT", first.id)


async def test_a_favourite_kept_and_let_go_is_as_it_was(store: Store, tmp_path: Path) -> None:
    """Twice is once, and each member's are their own."""
    before = await put(store, tmp_path, "moss", "everyone", 7)
    for _ in range(2):
        assert (await store.entries.keep(HERE, before.id)) == replace(before, favourites=1)
    assert await store.catalog.is_favourite(HERE, before.id)
    assert not await store.catalog.is_favourite(OTHER, before.id)
    assert (await store.entries.keep(OTHER, before.id)) == replace(before, favourites=2)
    await store.entries.let_go(OTHER, before.id)
    for _ in range(2):
        assert await store.entries.let_go(HERE, before.id) == before


async def test_nobody_changes_what_is_not_theirs(store: Store, tmp_path: Path) -> None:
    """Neither what they see nor what they do not; what is built in is nobody's."""
    seen, hidden = await put(store, tmp_path, "seen", "guild", 7), await put(store, tmp_path, "hidden", "private", 7)
    await store.adopt_builtins()
    ink = await store.catalog.find(HERE, "ink")
    assert ink is not None
    moderator = who(moderator=True)
    for entry in (seen, hidden, ink):
        for asker in (HERE, moderator):
            assert await store.entries.edit(asker, entry.id, Change(name="taken over")) is None
            assert await store.entries.move(asker, entry.id, "everyone") is None
            assert await store.entries.remove(asker, entry.id) is None
    assert await store.entries.fork(HERE, hidden.id, "x") is None
    assert await store.entries.keep(HERE, hidden.id) is None
    for entry, asker in ((seen, OTHER), (hidden, OTHER), (ink, HERE)):
        assert await store.catalog.find_id(asker, entry.id) == entry
    elsewhere = who(7, guild_id=9)
    assert await store.entries.edit(elsewhere, seen.id, Change(name="x")) is None  # not from another server


async def test_a_file_goes_with_its_last_entry(store: Store, tmp_path: Path) -> None:
    """Not before, and its pictures go with it; a picture that a fork shows stays."""
    entry = await put(store, tmp_path, "moss", "everyone")
    fork = await store.entries.fork(OTHER, entry.id, "")
    assert fork is not None
    previews = tmp_path / "data" / "previews"
    previews.mkdir(exist_ok=True)
    async with store.connections.write() as session:
        for entry_id, file in ((entry.id, "one"), (entry.id, "both"), (fork.id, "both")):
            (previews / file).write_bytes(b"x")
            session.add(SampleRow(entry_id=entry_id, kind="drawn", file=file, width=8, height=8, mature=False))
    assert await store.entries.remove(HERE, entry.id) == entry
    assert is_kept(store, entry)
    assert [path.name for path in previews.iterdir()] == ["both"]
    assert await store.entries.remove(OTHER, fork.id) is not None
    assert not is_kept(store, entry)
    assert list(previews.iterdir()) == []
    assert await store.catalog.add(tmp_path / f"moss-{MEMBER}.safetensors", "moss", visibility="everyone")


async def test_a_file_stays_while_a_job_draws_with_it(store: Store, tmp_path: Path) -> None:
    """Also one in a grid; once the job has come to an end the next sweep takes it."""
    entry = await put(store, tmp_path, "moss")
    uses = (AdapterUse("moss", sha256=entry.info.sha256),)
    job = await store.jobs.record(order(adapters=uses))
    assert await store.entries.remove(HERE, entry.id) == entry
    assert await store.catalog.sweep() == 0
    assert is_kept(store, entry)
    assert await store.jobs.cancelled(job.id, "")
    assert (await store.jobs.get(job.id)).state is JobState.CANCELLED  # type: ignore[union-attr]
    assert await store.catalog.sweep() == 1
    assert not is_kept(store, entry)


async def test_a_new_file_for_a_name_takes_the_old_one_from_the_disk(store: Store, tmp_path: Path) -> None:
    old = await put(store, tmp_path, "moss", text="old")
    new = await put(store, tmp_path, "moss", text="new")
    assert (new.id, new.info.title) == (old.id, "new")
    assert not is_kept(store, old)
    assert is_kept(store, new)


async def test_what_is_known_of_a_file_in_quarantine_outlives_it(store: Store, tmp_path: Path) -> None:
    """Removed and added again, it is still in quarantine."""
    entry = await put(store, tmp_path, "moss")
    async with store.connections.write() as session:
        row = QuarantineRow(sha256=entry.info.sha256, reason="slow", by_hand=False, created_at=NOW)
        session.add(row)
    await store.entries.remove(HERE, entry.id)
    assert not is_kept(store, entry)
    await put(store, tmp_path, "moss")
    async with store.connections.read() as session:
        assert await session.get(QuarantineRow, entry.info.sha256) is not None
        assert await session.get(FileRow, entry.info.sha256) is not None


async def test_a_result_names_the_makers_as_long_as_the_file_is_known(store: Store, tmp_path: Path) -> None:
    """What the owner says, for whom it may be said; else what the file says."""
    entry = await put(store, tmp_path, "moss", "guild", 7)
    await store.entries.edit(OTHER, entry.id, Change(credit="Fern", license="CC0", most=0.5))
    job = await store.jobs.record(order(adapters=(AdapterUse("moss", 0.8, sha256=entry.info.sha256),)))
    shown = await store.jobs.get(job.id)
    assert shown is not None
    (credit,) = shown.credits
    assert (credit.name, credit.by, credit.license) == ("moss", "Fern", "CC0")
    assert credit.advice == "moss is at 0.8; at most 0.5 is recommended."
    await store.entries.remove(OTHER, entry.id)
    shown = await store.jobs.get(job.id)
    assert shown is not None
    assert shown.credits == ()
