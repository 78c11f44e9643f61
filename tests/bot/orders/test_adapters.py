"""From what members write to adapters: owners' weights and words, names that stay private, and what fits instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import CatalogEntry, Change, Gate, Orders, Triggers
from bot.orders.adapters import with_words
from bot.store import Store
from engine import (
    AdapterMismatch,
    AdapterNotFound,
    AdapterUse,
    Axis,
    BadRequest,
    Grid,
    Request,
    Wildcards,
    read_infotext,
    unfolded,
    write_infotext,
)
from tests.fakes import GUILD, MEMBER, FakeLine, adapter_file, order, press, who


@pytest.fixture
def line(store: Store) -> FakeLine:
    return FakeLine(store)


@pytest.fixture
def orders(store: Store, line: FakeLine) -> Orders:
    return Orders(store, line)


async def put(
    store: Store, folder: Path, name: str, visibility: str = "everyone", *, width: int = 96, **change: object
) -> CatalogEntry:
    path = adapter_file(folder / f"{name}.safetensors", width=width)
    entry = await store.catalog.add(path, name, visibility=visibility, owner_id=MEMBER)
    edited = await store.entries.edit(who(), entry.id, Change(**change))  # type: ignore[typeddict-item]
    assert edited is not None
    return edited


async def ordered(orders: Orders, prompt: str = "a", *, by: int = MEMBER, **request: object) -> Request:
    ticket = await orders.imagine(order(prompt, by=who(by), **request))
    return (await orders.open_job(ticket.job_id, who(by))).request


async def test_a_tag_without_a_weight_has_its_owners(orders: Orders, store: Store, tmp_path: Path) -> None:
    """By name, alias and short id; a weight that is given counts, also the usual one."""
    moss = await put(store, tmp_path, "moss", weight=0.7, alias="green")
    for prompt, weight in (
        ("a <lora:moss>", 0.7),
        ("a <lyco:GREEN>", 0.7),
        (f"a <lora:{moss.short_id}>", 0.7),
        ("a <lora:moss:1>", 1.0),
        ("a <lora:moss:0.2:0.3>", 0.3),
    ):
        (use,) = (await ordered(orders, prompt)).adapters
        assert (use.name, use.weight) == ("moss", weight), prompt


async def test_an_option_without_a_weight_has_its_owners(orders: Orders, store: Store, tmp_path: Path) -> None:
    moss = await put(store, tmp_path, "moss", weight=0.7)
    assert await orders.use(who(), moss.short_id, None) == AdapterUse(moss.short_id, 0.7)
    assert await orders.use(who(), "moss", 0.0) == AdapterUse("moss", 0.0)
    with pytest.raises(AdapterNotFound):
        await orders.use(who(), "lichen", None)


async def test_words_are_added_by_policy_and_once(orders: Orders, store: Store, tmp_path: Path) -> None:
    """None unless the owner says so; not those that the prompt holds; none for an adapter that counts nothing."""
    moss = await put(store, tmp_path, "moss")
    assert moss.info.triggers == ("mossstyle",)
    assert (await ordered(orders, "a <lora:moss>")).prompt == "a"
    await store.entries.edit(who(), moss.id, Change(triggers=Triggers.ALL, chosen=("soft green", "damp")))
    assert (await ordered(orders, "a <lora:moss>")).prompt == "a, mossstyle"
    await store.entries.edit(who(), moss.id, Change(triggers=Triggers.CHOSEN))
    assert (await ordered(orders, "a <lora:moss>")).prompt == "a, soft green, damp"
    assert (await ordered(orders, "DAMP stones <lora:moss:0.5>")).prompt == "DAMP stones, soft green"
    assert (await ordered(orders, "a <lora:moss:0>")).prompt == "a"


def test_words_are_added_as_words() -> None:
    """Brackets mean nothing in them, a part of another word is not the word, and what has no room is left out."""
    assert with_words("a", ["ink (artist)", ""]) == r"a, ink \(artist\)"
    assert with_words(r"a, ink \(artist\)", ["ink (artist)"]) == r"a, ink \(artist\)"
    assert with_words("inkwell,", ["ink"]) == "inkwell, ink"
    assert with_words("", ["ink"]) == "ink"
    assert len(with_words("a" * 5990, ["b" * 100, "c"])) == 5990


async def test_what_is_drawn_again_stays_as_it_was(orders: Orders, store: Store, tmp_path: Path) -> None:
    """Other words, another weight and another policy are for what is ordered anew."""
    moss = await put(store, tmp_path, "moss", weight=0.7)
    ticket = await orders.imagine(order("a <lora:moss>"))
    await store.entries.edit(who(), moss.id, Change(weight=0.2, triggers=Triggers.ALL))
    again = await orders.again(ticket.job_id, press())
    first, second = [(await orders.open_job(job, who())).request for job in (ticket.job_id, again.job_id)]
    assert first == second
    assert (first.prompt, first.adapters[0].weight) == ("a", 0.7)


async def test_a_picture_made_elsewhere_is_made_again_as_it_says(orders: Orders, store: Store, tmp_path: Path) -> None:
    """A replay adds no words, and finds the adapter by its content under the name that it has here."""
    moss = await put(store, tmp_path, "moss", weight=0.7, triggers=Triggers.ALL)
    text = f'a <lora:paint:0.5>\nSteps: 9, Sampler: Heun, Seed: 3, Lora hashes: "paint: {moss.info.autov3}"'
    found = await orders.replay(read_infotext(text), who(), ("builtin",), ())
    ticket = await orders.imagine(replace(order(), request=found.request))
    request = (await orders.open_job(ticket.job_id, who())).request
    assert (request.prompt, request.adapters) == ("a", (AdapterUse("moss", 0.5, sha256=moss.info.sha256),))


async def test_a_weight_that_is_not_recommended_is_noted_not_refused(
    orders: Orders, store: Store, tmp_path: Path
) -> None:
    """Told when it is ordered and where it is shown, as long as it is so; 0 is without the adapter."""
    await put(store, tmp_path, "moss", least=0.4, most=0.9)
    for weight, notes in ((0.4, ()), (0.9, ()), (0, ()), (1, ("moss is at 1; 0.4 to 0.9 is recommended.",))):
        ticket = await orders.imagine(order(f"a <lora:moss:{weight}>", by=who(7)))
        assert ticket.notes == notes
        job = await orders.open_job(ticket.job_id, who(7))
        assert tuple(credit.advice for credit in job.credits) == notes
    again = await orders.again(ticket.job_id, press(by=who(7)), weights={"moss": 0.5})
    assert again.notes == ()


async def test_an_adapter_of_another_family_is_explained_and_others_are_named(
    orders: Orders, store: Store, tmp_path: Path
) -> None:
    """Both families, and what fits: with the same tags, then the most used; none that are private."""
    old = await put(store, tmp_path, "old", width=768, tags=("forest",))
    await put(store, tmp_path, "ember")
    await put(store, tmp_path, "lichen", tags=("forest",))
    await put(store, tmp_path, "secret", "private", tags=("forest",))
    with pytest.raises(AdapterMismatch) as refusal:
        await orders.imagine(order(adapters=(AdapterUse(old.short_id),)))
    assert str(refusal.value) == ("old was made for SD 1.5; this base model is built-in. Made for it: lichen, ember.")
    assert [entry.name for entry in await orders.adapters(who(), "", "built-in")] == ["ember", "lichen", "secret"]


async def test_a_private_name_stands_nowhere_that_others_read(
    orders: Orders, store: Store, line: FakeLine, tmp_path: Path
) -> None:
    """Not in the request of which cards and infotexts are made, not in a note, not in a credit's advice."""
    own = await put(store, tmp_path, "secret", "private", most=0.5)
    wrong = await put(store, tmp_path, "hidden", "private", width=768)
    ticket = await orders.imagine(order(f"a <lora:secret:0.9> <lora:{wrong.short_id}:1>"))
    job = await orders.open_job(ticket.job_id, who())
    said = repr((job.request, job.credits, ticket))
    assert "secret" not in said
    assert "hidden" not in said
    (use,) = job.request.adapters
    assert use == AdapterUse(own.short_id, 0.9, sha256=own.info.sha256)
    with pytest.raises(AdapterMismatch) as refusal:
        await orders.imagine(order(adapters=(AdapterUse(wrong.short_id),)))
    assert "hidden" not in str(refusal.value)


