"""Finding entries: by which words, in which order, and never what somebody else keeps to themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from bot.orders import CatalogEntry, Change, Show, Wish
from bot.store import Store
from bot.store.fuzzy import Words, answers
from bot.store.models import EntryRow, RatingRow, SampleRow
from tests.fakes import GUILD, MEMBER, adapter_file, order, who

HERE = who()


async def put(store: Store, folder: Path, name: str, **change: object) -> CatalogEntry:
    """An entry of the member's for everyone, which says what `change` says."""
    path = adapter_file(folder / f"{name}.safetensors", width=int(str(change.pop("width", 96))))
    entry = await store.catalog.add(path, name, visibility="everyone", owner_id=MEMBER)
    edited = await store.entries.edit(HERE, entry.id, Change(**change))  # type: ignore[typeddict-item]
    assert edited is not None
    return edited


async def found(store: Store, needle: str = "", **wish: object) -> list[str]:
    gallery = await store.catalog.browse(HERE, Wish(needle, **wish), 1, 25)  # type: ignore[arg-type]
    return [entry.name for entry in gallery.entries]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("moss", ["moss", "mossy bark", "old moss"]),  # the name, its beginning, a part of it
        ("bark mossy", ["mossy bark"]),  # words in any order
        ("lcihen", ["lichen"]),  # letters changed places
        ("lichn", ["lichen"]),  # one is missing
        ("ＬＩＣＨＥＮ", ["lichen"]),  # other letters that look the same
        ("zzzz", []),
    ],
)
def test_names_are_found_letter_by_letter_word_by_word_and_by_likeness(typed: str, names: list[str]) -> None:
    there = ["old moss", "mossy bark", "moss", "lichen", "stone"]
    words = [Words.of((name, "", name), (), "") for name in there]
    assert [there[place] for place in answers(typed, words)] == names


async def test_every_word_that_is_said_of_an_entry_finds_it(store: Store, tmp_path: Path) -> None:
    """Its alias, its title, its tags, its trigger words, its description; and no longer once it is not said."""
    entry = await put(
        store, tmp_path, "moss", alias="greenery", tags=("forest",), chosen=("softgreen",), description="Damp stones"
    )
    await put(store, tmp_path, "ember")
    for needle in ("greenery", "mossstyle", "forest", "softgr", "damp stones"):
        assert await found(store, needle) == ["moss"], needle
    await store.entries.edit(HERE, entry.id, Change(alias="", tags=(), chosen=(), description="", name="lichen"))
    for needle in ("greenery", "forest", "softgr", "damp stones"):
        assert await found(store, needle) == [], needle
    assert await found(store, "lichen") == ["lichen"]


async def test_an_alias_is_a_name_but_for_a_name_that_is_the_same(store: Store, tmp_path: Path) -> None:
    """Whoever is really called so is meant."""
    moss = await put(store, tmp_path, "moss", alias="Green")
    assert await store.catalog.find(who(7), "gREEN") == moss
    green = await put(store, tmp_path, "green")
    assert await store.catalog.find(who(7), "green") == green
    assert await store.catalog.find(who(7), "  ") is None


async def test_a_short_id_finds_what_one_sees_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """Somebody else's private entry has a number too, which opens nothing."""
    path = adapter_file(tmp_path / "own.safetensors")
    own = await store.catalog.add(path, "own", visibility="private", owner_id=MEMBER)
    assert await store.catalog.find(HERE, own.short_id) == own
    for asker in (who(7), who(7, guild_id=None), who(7, guild_id=9)):
        assert await store.catalog.find(asker, own.short_id) is None
        assert await store.catalog.search(asker, "own", None, 25) == ()
        assert (await store.catalog.browse(asker, Wish(), 1, 25)).total == 0


async def test_what_a_search_remembers_ends_with_any_commit(store: Store, tmp_path: Path) -> None:
    """Also with one that tells nobody which rows it was about: who sees what is never remembered too long."""
    entry = await put(store, tmp_path, "moss")
    assert await store.catalog.search(who(7), "moss", None, 25) == (entry,)
    async with store.connections.write() as session:
        await session.execute(update(EntryRow).values(visibility="private"))
    assert await store.catalog.search(who(7), "moss", None, 25) == ()
    assert len(await store.catalog.search(HERE, "moss", None, 25)) == 1
    async with store.connections.write() as session:
        await session.execute(delete(EntryRow))
    assert await store.catalog.search(HERE, "moss", None, 25) == ()


async def test_a_warm_catalog_knows_every_word_and_tells_nobody_more(store: Store, tmp_path: Path) -> None:
    """Also those of private entries, which are nobody else's to find for that."""
    path = adapter_file(tmp_path / "own.safetensors")
    own = await store.catalog.add(path, "own", visibility="private", owner_id=MEMBER)
    await store.catalog.warm()
    assert own.id in store.catalog._search._words
    assert await store.catalog.search(who(7), "own", None, 25) == ()
    assert len(await store.catalog.search(HERE, "own", None, 25)) == 1


