"""/lora rate and report, "Report" on a message, and the moderators' queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import discord
import pytest

from bot.orders import CatalogEntry, JobState, Who
from bot.store import Store
from bot.views.moderating import Verb
from tests.bot.forgery import actor, answers, press
from tests.bot.worlds import World, buttons, items, texts, world
from tests.fakes import adapter_file

STARS = "★★★★☆"


def store(w: World) -> Store:
    return w.bot.orders._store


def said(result: Any) -> str:
    """What a member reads of an error, whether or not a first answer promised another."""
    return str((result.followups or [result.response])[0].content)


async def shared(w: World, name: str = "mist", owner_id: int | None = None) -> CatalogEntry:
    """bob's adapter, for everyone in the server."""
    path = adapter_file(w.data / f"{name}.safetensors", text=f"{name} itself")
    owner = w.bob.id if owner_id is None else owner_id
    return await store(w).catalog.add(path, name, visibility="guild", owner_id=owner, guild_id=w.alice.guild.id)


async def found(w: World, name: str, by: Any) -> CatalogEntry | None:
    return await store(w).catalog.find(Who(by.id, "", w.alice.guild.id, w.channel.id), name)


async def test_rate_is_told_with_the_mean_and_leads_to_the_reviews(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        shown = await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=4, words="**lovely** @everyone")
        assert shown.response.ephemeral
        assert STARS in texts(shown.response.message)
        assert "4.0 of 5 stars, 1 rating" in texts(shown.response.message)
        reviews = await w.alice.click(shown.response.message, label="Reviews")
        assert reviews.response.ephemeral
        assert f"{STARS} <@{w.alice.id}>" in texts(reviews.response.message)
        assert "```\n**lovely** @everyone\n```" in texts(reviews.response.message)


async def test_no_stars_take_the_rating_back(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=4)
        shown = await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=0)
        assert "not rated yet" in texts(shown.response.message)
        reviews = await w.alice.click(shown.response.message, label="Reviews")
        assert "Nobody has said anything" in texts(reviews.response.message)


async def test_ones_own_adapter_is_for_others_to_rate(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        refused = await w.bob.slash(w.channel, "lora rate", adapter="mist", stars=5)
        assert "others rate it" in said(refused)
        assert (await found(w, "mist", w.bob)).ratings == 0  # type: ignore[union-attr]


async def test_a_review_shows_a_picture_of_ones_own_that_the_adapter_made(tmp_path: Path) -> None:
    """Offered and taken are one's own finished jobs that used it; the picture lies in the bot without its metadata."""
    async with world(tmp_path) as w:
        await shared(w)
        job = await w.drawn("with it", lora="mist")
        other = await w.drawn("without it")
        offered = await w.alice.autocomplete(w.channel, "lora rate", "picture", "", adapter="mist")
        assert [(choice["name"], choice["value"]) for choice in offered] == [("with it", job.id)]
        assert await w.molly.autocomplete(w.channel, "lora rate", "picture", "", adapter="mist") == []
        assert await w.alice.autocomplete(w.channel, "lora rate", "picture", "", adapter="nobody") == []
        before = set((w.data / "previews").iterdir())
        shown = await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=4, picture=job.id)
        reviews = await w.molly.click(await public(w, shown), label="Reviews")
        assert len(reviews.response.message.attachments) == 1
        (file,) = set((w.data / "previews").iterdir()) - before
        assert b"with it" not in file.read_bytes()
        without = await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=4, picture=other.id)
        assert "made without mist" in said(without)
        theirs = await w.molly.slash(w.channel, "lora rate", adapter="mist", stars=4, picture=job.id)
        assert "belongs to the one who asked" in said(theirs)


async def public(w: World, shown: Any) -> Any:
    """The same card in a message that everybody in the channel sees."""
    stored = w.env.backend.get_message(w.channel.id, shown.response.id)
    stored.flags &= ~64
    stored.visible_to_ids = None
    return shown.response.message