async def test_a_private_adapter_is_found_again_by_its_infotext(orders: Orders, store: Store, tmp_path: Path) -> None:
    """For its owner, by its content; for everybody else it is missing."""
    own = await put(store, tmp_path, "secret", "private")
    request = replace(await ordered(orders, "a <lora:secret:0.9>"), seed=1)
    text = write_infotext(request, 1, "builtin", {own.short_id: own.info.tensor_sha256})
    reading = read_infotext(text)
    mine = await orders.replay(reading, who(), ("builtin",), ())
    assert [(one.entry.id, one.same) for one in mine.found] == [(own.id, True)]
    again = await orders.imagine(replace(order(), request=mine.request))
    assert (await orders.open_job(again.job_id, who())).request.adapters == request.adapters
    theirs = await orders.replay(reading, who(7), ("builtin",), ())
    assert (theirs.found, len(theirs.missing)) == ((), 1)


async def test_missing_and_somebody_elses_read_the_same(orders: Orders, store: Store, tmp_path: Path) -> None:
    """By name, by alias, by number, by likeness, by title, by hash: the sentence knows nothing."""
    own = await put(store, tmp_path, "secret", "private", alias="greenery")
    await put(store, tmp_path, "ember")
    typed = ["secret", "greenery", own.short_id, "secrt", own.info.sha256[:10]]
    for text in typed:
        with pytest.raises(AdapterNotFound) as refusal:
            await orders.imagine(order(adapters=(AdapterUse(text),), by=who(7)))
        assert str(refusal.value) == (
            f"There is no adapter called {text!r} here. /lora list shows the ones you can use."
        )
    assert await orders.adapters(who(7), "secret") == ()
    assert [entry.name for entry in await orders.adapters(who(), "greenery")] == ["secret"]


