"""/lora browse, search, info, edit, share, fork, favourite, remove, from what is typed to what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord

from bot.orders import CatalogEntry, Change, Wish
from bot.store.models import EntryRow, SampleRow
from bot.views.adapter import ADAPTER_DEEDS, AdapterAction, AdapterButton
from engine import BUILTIN_ADAPTERS
from tests.bot.worlds import World, buttons, items, texts, world
from tests.fakes import adapter_file, png, who


async def put(
    w: World, name: str, visibility: str = "guild", owner: Any = None, *, width: int = 96, **change: object
) -> CatalogEntry:
    """bob's entry, or another's, which says what `change` says."""
    owner = owner or w.bob
    store, asker = w.bot.orders._store, who(owner.id, guild_id=w.channel.guild.id)
    path = adapter_file(w.data / f"{name}.safetensors", width=width)
    whose = {"owner_id": owner.id, "guild_id": asker.guild_id if visibility == "guild" else None}
    entry = await store.catalog.add(path, name, visibility=visibility, **whose)
    edited = await store.entries.edit(asker, entry.id, Change(**change))  # type: ignore[typeddict-item]
    assert edited is not None
    return edited


async def picture(w: World, entry: CatalogEntry, file: str, *, mature: bool = False) -> None:
    folder = w.data / "previews"
    folder.mkdir(exist_ok=True)
    (folder / file).write_bytes(png())
    async with w.bot.orders._store.connections.write() as session:
        session.add(SampleRow(entry_id=entry.id, kind="drawn", file=file, width=8, height=8, mature=mature))


def menus(message: Any) -> dict[str, dict[str, str]]:
    """By the verb of each menu: the values that it offers, by their labels."""
    selects = [item for item in items(message) if item.type is discord.ComponentType.select]
    return {item.custom_id.split(":")[2]: {one.label: one.value for one in item.options} for item in selects}


async def chosen(w: World, message: Any, verb: str, label: str) -> None:
    select = next(item for item in items(message) if (getattr(item, "custom_id", "") or "").split(":")[2:3] == [verb])
    await w.alice.select(message, [menus(message)[verb][label]], custom_id=select.custom_id)


def fits_discord(message: Any) -> bool:
    said = [item.content for item in items(message) if hasattr(item, "content")]
    return len(list(items(message))) <= 40 and sum(map(len, said)) <= 4000 and len(message.attachments) <= 10


def test_every_button_that_is_shown_has_a_deed_and_an_id_that_discord_takes() -> None:
    """Rating and reporting are another module's, and are not shown until it is there."""
    import bot.views.adapter_deeds  # noqa: F401  it registers the deeds

    assert set(AdapterAction) - set(ADAPTER_DEEDS) <= {AdapterAction.RATE, AdapterAction.REPORT}
    for action in AdapterAction:
        assert len(AdapterButton(action, 10**11).custom_id) <= 100