async def test_filters_and_orders_are_each_what_they_say(store: Store, tmp_path: Path) -> None:
    """Base, tag, mine, favourites; most used, newest, best rated, where many fours beat one five."""
    used = await put(store, tmp_path, "used", tags=("a",))
    liked = await put(store, tmp_path, "liked", tags=("a", "b"))
    await put(store, tmp_path, "big", width=768)
    path = adapter_file(tmp_path / "theirs.safetensors")
    theirs = await store.catalog.add(path, "theirs", visibility="guild", owner_id=7, guild_id=GUILD)
    await store.jobs.record(order(), entry_ids={used.id})
    await store.entries.keep(HERE, theirs.id)
    async with store.connections.write() as session:
        for entry, stars, ratings in ((liked, 4.2, 10), (theirs, 5.0, 1)):
            await session.execute(update(EntryRow).where(EntryRow.id == entry.id).values(stars=stars, ratings=ratings))
    assert (await found(store))[0] == "used"
    assert (await found(store, show=Show.NEW)) == ["theirs", "big", "liked", "used"]
    assert (await found(store, show=Show.RATED))[:2] == ["liked", "theirs"]
    assert sorted(await found(store, show=Show.MINE)) == ["big", "liked", "used"]
    assert await found(store, show=Show.FAVOURITES) == ["theirs"]
    assert await found(store, family="SD 1.5") == ["big"]
    assert await found(store, tag="b") == ["liked"]
    gallery = await store.catalog.browse(HERE, Wish(), 1, 25)
    assert (gallery.families, gallery.tags) == (("built-in", "SD 1.5"), ("a", "b"))


async def test_pages_hold_everything_once_and_end_at_the_last(store: Store, tmp_path: Path) -> None:
    """A page past the end is the last one; nothing at all is one empty page."""
    assert (await store.catalog.browse(HERE, Wish(), 9, 2)).pages == 1
    for name in "abcde":
        await put(store, tmp_path, name)
    pages = [await store.catalog.browse(HERE, Wish(), number, 2) for number in (1, 2, 3)]
    assert [entry.name for page in pages for entry in page.entries] == list("abcde")
    assert {(page.pages, page.total) for page in pages} == {(3, 5)}
    last = await store.catalog.browse(HERE, Wish(), 99, 2)
    assert (last.number, last.entries) == (3, pages[2].entries)


async def test_mature_pictures_are_for_places_of_adults_alone(store: Store, tmp_path: Path) -> None:
    """Elsewhere there are only the others, and none at all of an entry that is not for everybody."""
    entry = await put(store, tmp_path, "moss")
    async with store.connections.write() as session:
        for kind, mature in (("source", True), ("review", False), ("drawn", False)):
            session.add(SampleRow(entry_id=entry.id, kind=kind, file=f"{kind}.webp", width=8, height=8, mature=mature))
    adult = replace(HERE, adult=True)
    assert [sample.kind for sample in await store.catalog.samples(adult, entry, 9)] == ["drawn", "source", "review"]
    assert [sample.kind for sample in await store.catalog.samples(HERE, entry, 9)] == ["drawn", "review"]
    gallery = await store.catalog.browse(HERE, Wish(), 1, 5)
    assert gallery.samples[entry.id].path == tmp_path / "data" / "previews" / "drawn.webp"
    flagged = await store.entries.edit(HERE, entry.id, Change(nsfw=True))
    assert flagged is not None
    assert await store.catalog.samples(HERE, flagged, 9) == ()
    assert len(await store.catalog.samples(adult, flagged, 9)) == 3


async def test_what_could_stand_in_shares_tags_then_is_used(store: Store, tmp_path: Path) -> None:
    """For another base model: made for it, and fit to be read by everybody."""
    wrong = await put(store, tmp_path, "wrong", width=768, tags=("forest", "green"))
    used = await put(store, tmp_path, "used")
    await put(store, tmp_path, "near", tags=("forest",))
    await put(store, tmp_path, "nearer", tags=("forest", "green"))
    await put(store, tmp_path, "adult", tags=("forest", "green"), nsfw=True)
    await put(store, tmp_path, "other", width=768, tags=("forest", "green"))
    secret = adapter_file(tmp_path / "secret.safetensors")
    await store.catalog.add(secret, "secret", visibility="private", owner_id=MEMBER)
    await store.jobs.record(order(), entry_ids={used.id})
    instead = await store.catalog.likenesses(HERE, wrong, "built-in")
    assert [entry.name for entry in instead] == ["nearer", "near", "used"]


async def test_ratings_are_rows_of_their_own(store: Store, tmp_path: Path) -> None:
    """A rating of somebody changes no name: the words of the entry stay known."""
    entry = await put(store, tmp_path, "moss")
    await found(store)
    known = store.catalog._search._words[entry.id]
    async with store.connections.write() as session:
        session.add(RatingRow(entry_id=entry.id, member_id=7, stars=5, words="", created_at=store.catalog._now()))
    await found(store)
    assert store.catalog._search._words[entry.id] is known