async def test_an_adapter_for_adults_is_offered_where_adults_are(orders: Orders, store: Store, tmp_path: Path) -> None:
    await put(store, tmp_path, "moss", nsfw=True)
    assert await orders.adapters(who(), "moss") == ()
    assert len(await orders.adapters(replace(who(), adult=True), "moss")) == 1


async def test_of_two_entries_for_a_file_the_named_one_is_meant(orders: Orders, store: Store, tmp_path: Path) -> None:
    """An own fork does not take the place of the original in what was drawn with that."""
    moss = await put(store, tmp_path, "moss")
    fork = await store.entries.fork(who(7), moss.id, "mine")
    assert fork is not None
    for text, name in (("moss", "moss"), (moss.short_id, "moss"), ("mine", fork.short_id)):
        ticket = await orders.imagine(order(adapters=(AdapterUse(text),), by=who(7)))
        again = await orders.again(ticket.job_id, press(by=who(7)))
        for job_id in (ticket.job_id, again.job_id):
            job = await orders.open_job(job_id, who(7))
            assert [use.name for use in job.request.adapters] == [name]


def drawn(request: Request) -> list[tuple[AdapterUse, ...]]:
    """The mix of each picture."""
    return [one.adapters for one in unfolded(request, Wildcards())]


async def test_tags_left_to_chance_are_of_the_pictures_that_hold_them(
    orders: Orders, store: Store, tmp_path: Path
) -> None:
    """The prompt keeps them, the seed is settled, and each picture is drawn with its own; another seed chooses anew."""
    entries = {name: await put(store, tmp_path, name) for name in ("moss", "ember")}
    prompt = "a {<lora:moss:0.5>|<lora:ember:0.7>} cat"
    request = await ordered(orders, prompt, count=4)
    assert (request.prompt, request.adapters) == (prompt, ())
    assert request.seed is not None
    mixes = drawn(request)
    assert [len(mix) for mix in mixes] in ([1, 1, 1, 1], [1])
    assert {use.sha256 for mix in mixes for use in mix} == {use.sha256 for use in request.known}
    assert all(use.sha256 == entries[use.name].info.sha256 for mix in mixes for use in mix)
    ticket = await orders.imagine(order(prompt, count=4, seed=1))
    varied = await orders.again(ticket.job_id, press(), vary=True)
    assert (await orders.open_job(varied.job_id, who())).request.seed not in (1, None)


