"""What members do with adapters, told in sentences: who may, what cannot be, and what is asked first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import CatalogEntry, Change, Forbidden, Sharing, Shelf, Show, TooLate, Triggers, Wish
from bot.orders.shelf import PAGE, read_name, read_span, read_tags, read_words
from bot.store import Store
from engine import AdapterNotFound, BadRequest
from tests.fakes import GUILD, MEMBER, adapter_file, who

HERE, OTHER, DIRECT = who(), who(7), who(guild_id=None)


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store)


@pytest.fixture
async def moss(store: Store, tmp_path: Path) -> CatalogEntry:
    """The member's private adapter."""
    path = adapter_file(tmp_path / "moss.safetensors")
    return await store.catalog.add(path, "moss", visibility="private", owner_id=MEMBER)


async def test_what_is_shared_is_seen_and_what_is_taken_back_is_not(shelf: Shelf, moss: CatalogEntry) -> None:
    for sharing, elsewhere in ((Sharing.GUILD, 0), (Sharing.EVERYONE, 1)):
        await shelf.share(HERE, "moss", sharing)
        assert (await shelf.details(OTHER, "moss")).entry.id == moss.id
        assert (await shelf.browse(who(7, guild_id=9), Wish()))[1].total == elsewhere
        assert await shelf.share(HERE, moss.short_id, Sharing.PRIVATE) == moss
        with pytest.raises(AdapterNotFound):
            await shelf.details(OTHER, "moss")


async def test_without_a_server_there_is_none_to_share_with(shelf: Shelf, moss: CatalogEntry) -> None:
    with pytest.raises(Forbidden, match="no server here"):
        await shelf.share(DIRECT, "moss", Sharing.GUILD)
    assert (await shelf.share(DIRECT, "moss", Sharing.EVERYONE)).visibility == "everyone"


async def test_what_others_see_they_cannot_change_and_what_they_do_not_see_is_missing(
    shelf: Shelf, moss: CatalogEntry, store: Store
) -> None:
    """Moderators neither; the sentence says what they can do instead."""
    await store.adopt_builtins()
    acts = [
        lambda who, name: shelf.share(who, name, Sharing.PRIVATE),
        lambda who, name: shelf.edit(who, name, Change(name="x")),
        shelf.ask_removal,
        shelf.own,
    ]
    for act in acts:
        with pytest.raises(AdapterNotFound):
            await act(OTHER, moss.short_id)
        with pytest.raises(Forbidden, match=r"ink comes with the bot.*/lora fork"):
            await act(OTHER, "ink")
    await shelf.share(HERE, "moss", Sharing.GUILD)
    for act in acts:
        with pytest.raises(Forbidden, match=r"moss is somebody else's.*/lora fork"):
            await act(who(7, moderator=True), "moss")


async def test_a_removal_is_asked_once_and_answered_once(shelf: Shelf, moss: CatalogEntry) -> None:
    """Kept or gone; neither by somebody else nor twice."""
    number, entry = await shelf.ask_removal(HERE, "moss")
    with pytest.raises(TooLate):
        await shelf.remove(OTHER, number)
    assert await shelf.spare(HERE, number) == entry.short_id
    with pytest.raises(TooLate):
        await shelf.remove(HERE, number)
    number, _ = await shelf.ask_removal(HERE, "moss")
    assert await shelf.remove(HERE, number) == moss
    with pytest.raises(AdapterNotFound):
        await shelf.details(HERE, "moss")


async def test_forked_and_removed_is_as_before(shelf: Shelf, moss: CatalogEntry) -> None:
    await shelf.share(HERE, "moss", Sharing.GUILD)
    fork = await shelf.fork(OTHER, "moss", " my   moss ")
    assert (fork.name, fork.owner_id, fork.forked_from) == ("my moss", 7, moss.id)
    assert (await shelf.details(OTHER, "my moss")).origin is not None
    number, _ = await shelf.ask_removal(OTHER, "my moss")
    await shelf.remove(OTHER, number)
    assert (await shelf.details(OTHER, "moss")).entry == await shelf.share(HERE, "moss", Sharing.GUILD)


async def test_what_a_fork_came_from_is_told_while_it_is_to_be_seen(shelf: Shelf, moss: CatalogEntry) -> None:
    await shelf.share(HERE, "moss", Sharing.GUILD)
    await shelf.fork(OTHER, "moss", "mine")
    await shelf.share(HERE, "moss", Sharing.PRIVATE)
    details = await shelf.details(OTHER, "mine")
    assert (details.origin, details.entry.forked_from) == (None, moss.id)