async def test_browse_shows_what_there_is_with_its_pictures_to_oneself(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        moss = await put(w, "moss", tags=("forest",), description="Damp stones", chosen=("softgreen",))
        await picture(w, moss, "moss.png")
        shown = await w.alice.slash(w.channel, "lora browse", show="new")
        assert shown.response.ephemeral
        said = texts(shown.response.message)
        for words in ("4 adapters", "`moss`", "Damp stones", "#forest", "`softgreen`", "`ink`", "built-in"):
            assert words in said
        files = [(file.filename, file.description) for file in shown.response.message.attachments]
        assert files[0] == ("sample-0.png", "moss")
        assert sorted(name or "" for _, name in files[1:]) == sorted(BUILTIN_ADAPTERS)
        assert fits_discord(shown.response.message)


async def test_browse_narrows_turns_opens_and_goes_back_also_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for number in range(6):
            await put(w, f"moss {number}", tags=("forest",), width=768 if number else 96)
        shown = await w.alice.slash(w.channel, "lora browse")
        assert "page 1 of 2" in texts(shown.response.message)
        await w.restart()
        await w.alice.click(shown.response.message, label="Next")
        assert "page 2 of 2" in texts(shown.response.message)
        await chosen(w, shown.response.message, "family", "SD 1.5")
        assert "5 adapters" in texts(shown.response.message)
        assert "`ink`" not in texts(shown.response.message)
        await chosen(w, shown.response.message, "tag", "forest")
        await chosen(w, shown.response.message, "family", "Every base model")
        assert "6 adapters" in texts(shown.response.message)
        await chosen(w, shown.response.message, "open", "moss 4")
        assert "fits: SD 1.5" in texts(shown.response.message)
        await w.alice.click(shown.response.message, label="Favourite")
        assert "Unfavourite" in buttons(shown.response.message)
        await w.alice.click(shown.response.message, label="Back")
        assert "6 adapters" in texts(shown.response.message)
        await chosen(w, shown.response.message, "show", "Only your favourites")
        assert "1 adapter" in texts(shown.response.message)
        await chosen(w, shown.response.message, "show", "Only yours")
        assert "no adapters" in texts(shown.response.message)
        assert fits_discord(shown.response.message)


async def test_a_full_page_of_long_words_fits_one_message(tmp_path: Path) -> None:
    """Five entries with pictures, everything at its longest, every menu there."""
    async with world(tmp_path) as w:
        for number in range(6):
            long = {"tags": tuple(f"{mark}{'t' * 38}" for mark in "abcdef"), "chosen": ("w" * 100,) * 1}
            entry = await put(w, f"{number}" + "`n" * 29, description="_d_" * 300, width=768 * (1 + number % 2), **long)
            await picture(w, entry, f"{number}.png")
        shown = await w.alice.slash(w.channel, "lora browse", show="new")
        assert len(menus(shown.response.message)) == 4
        assert len(shown.response.message.attachments) == 5
        assert fits_discord(shown.response.message)


async def test_a_card_is_its_owners_alone(tmp_path: Path) -> None:
    """Somebody else who sends its ids learns nothing, and is told what to do."""
    async with world(tmp_path) as w:
        number, _ = await w.bot.shelf.browse(who(w.bob.id, guild_id=w.channel.guild.id), Wish())
        mine, _ = await w.bot.shelf.browse(who(w.alice.id, guild_id=w.channel.guild.id), Wish())
        for name in "abcdef":
            await put(w, name)
        shown = await w.alice.slash(w.channel, "lora browse")
        message = shown.response.message
        real = buttons(message)["Next"]
        stored = w.env.backend.get_message(w.channel.id, message.id)
        _swap(stored.components, real, f"loom:browse:next:{number}")
        refused = await w.alice.click(message, custom_id=f"loom:browse:next:{number}")
        assert "somebody else's" in refused.response.content
        assert refused.response.ephemeral
        assert mine != number


async def test_search_forgives_slips_and_shows_what_it_looked_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "watercolour", description="Washes of paint")
        for words in ("watrecolour", "washes", "watercolourstyle"):
            shown = await w.alice.slash(w.channel, "lora search", words=words)
            assert "1 adapter " in texts(shown.response.message), words
            assert "`watercolour`" in texts(shown.response.message)
            assert f"for `{words}`" in texts(shown.response.message)
        none = await w.alice.slash(w.channel, "lora search", words="@everyone `zzzz`")
        assert "no adapters with `@everyone ˋzzzzˋ`" in texts(none.response.message)