async def test_reviews_turn_pages(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        entry = await shared(w)
        for number in range(6):
            rater = Who(9000 + number, "", w.alice.guild.id, w.channel.id)
            await store(w).judging.rate(rater, entry.id, 3, f"review {number}")
        shown = await w.alice.slash(w.channel, "lora rate", adapter="mist", stars=4)
        reviews = (await w.alice.click(shown.response.message, label="Reviews")).response
        assert list(buttons(reviews.message)) == ["Older"]
        await w.alice.click(reviews.message, label="Older")
        assert list(buttons(reviews.message)) == ["Newer"]
        assert "review 0" in texts(reviews.message)


async def test_report_waits_for_a_moderator_and_tells_what_became_of_it_to_whoever_asks_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        first = await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen", words="mine @everyone")
        assert first.response.ephemeral
        assert "will look at it" in texts(first.response.message)
        again = await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen")
        assert "still waits" in texts(again.response.message)
        queue = await w.molly.slash(w.channel, "moderate reports")
        assert queue.response.ephemeral
        said = texts(queue.response.message)
        for words in ("Adapter `mist`", "maker's leave", f"<@{w.alice.id}>", "```\nmine @everyone\n```", "1 of 1"):
            assert words in said
        assert list(buttons(queue.response.message)) == ["Dismiss", "Hide here"]
        await w.molly.click(queue.response.message, label="Dismiss")
        assert "Dismissed." in texts(queue.response.message)
        assert "Nothing is reported here." in texts(queue.response.message)
        after = await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen")
        assert "left it as it is" in texts(after.response.message)


async def test_hidden_here_is_gone_for_all_but_its_owner_who_reads_why(tmp_path: Path) -> None:
    """Nobody finds it or draws with it, its owner neither; restored, everything is as it was."""
    async with world(tmp_path) as w:
        entry = await shared(w)
        await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen")
        queue = await w.molly.slash(w.channel, "moderate reports")
        await w.molly.click(queue.response.message, label="Hide here")
        assert "`mist` is taken down here." in texts(queue.response.message)
        unknown = await w.alice.slash(w.channel, "imagine", prompt="x", lora="mist")
        assert "no adapter called 'mist'" in unknown.response.content
        refused = await w.bob.slash(w.channel, "imagine", prompt="x", lora="mist")
        assert "mist was taken down here because whoever made it did not allow this" in refused.response.content
        offered = await w.molly.autocomplete(w.channel, "moderate restore", "name", "mi")
        assert [choice["value"] for choice in offered] == ["mist"]
        restored = await w.molly.slash(w.channel, "moderate restore", name="mist")
        assert "may be used again" in texts(restored.response.message)
        assert await found(w, "mist", w.alice) == entry
        gone = await w.molly.slash(w.channel, "moderate restore", name="mist")
        assert "Nothing called 'mist' is taken down in this server." in gone.response.content


async def test_takedown_names_its_reason_and_a_waiting_job_is_not_drawn(tmp_path: Path) -> None:
    """A job that was ordered before and begins after fails with a sentence; a fork of the file falls too."""
    async with world(tmp_path) as w:
        await shared(w)
        for prompt in ("one", "two", "three"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt, lora="mist")
        await w.dispatched(2)
        waiting = await w.newest()
        taken = await w.molly.slash(w.channel, "moderate takedown", adapter="mist", reason="it is  not\nyours.")
        assert "taken down here" in texts(taken.response.message)
        await w.fleet.finish(await w.dispatched())
        assert (await w.ended(waiting.id)).state is JobState.FAILED
        await shared(w, "fork")
        refused = await w.bob.slash(w.channel, "imagine", prompt="x", lora="fork")
        assert "fork was taken down here because it is not yours." in refused.response.content


async def test_only_the_people_who_run_the_bot_take_down_everywhere(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        refused = await w.molly.slash(w.channel, "moderate takedown", adapter="mist", reason="x", everywhere=True)
        assert "people who run this bot" in refused.response.content
        assert await found(w, "mist", w.alice) is not None
        w.bot.owners |= {w.molly.id}
        await w.alice.slash(w.channel, "lora report", adapter="mist", reason="hate")
        queue = await w.molly.slash(w.channel, "moderate reports")
        await w.molly.click(queue.response.message, label="Take down everywhere")
        direct = Who(w.alice.id, "", None, 1)
        assert await store(w).judging.banned([(await found(w, "mist", w.bob)).info.sha256], None)  # type: ignore[union-attr]
        assert await store(w).catalog.find(direct, "mist") is None


async def test_a_result_is_reported_from_its_menu_and_deleted_from_the_queue(tmp_path: Path) -> None:
    """The queue shows its picture hidden; deleted, it is gone from the channel, the history and the disk."""
    async with world(tmp_path) as w:
        job = await w.drawn("a picture")
        card = w.channel.last_message
        form = await w.bob.context_menu(w.channel, "Report", card)
        done = await w.bob.submit_modal(form, {"reason": ["hate"], "words": "look"})
        assert "will look at it" in texts(done.response.message)
        queue = await w.molly.slash(w.channel, "moderate reports")
        message = queue.response.message
        assert "A picture: **Insults" in texts(message)
        assert [gallery.items[0].spoiler for gallery in items(message) if hasattr(gallery, "items")] == [True]
        await w.molly.click(message, label="Delete the picture")
        assert "The picture is deleted." in texts(queue.response.message)
        assert card.id not in [one.id for one in w.channel.history()]
        assert not job.pictures[0].path.exists()
        assert "not made any pictures" in texts((await w.alice.slash(w.channel, "history")).response.message)


async def test_ones_own_result_and_what_is_none_are_not_reported(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn()
        own = await w.alice.context_menu(w.channel, "Report", w.channel.last_message)
        assert "This picture is yours" in own.response.content
        words = await w.alice.send(w.channel, "hello")
        none = await w.bob.context_menu(w.channel, "Report", words)
        assert "shows no result of mine" in none.response.content


async def test_fifty_presses_decide_a_report_once(tmp_path: Path) -> None:
    """However many moderators press however often, one outcome follows, and the others read that they were late."""
    async with world(tmp_path) as w:
        await shared(w)
        await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen")
        queue = await w.molly.slash(w.channel, "moderate reports")
        ids = [id_ for label, id_ in buttons(queue.response.message).items() if label in ("Dismiss", "Hide here")]
        molly, card = actor(w.molly, w.channel), w.env.backend.get_message(w.channel.id, queue.response.id)
        pressed = [press(w.env, molly, card, ids[number % 2]) for number in range(50)]
        late = [message for one in pressed for message in answers(w.env, await one.over()) if message.content]
        assert ["decided this report meanwhile" in message.content for message in late] == [True] * 49
        notes = await store(w).audit.entries(None, limit=100)
        assert [note.action for note in notes].count("decide report") == 1


@pytest.mark.parametrize("verb", Verb)
async def test_a_member_presses_nothing_in_the_queue(tmp_path: Path, verb: Verb) -> None:
    async with world(tmp_path) as w:
        await shared(w)
        await w.alice.slash(w.channel, "lora report", adapter="mist", reason="stolen")
        queue = await w.molly.slash(w.channel, "moderate reports")
        alice, card = actor(w.alice, w.channel), w.env.backend.get_message(w.channel.id, queue.response.id)
        *_, answer = answers(w.env, await press(w.env, alice, card, f"loom:report:{verb}:1").over())
        words = "people who run" if verb is Verb.TAKE_DOWN else "people who may manage messages"
        assert words in answer.content
        report = await store(w).judging.reported(Who(1, "", w.alice.guild.id, 1, moderator=True), 1)
        assert report is not None
        assert not report.outcome


def test_a_card_of_the_queue_has_ids_that_discord_takes() -> None:
    from bot.views.moderating import ReportButton

    assert max(len(ReportButton(verb, 10**17).custom_id) for verb in Verb) <= 100
    assert discord.ButtonStyle.danger is ReportButton(Verb.HIDE, 1).item.style


async def test_an_adapters_card_leads_to_rating_reviews_and_reporting(tmp_path: Path) -> None:
    """Each a form of whoever pressed; one's own adapter offers neither."""
    async with world(tmp_path) as w:
        await shared(w)
        card = await w.alice.slash(w.channel, "lora info", adapter="mist")
        form = await w.alice.click(card.response.message, label="Rate…")
        assert form.modal["title"] == "Rate mist"
        given = await w.alice.submit_modal(form, {"stars": ["4"], "words": "fine"})
        assert STARS in texts(given.response.message)
        form = await w.alice.click(card.response.message, label="Report…")
        told = await w.alice.submit_modal(form, {"reason": ["broken"], "words": ""})
        assert "will look at it" in texts(told.response.message)
        again = await w.alice.slash(w.channel, "lora info", adapter="mist")
        reviews = await w.alice.click(again.response.message, label="Reviews")
        assert "fine" in texts(reviews.response.message)
        form = await w.alice.click(card.response.message, label="Rate…")
        back = await w.alice.submit_modal(form, {"stars": ["0"]})
        assert "not rated yet" in texts(back.response.message)
        own = await w.bob.slash(w.channel, "lora info", adapter="mist")
        assert {"Rate…", "Report…"}.isdisjoint(buttons(own.response.message))


async def test_the_owner_reads_on_the_card_why_it_was_taken_down(tmp_path: Path) -> None:
    """In their own words as text, and only there where it was."""
    async with world(tmp_path) as w:
        await shared(w)
        await w.molly.slash(w.channel, "moderate takedown", adapter="mist", reason="**it** is not yours")
        card = await w.bob.slash(w.channel, "lora info", adapter="mist")
        assert "mist was taken down here because \\*\\*it\\*\\* is not yours." in texts(card.response.message)
        await w.molly.slash(w.channel, "moderate restore", name="mist")
        card = await w.bob.slash(w.channel, "lora info", adapter="mist")
        assert "taken down" not in texts(card.response.message)