async def test_the_warnings_and_the_maker_of_a_fork_stay(shelf: Shelf, moss: CatalogEntry) -> None:
    """They can be raised and named where they were not; the rest is its owner's to say."""
    await shelf.edit(HERE, "moss", Change(credit="Fern", nsfw=True))
    await shelf.share(HERE, "moss", Sharing.GUILD)
    await shelf.fork(OTHER, "moss", "mine")
    for change in (Change(credit="me"), Change(credit=""), Change(nsfw=False)):
        with pytest.raises(Forbidden, match="mine is a fork"):
            await shelf.edit(OTHER, "mine", change)
    edited = await shelf.edit(OTHER, "mine", Change(license="CC0", real_person=True, description="mine now"))
    assert (edited.credit, edited.license, edited.nsfw, edited.real_person) == ("Fern", "CC0", True, True)
    assert not (await shelf.edit(HERE, "moss", Change(nsfw=False))).nsfw


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(name="a:b"), "cannot be a name"),
        (Change(name="#12"), "cannot be a name"),
        (Change(name="  "), "cannot be a name"),
        (Change(alias="a>b"), "cannot be a name"),
        (Change(name="n" * 61), "60 is the most"),
        (Change(description="d" * 1001), "1000 is the most"),
        (Change(weight=11.0), "-10 to 10"),
        (Change(least=-11.0), "-10 to 10"),
        (Change(least=0.9, most=0.4), "lower weight comes first"),
        (Change(triggers=Triggers.CHOSEN), "No words are chosen"),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    shelf: Shelf, moss: CatalogEntry, change: Change, words: str
) -> None:
    with pytest.raises(BadRequest, match=words):
        await shelf.edit(HERE, "moss", change)
    assert (await shelf.details(HERE, "moss")).entry == moss


async def test_an_edit_and_its_opposite_change_nothing(shelf: Shelf, moss: CatalogEntry) -> None:
    """Of every field that there is to edit."""
    change = Change(
        name="lichen", alias="green", weight=0.5, least=0.1, most=0.9, triggers=Triggers.ALL, chosen=("a",),
        tags=("b", "c"), description="two\nlines", nsfw=True, real_person=True, credit="Fern", license="CC0",
    )  # fmt: skip
    assert change.keys() == Change.__annotations__.keys()
    edited = await shelf.edit(HERE, "moss", change)
    assert edited == replace(moss, **change)
    back = Change(**{name: getattr(moss, name) for name in change})  # type: ignore[typeddict-item]
    assert await shelf.edit(HERE, moss.short_id, back) == moss


async def test_a_card_turns_pages_for_its_owner_alone(shelf: Shelf, store: Store, tmp_path: Path) -> None:
    """It stays where it was turned to, starts anew with another wish, and is nobody else's, nor another server's."""
    for number in range(PAGE + 2):
        path = adapter_file(tmp_path / f"moss {number}.safetensors")
        await store.catalog.add(path, f"moss {number}", visibility="guild", guild_id=GUILD, owner_id=MEMBER)
    number, first = await shelf.browse(HERE, Wish(show=Show.MINE))
    assert (first.number, first.pages, len(first.entries)) == (1, 2, PAGE)
    assert len((await shelf.turn(HERE, number, pages=1)).entries) == 2
    assert (await shelf.turn(HERE, number)).number == 2
    narrowed = await shelf.turn(HERE, number, needle="moss 3")
    assert (narrowed.number, narrowed.wish.show, [entry.name for entry in narrowed.entries]) == (
        1,
        Show.MINE,
        ["moss 3"],
    )
    for asker in (OTHER, DIRECT, who(guild_id=9)):
        with pytest.raises(TooLate):
            await shelf.turn(asker, number)


async def test_a_card_shows_in_each_place_what_may_be_seen_there(shelf: Shelf, moss: CatalogEntry) -> None:
    """The same card in a place that is no longer for adults."""
    await shelf.edit(HERE, "moss", Change(nsfw=True))
    adult = replace(HERE, adult=True)
    number, gallery = await shelf.browse(adult, Wish())
    assert gallery.total == 1
    assert (await shelf.turn(HERE, number)).total == 0
    assert (await shelf.turn(adult, number)).total == 1


def test_lists_and_ranges_are_read_as_people_write_them() -> None:
    assert read_tags(" a, b;c\nb ，") == ("a", "b", "c")
    for text, span in (
        ("0.4-0.9", (0.4, 0.9)),
        ("0,4 – 0,9", (0.4, 0.9)),
        ("-1 to 1", (-1.0, 1.0)),
        ("0.5 –", (0.5, None)),
        ("– 0.9", (None, 0.9)),
        (" ", (None, None)),
    ):
        assert read_span(text) == span, text
    for text in ("much", "-", "1-2-3"):
        with pytest.raises(BadRequest):
            read_span(text)
    assert read_name(" My  Ink\u202e ") == "My Ink"
    with pytest.raises(BadRequest, match="13 tags are too many; 12 is the most"):
        read_tags("a,b,c,d,e,f,g,h,i,j,k,l,m")
    with pytest.raises(BadRequest, match="The trigger word has 101 characters"):
        read_words("w" * 101)