@pytest.mark.parametrize(
    "prompt",
    [
        "a <{lora|lora}:secret:1>",
        "a <lora:{sec|sec}ret:1>",
        "a <{lora|lora}:{path}:1>",
        "a {<lora:secret:1>|<lora:secret:1>}",
    ],
)
async def test_a_tag_that_only_chance_makes_opens_nothing_that_is_not_ones_own(
    orders: Orders, store: Store, tmp_path: Path, prompt: str
) -> None:
    """It is looked up like any other: for its owner it is there, for others it is left out, and a path is no name."""
    own = await put(store, tmp_path, "secret", "private")
    prompt = prompt.replace(
        "{path}", str(store.adapters_folder / own.info.sha256[:2] / f"{own.info.sha256}.safetensors")
    )
    request = await ordered(orders, prompt, by=7)
    assert request.known == ()
    assert all(use.sha256 == "" for mix in drawn(request) for use in mix)
    assert any("is left out" in note for note in request.notes)
    if "safetensors" not in prompt:
        mine = await ordered(orders, prompt)
        assert {use.sha256 for mix in drawn(mine) for use in mix} == {own.info.sha256}


async def test_a_prompt_axis_may_replace_words_of_tags(orders: Orders, store: Store, tmp_path: Path) -> None:
    """The usual plot of weights; each cell can be ordered by itself with the same adapter."""
    moss = await put(store, tmp_path, "moss")
    grid = Grid(Axis("prompt", ("moss:0.5", "moss:1", "nothing:1")))
    ticket = await orders.imagine(order("a cat <lora:moss:0.5>", grid=grid))
    request = (await orders.open_job(ticket.job_id, who())).request
    uses = [AdapterUse("moss", 0.5, sha256=moss.info.sha256), AdapterUse("moss", 1.0, sha256=moss.info.sha256)]
    assert drawn(replace(request, seed=1)) == [(uses[0],), (uses[1],), (AdapterUse("nothing", 1.0),)]
    assert [note.partition(" is left out")[0] for note in request.notes] == ["<lora:nothing:1>"]
    for place, mix in enumerate([(uses[0],), (uses[1],), ()]):
        cell = await orders.cell(ticket.job_id, press(), place)
        assert (await orders.open_job(cell.job_id, who())).request.adapters == mix


async def test_a_grid_finds_adapters_by_alias_and_number(orders: Orders, store: Store, tmp_path: Path) -> None:
    """And calls them as the mix does, so that a weight on an axis takes the place of the one in the mix."""
    moss = await put(store, tmp_path, "moss", alias="green")
    grid = Grid(Axis("weight GREEN", (0.0, 0.5)), Axis("adapter", ("none", f"{moss.short_id}:2")))
    request = await ordered(orders, grid=grid, adapters=(AdapterUse("green", 1.0),))
    assert request.grid is not None
    assert {use.sha256 for use in request.known} == {moss.info.sha256}
    assert str(request.grid) == "weight moss: 0, 0.5 × adapter: none, moss:2"
    assert [[use.weight for use in cell.adapters] for cell in request.grid.cells(request)] == [[0], [0.5], [2], [2]]
    with pytest.raises(BadRequest, match="twice"):
        await ordered(orders, grid=Grid(Axis("adapter", ("green", "moss"))))


async def test_a_grid_does_not_tell_what_a_private_adapter_is_called(
    orders: Orders, store: Store, tmp_path: Path
) -> None:
    """Its axes stand on the sheet and on the card, where others read them."""
    moss = await put(store, tmp_path, "moss", "private")
    grid = (await ordered(orders, grid=Grid(Axis("adapter", ("none", "Moss:0.5"))))).grid
    assert grid is not None
    assert (grid.x.labels, grid.names) == (("none", f"{moss.short_id}:0.5"), (moss.short_id,))


@pytest.mark.parametrize(("visibility", "said"), [("everyone", "moss"), ("private", "#")])
@pytest.mark.parametrize("held", ["banned", "quarantined"])
async def test_why_an_adapter_is_not_drawn_with_any_more_keeps_a_private_name(
    store: Store, tmp_path: Path, visibility: str, said: str, held: str
) -> None:
    """What stopped it between order and execution stands on the card in the channel."""
    moss = await put(store, tmp_path, "moss", visibility)
    gate = Gate(store)
    orders = Orders(store, FakeLine(store), gate=gate)
    job = await orders.open_job((await orders.imagine(order("a <lora:moss:1>"))).job_id, who())
    if held == "banned":
        await store.judging.ban([moss.info.sha256], GUILD, "moss", "it is stolen")
    else:
        await store.judging.quarantine(moss.info.sha256, "it is slow", by_hand=True)
    objection = await gate.objection(job)
    assert objection.startswith(said)
    assert "it is" in objection
    assert ("moss" in objection) is (visibility == "everyone")