async def test_info_tells_all_that_is_known_and_nobodys_id(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        moss = await put(
            w,
            "moss",
            credit="Fern <@1>",
            license="CC0",
            weight=0.7,
            least=0.4,
            most=0.9,
            alias="green",
            tags=("forest",),
        )
        await picture(w, moss, "moss.png")
        shown = await w.alice.slash(w.channel, "lora info", adapter=moss.short_id)
        said = texts(shown.response.message)
        for words in (
            "also called: `green`", "made by: Fern", "licence: CC0", "weight: 0.7 · recommended 0.4 to 0.9",
            "tags: #forest", "seen by: this server", "layers: 1 in unet", "rank: 2", "alpha: 2", "<lora:moss:0.7>",
            "none are added by themselves", moss.info.sha256[:12], moss.info.autov3,
        ):  # fmt: skip
            assert words in said, words
        assert str(w.bob.id) not in repr(shown.response.message.components)
        assert [file.filename for file in shown.response.message.attachments] == ["sample-0.png"]
        assert list(buttons(shown.response.message)) == ["Draw with it…", "Favourite", "Fork", "Rate…", "Report…"]
        owned = await w.bob.slash(w.channel, "lora info", adapter="moss")
        assert "Edit…" in buttons(owned.response.message)


async def test_mature_pictures_are_shown_only_where_adults_are(tmp_path: Path) -> None:
    """The very same command in two channels, and the gallery's buttons too."""
    async with world(tmp_path) as w:
        adults = w.channel.guild.create_text_channel("adults")
        await w.env.settle()
        channel = w.bot.get_channel(adults.id)
        assert isinstance(channel, discord.TextChannel)
        channel.nsfw = True  # SimCord knows no age-restricted channels
        moss = await put(w, "moss")
        await picture(w, moss, "mature.png", mature=True)
        for channel, number in ((w.channel, 0), (adults, 1)):
            commands = (("lora info", {"adapter": "moss"}, 0), ("lora browse", {"show": "new"}, len(BUILTIN_ADAPTERS)))
            for command, options, others in commands:
                shown = await w.alice.slash(channel, command, **options)
                assert len(shown.response.message.attachments) == others + number, (channel, command)
        await w.bot.shelf.edit(who(w.bob.id, guild_id=w.channel.guild.id), "moss", Change(nsfw=True))
        assert "`moss`" not in texts((await w.alice.slash(w.channel, "lora browse")).response.message)
        assert "`moss`" in texts((await w.alice.slash(adults, "lora browse")).response.message)
        assert await w.alice.autocomplete(w.channel, "imagine", "lora", "moss", prompt="x") == []
        assert len(await w.alice.autocomplete(adults, "imagine", "lora", "moss", prompt="x")) == 1


async def test_draw_with_it_asks_for_words_and_orders(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        moss = await put(w, "moss", weight=0.7)
        shown = await w.alice.slash(w.channel, "lora info", adapter="moss")
        form = await w.alice.click(shown.response.message, label="Draw with it…")
        ordered = await w.alice.submit_modal(form, {"prompt": "a stone", "weight": ""})
        assert "Queued" in texts(ordered.response.message)
        await w.dispatched()
        request = w.fleet.attempts[0].request
        assert (request.prompt, request.adapters[0].name, request.adapters[0].weight) == ("a stone", "moss", 0.7)
        assert request.adapters[0].sha256 == moss.info.sha256


async def test_a_result_shows_maker_licence_and_advice(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "moss", credit="Fern @everyone", license="CC0", most=0.5)
        await w.drawn("a stone <lora:moss:0.9> <lora:ink:0.5>")
        said = texts(w.channel.last_message)
        for words in ("`moss` by Fern", "(CC0)", "`ink` by Loraloom (MIT)", "at most 0.5 is recommended"):
            assert words in said
        assert "@everyone" not in said


async def test_the_name_of_a_private_adapter_is_in_no_message_of_the_channel(tmp_path: Path) -> None:
    """Not on the first answer, not on the card, not in the picture's own text, not in what others are offered."""
    async with world(tmp_path) as w:
        own = await put(w, "secretname", "private", w.alice, most=0.5)
        await w.drawn("a stone <lora:secretname:0.9> <lora:secretnam:1>")
        for message in w.channel.history(viewer=w.bob):
            assert "secretname" not in texts(message).replace("<lora:secretnam:1>", "")
        assert f"{own.short_id} 0.9" in texts(w.channel.last_message)
        assert "secretname" not in repr(w.fleet.attempts[0].request)
        for option in ("lora info", "lora fork", "lora edit"):
            assert await w.bob.autocomplete(w.channel, option, "adapter", "secret") == []
        assert await w.bob.autocomplete(w.channel, "imagine", "lora", "secret", prompt="x") == []
        for typed in ("secretname", own.short_id):
            for command in ("lora info", "lora fork", "lora favourite", "lora remove", "lora edit"):
                refused = await w.bob.slash(w.channel, command, adapter=typed)
                assert "no adapter called" in refused.response.content
                assert "Did you mean" not in refused.response.content


async def test_axes_of_a_grid_offer_private_adapters_by_their_number(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        own = await put(w, "secretname", "private", w.alice)
        offered = await w.alice.autocomplete(w.channel, "grid", "x", "weight", prompt="x")
        said = repr(offered)
        assert f"weight {own.short_id}: 0-1 [5]" in said
        assert "secretname" not in said


async def test_share_fork_and_favourite_say_what_they_did_and_are_undone(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        moss = await put(w, "moss", "private", w.alice)
        offered = await w.alice.autocomplete(w.channel, "lora share", "adapter", "mo")
        assert [choice["value"] for choice in offered] == [moss.short_id]
        for to, words in (
            ("guild", "in this server can draw"),
            ("private", "yours alone"),
            ("guild", "in this server"),
        ):
            said = await w.alice.slash(w.channel, "lora share", adapter=moss.short_id, to=to)
            assert words in texts(said.response.message)
            assert said.response.ephemeral
        forked = await w.bob.slash(w.channel, "lora fork", adapter="moss", name="lichen")
        assert "forked from: `moss`" in texts(forked.response.message)
        assert "seen by: only you" in texts(forked.response.message)
        taken = await w.bob.slash(w.channel, "lora fork", adapter="moss", name="lichen")
        assert "is called 'lichen' already" in taken.response.content
        for keep, words in ((True, "is one of"), (False, "is none of")):
            said = await w.bob.slash(w.channel, "lora favourite", adapter="moss", keep=keep)
            assert words in texts(said.response.message)
        refused = await w.bob.slash(w.channel, "lora share", adapter="moss", to="everyone")
        assert "is somebody else's" in refused.response.content


async def test_remove_asks_first_and_outlives_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "moss", "private", w.alice)
        kept = await w.alice.slash(w.channel, "lora remove", adapter="moss")
        await w.alice.click(kept.response.message, label="Keep it")
        assert "It stays." in texts(kept.response.message)
        asked = await w.alice.slash(w.channel, "lora remove", adapter="moss")
        await w.restart()
        await w.alice.click(asked.response.message, label="Remove it")
        assert "`moss` is gone" in texts(asked.response.message)
        assert "no adapter called" in (await w.alice.slash(w.channel, "lora info", adapter="moss")).response.content


async def test_edit_by_options_says_what_it_is_now(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "moss", "private", w.alice)
        shown = await w.alice.slash(
            w.channel, "lora edit", adapter="moss", name="lichen", alias="green", weight=0.7, range="0,4-0,9",
            policy="chosen", words="soft green, damp", tags="Forest, green", description="Damp", nsfw=True,
            real_person=True, credit="Fern", licence="CC0",
        )  # fmt: skip
        said = texts(shown.response.message)
        for words in ("`lichen`", "`green`", "0.7 (0.4 – 0.9)", "chosen soft green, damp", "forest, green", "Fern"):
            assert words in said, words
        assert "18+, a real person" in said
        refused = await w.alice.slash(w.channel, "lora edit", adapter="lichen", range="much")
        assert "0.4-0.9" in refused.response.content


async def test_edit_by_forms_says_the_same(tmp_path: Path) -> None:
    """Every form shows what the entry says, takes something else, and takes it back."""
    async with world(tmp_path) as w:
        moss = await put(w, "moss", "private", w.alice, tags=("forest",), weight=0.7)
        shown = await w.alice.slash(w.channel, "lora info", adapter="moss")
        await w.alice.click(shown.response.message, label="Edit…")
        form = await w.alice.click(shown.response.message, label="Name and description…")
        await w.alice.submit_modal(form, {"name": "lichen", "alias": "", "tags": "a, b", "description": "Damp"})
        assert "`lichen`" in texts(shown.response.message)
        form = await w.alice.click(shown.response.message, label="Weights and words…")
        given = {"weight": "0,5", "range": "0.4–0.9", "policy": "chosen", "chosen": "softgreen"}
        await w.alice.submit_modal(form, given)
        assert "0.5 (0.4 – 0.9)" in texts(shown.response.message)
        form = await w.alice.click(shown.response.message, label="Maker and warnings…")
        await w.alice.submit_modal(form, {"credit": "Fern", "license": "CC0", "flags": ["nsfw"]})
        assert "18+" in texts(shown.response.message)
        form = await w.alice.click(shown.response.message, label="Weights and words…")
        refused = await w.alice.submit_modal(form, {"weight": "0.5", "range": "x", "policy": "none", "chosen": ""})
        assert "write it as 0.4-0.9" in refused.response.content
        edited = await w.bot.shelf.own(who(w.alice.id, guild_id=w.channel.guild.id), moss.short_id)
        assert (edited.name, edited.tags, edited.weight, edited.least, edited.most) == (
            "lichen",
            ("a", "b"),
            0.5,
            0.4,
            0.9,
        )
        assert (edited.chosen, edited.credit, edited.nsfw, edited.real_person) == (("softgreen",), "Fern", True, False)
        await w.alice.click(shown.response.message, label="Done")
        assert "fits: built-in" in texts(shown.response.message)


async def test_an_edit_button_of_somebody_else_opens_nothing(tmp_path: Path) -> None:
    """Its id is no secret: whose the entry is, is asked when it is pressed and when the form is sent."""
    async with world(tmp_path) as w:
        moss = await put(w, "moss", "private", w.alice)
        shown = await w.alice.slash(w.channel, "lora edit", adapter="moss")
        form = await w.alice.click(shown.response.message, label="Name and description…")
        async with w.bot.orders._store.connections.write() as session:
            row = await session.get(EntryRow, moss.id)
            assert row is not None
            row.owner_id = w.bob.id
        refused = await w.alice.submit_modal(form, {"name": "mine", "alias": "", "tags": "", "description": ""})
        assert "no adapter called" in refused.response.content
        refused = await w.alice.click(shown.response.message, label="Name and description…")
        assert "no adapter called" in refused.response.content


async def test_autocomplete_offers_of_the_base_and_tags_what_there_is(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "moss", width=768, tags=("forest",))
        bases = await w.alice.autocomplete(w.channel, "lora browse", "base", "sd")
        assert [choice["value"] for choice in bases] == ["SD 1.5"]
        tags = await w.alice.autocomplete(w.channel, "lora browse", "tag", "for")
        assert [choice["value"] for choice in tags] == ["forest"]
        shown = await w.alice.slash(w.channel, "lora browse", base="sd 1.5", tag="#Forest")
        assert "`moss`" in texts(shown.response.message)


async def test_in_a_direct_message_there_are_ones_own_and_everyones(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await put(w, "moss", "private", w.alice)
        await put(w, "lichen", "guild", w.alice)
        shown = await w.alice.user.slash("lora browse", show="new")
        said = texts(shown.response.message)
        assert "`moss`" in said
        assert "`ink`" in said
        assert "`lichen`" not in said
        refused = await w.alice.user.slash("lora share", adapter="moss", to="guild")
        assert "no server here" in refused.response.content


def _swap(components: Any, old: str, new: str) -> None:
    for component in components:
        if component.get("custom_id") == old:
            component["custom_id"] = new
        _swap(component.get("components", ()), old, new)
