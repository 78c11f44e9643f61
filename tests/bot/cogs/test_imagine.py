"""/imagine, from the words to the card."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.orders import JobState, Order, Ticket
from bot.orders.values import read_short_id
from bot.views import asking
from bot.views.cards import finished
from engine import SAMPLERS, SCHEDULES, UPSCALERS, AdapterUse, EngineConfig, Hires
from tests.bot.worlds import buttons, texts, world
from tests.fakes import adapter_file, checkpoint, png, until


async def test_its_options_are_the_ones_that_were_promised(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        command = w.bot.tree.get_command("imagine")
        names = [parameter.name for parameter in command.parameters]  # type: ignore[union-attr]
    promised = "prompt negative lora weight lora2 weight2 lora3 weight3 model size steps cfg sampler seed count image"
    assert names == [*promised.split(), "strength", "mask", "hires", "upscaler", "vae", "clip_skip", "schedule"]


async def test_the_first_answer_tells_the_place_of_a_job_that_is_already_recorded(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for prompt in ("drawn", "with the worker too", "first in line"):
            await w.alice.slash(w.channel, "imagine", prompt=prompt)
        await w.dispatched(2)
        result = await w.alice.slash(w.channel, "imagine", prompt="second in line")
        assert "Queued, place 2" in texts(result.response.message)
        assert list(buttons(result.response.message)) == ["Cancel"]
        mine = await w.bot.orders.queue((await w.newest()).order.who)
        assert len(mine.mine) == 4


async def test_every_option_reaches_the_engine(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "negative": "fog", "lora": "ink", "weight": 0.5, "lora2": "light", "lora3": "neon", "weight3": -1.0,
        "size": "128x192", "steps": 12, "cfg": 3.5, "sampler": "Heun", "seed": 42, "count": 2, "strength": 0.3,
        "model": "builtin", "hires": 1.5, "clip_skip": 2, "schedule": "Karras",
    }  # fmt: skip
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="a house", **options)
        await w.dispatched()
        request = w.fleet.attempts[0].request
    uses = [(use.name, use.weight) for use in request.adapters]
    assert uses == [("ink", 0.5), ("light", 1.0), ("neon", -1.0)]
    assert (request.prompt, request.negative, request.width, request.height) == ("a house", "fog", 128, 192)
    assert (request.steps, request.cfg, request.sampler, request.seed) == (12, 3.5, "Heun", 42)
    assert (request.count, request.strength, request.model) == (2, 0.3, "builtin")
    assert (request.hires, request.clip_skip, request.schedule) == (Hires(1.5), 2, "Karras")


async def test_a_tag_in_the_prompt_adds_an_adapter(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="a red flower <lora:ink:0.5>")
        await w.dispatched()
        request = w.fleet.attempts[0].request
    assert request.prompt == "a red flower"
    assert request.adapters == (AdapterUse("ink", 0.5, sha256=request.adapters[0].sha256),)


async def test_a_tag_that_is_left_out_is_told_at_once_and_on_the_card(tmp_path: Path) -> None:
    prompt = "a <lora:ink:0.5:stop=5> <lora:inc> <lora:neon:x>"
    async with world(tmp_path) as w:
        result = await w.alice.slash(w.channel, "imagine", prompt=prompt)
        await w.dispatched()
        said = texts(result.response.message)
        assert "`<lora:inc:1> is left out: There is no adapter called 'inc' here. Did you mean ink?`" in said
        assert "'x' is not a number" in said
        card = str(finished(await w.newest(), []).to_components())
    assert "Did you mean ink?" in card
    assert "<lora:ink:0.5:stop=5>" in card


async def test_a_picture_sent_along_is_where_the_drawing_starts(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        result = await w.alice.slash(w.channel, "imagine", prompt="x", image=("me.png", png()))
        await w.dispatched()
        assert w.fleet.attempts[0].request.image == png()
        assert "Queued" in texts(result.response.message)


async def test_a_mask_goes_with_its_picture_and_is_there_again(tmp_path: Path) -> None:
    """Both are kept for Again, and neither is in what /history reads."""
    async with world(tmp_path) as w:
        await w.drawn("x", image=("me.png", png()), mask=("mask.png", png(grey=255)))
        await w.alice.click(w.channel.last_message, label="Again")
        await w.dispatched(2)
        first, again = (attempt.request for attempt in w.fleet.attempts)
        assert (first.image, first.mask) == (png(), png(grey=255)) == (again.image, again.mask)
        assert ((await w.newest()).request.image, (await w.newest()).request.mask) == (None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompt": " AND ".join("x" * 17)}, "16 is the most"),
        ({"prompt": "x", "lora": "nobody"}, "no adapter called"),
        ({"prompt": "x", "lora": "inc"}, "Did you mean ink"),
        ({"prompt": "x", "size": "large"}, "write it as 512x768"),
        ({"prompt": "x", "size": "100x100"}, "multiples of 8"),
        ({"prompt": "x", "model": "sdxx"}, "no model called"),
        ({"prompt": "x", "lora": "*" * 5000}, "no adapter called"),
        ({"prompt": "x", "image": ("notes.txt", b"hello")}, "PNG, JPEG or WebP"),
        ({"prompt": "x", "mask": ("mask.png", png())}, "needs the picture"),
        ({"prompt": "x", "vae": "dreams"}, "no VAE called"),
        ({"prompt": "x", "size": "1024x1088", "hires": 2.0}, "2048 is the most"),
        ({"prompt": "x", "image": ("big.png", b"0" * (10 * 2**20 + 1))}, "10 MB is the most"),
    ],
)
async def test_what_cannot_be_drawn_is_refused_once_and_in_private(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async with world(tmp_path) as w:
        result = await w.alice.slash(w.channel, "imagine", **options)
        answers = [answer for answer in [result.response, *result.followups] if answer is not None]
        assert len(answers) == 1
        assert answers[0].ephemeral
        assert words in answers[0].content
        assert w.fleet.attempts == []
        assert w.channel.history(viewer=w.bob) == []


async def test_a_refusal_after_a_picture_was_read_is_private_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        result = await w.alice.slash(w.channel, "imagine", prompt="x", lora="nobody", image=("me.png", png()))
        assert w.channel.history(viewer=w.bob) == []
        assert "no adapter called" in result.response.content


async def test_what_takes_longer_than_discord_waits_is_promised_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the place in the queue takes the place of the promise, and a refusal takes it away."""
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    async with world(tmp_path) as w:
        imagine, seen = w.bot.orders.imagine, []

        async def slow(an_order: Order) -> Ticket:
            await asyncio.sleep(0.2)
            seen.append(texts(w.channel.last_message))
            return await imagine(an_order)

        monkeypatch.setattr(w.bot.orders, "imagine", slow)
        result = await w.alice.slash(w.channel, "imagine", prompt="x", image=("me.png", png()))
        job_id = await w.dispatched()
        assert "Queued, place 1" in texts(result.response.message)
        assert (await w.job(job_id)).message_id == w.channel.last_message.id
        assert len(w.channel.history()) == 1
        result = await w.alice.slash(w.channel, "imagine", prompt=" AND ".join("x" * 17))
        assert seen == ["\nOne moment…"] * 2
        assert len(w.channel.history(viewer=w.bob)) == 1
        assert "16 is the most" in result.followups[0].content
        assert result.followups[0].ephemeral


async def test_an_order_that_could_not_be_answered_in_time_is_not_drawn(tmp_path: Path) -> None:
    """The member has read that nothing came of it and will order again: one picture, not two."""
    async with world(tmp_path) as w:
        w.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=1)
        await w.alice.slash(w.channel, "imagine", prompt="x")
        assert (await w.newest()).state is JobState.CANCELLED
        await w.alice.slash(w.channel, "imagine", prompt="x")
        assert await w.dispatched() == (await w.newest()).id
        assert len(w.fleet.attempts) == 1


async def test_an_order_whose_answer_may_have_arrived_is_drawn(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.env.inject_error("POST", "/interactions/*", status=400, code=40060, times=1)
        await w.alice.slash(w.channel, "imagine", prompt="x")
        await w.fleet.finish(await w.dispatched())
        assert (await w.ended((await w.newest()).id)).state is JobState.POSTED
        assert w.channel.last_message.attachments


async def test_an_order_that_discord_never_saw_answered_does_not_run(tmp_path: Path) -> None:
    """Both tries fail, and Discord says that it has no answer: the member has read that nothing came of it."""
    async with world(tmp_path) as w:
        w.env.inject_error("POST", "/interactions/*", status=502, code=0, times=None)
        w.env.inject_error("GET", "/webhooks/*", status=404, code=10015, times=None)
        await w.alice.slash(w.channel, "imagine", prompt="x")
        assert (await w.newest()).state is JobState.CANCELLED
        assert w.fleet.attempts == []


async def test_words_of_a_member_neither_mention_nor_link_nor_leave_their_block(tmp_path: Path) -> None:
    prompt = "```\n@everyone <@1> [free](https://evil.example) # big"
    async with world(tmp_path) as w:
        await w.drawn(prompt)
        message = w.channel.last_message
        card = texts(message)
        assert card.count("```") == 2
        inside = card.split("```")[1]
        assert "@everyone" in inside
        assert "evil.example" in inside
        assert not message.mentions
        refused = await w.alice.slash(w.channel, "imagine", prompt="x", lora="[a](https://evil.example) @everyone")
        assert "https://" not in refused.response.content
        assert "@everyone" not in refused.response.content


async def test_progress_takes_the_place_of_the_first_answer_with_a_preview(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.fleet.step(job_id, 7, preview=b"\xff\xd8jpeg")
        await until(lambda: "step 7 of 20" in texts(w.channel.last_message))
        assert [file.filename for file in w.channel.last_message.attachments] == ["preview.jpg"]
        assert list(buttons(w.channel.last_message)) == ["Cancel"]


async def test_the_card_holds_the_pictures_and_all_that_makes_them_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.drawn("a red flower", lora="ink", weight=0.5, lora2="light", count=2, seed=42)
        message = w.channel.last_message
        assert [file.filename[-6:] for file in message.attachments] == ["-1.png", "-2.png"]
        assert await message.attachments[0].read() == png(128, 128, grey=50)
        for words in ("a red flower", "seed 42", "ink 0.5 + light 1", "128×128", "20 steps", "1.5 s"):
            assert words in texts(message)
        assert list(buttons(message)) == ["Again", "Vary seed", "Weights…", "Delete"]
        assert len(w.channel.history()) == 1


async def test_layers_are_told_only_where_some_are_missing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = await w.drawn(lora="ink")
        assert "204 of 204" not in texts(w.channel.last_message)
        card = finished(replace(job, report=("ink: 200 of 204 layers", "light: 204 of 204 layers")), [])
    shown = "\n".join(getattr(item, "content", "") for item in card.walk_children())
    assert "ink: 200 of 204 layers" in shown
    assert "light: 204" not in shown


async def test_a_failure_takes_the_place_of_the_first_answer(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.alice.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.fleet.fail(job_id, "It does not fit.")
        assert (await w.ended(job_id)).state is JobState.FAILED
        assert "It does not fit." in texts(w.channel.last_message)
        assert list(buttons(w.channel.last_message)) == ["Again"]
        assert len(w.channel.history()) == 1


async def test_too_many_orders_of_one_member_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for _ in range(w.bot.config.limits.jobs_per_member):
            await w.alice.slash(w.channel, "imagine", prompt="x")
        result = await w.alice.slash(w.channel, "imagine", prompt="x")
        assert result.response.ephemeral
        assert "unfinished jobs" in result.response.content


async def test_adapters_are_offered_by_name_while_typing(tmp_path: Path) -> None:
    """With what they fit and their weight; what the command then gets is a short id."""
    async with world(tmp_path) as w:
        offered = await w.alice.autocomplete(w.channel, "imagine", "lora2", "i", prompt="x")
        assert {choice["name"] for choice in offered} == {"ink · built-in · 1", "light · built-in · 1"}
        ink = next(choice["value"] for choice in offered if choice["name"].startswith("ink"))
        await w.alice.slash(w.channel, "imagine", prompt="x", lora=ink)
        await w.dispatched()
        assert [use.name for use in w.fleet.attempts[0].request.adapters] == ["ink"]
        assert read_short_id(ink)


async def test_what_fits_is_told_by_the_model_in_force_before_it_was_drawn_with(tmp_path: Path) -> None:
    """The server's, a member's own, and the one that the command names."""
    engine = EngineConfig(models={"xl": str(checkpoint(tmp_path / "xl.safetensors"))})
    async with world(tmp_path / "data", engine=engine) as w:
        path = adapter_file(tmp_path / "wide.safetensors", width=2048)
        await w.bot.orders._store.catalog.add(path, "wide", visibility="everyone")

        async def offered(who: Any, **given: str) -> set[str]:
            found = await who.autocomplete(w.channel, "imagine", "lora", "", prompt="x", **given)
            return {choice["name"].split(" · ")[0] for choice in found}

        await w.anna.slash(w.channel, "model use", name="xl")
        await w.bob.slash(w.channel, "settings me", model="builtin")
        assert await offered(w.alice) == await offered(w.bob, model="xl") == {"wide"}
        assert await offered(w.bob) == await offered(w.alice, model="builtin") == {"ink", "neon", "light"}
        sizes = await w.alice.autocomplete(w.channel, "imagine", "size", "", prompt="x")
        assert sizes[0]["value"] == "1024x1024"
        refused = await w.alice.slash(w.channel, "imagine", prompt="x", lora="ink")
        assert "ink was made for built-in; this base model is SDXL. Made for it: wide." in texts(
            refused.response.message
        )


async def test_sizes_and_models_are_offered_and_samplers_are_a_list(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sizes = await w.alice.autocomplete(w.channel, "imagine", "size", "128", prompt="x")
        assert sizes[0]["value"] == "128x128"
        models = await w.alice.autocomplete(w.channel, "imagine", "model", "", prompt="x")
        assert [choice["value"] for choice in models] == ["builtin"]
        command = w.bot.tree.get_command("imagine")
        lists = {p.name: [choice.value for choice in p.choices] for p in command.parameters}  # type: ignore[union-attr]
        assert lists["sampler"] == list(SAMPLERS)
        assert lists["schedule"] == list(SCHEDULES)
        assert lists["upscaler"] == list(UPSCALERS)


async def test_the_upscaler_of_the_second_pass_is_chosen(tmp_path: Path) -> None:
    """The usual one where none is said; one without a second pass is not dropped in silence."""
    async with world(tmp_path) as w:
        for options in ({"hires": 2.0}, {"hires": 1.5, "upscaler": "Lanczos"}):
            await w.alice.slash(w.channel, "imagine", prompt="x", **options)
        await w.dispatched(2)
        asked = [attempt.request.hires for attempt in w.fleet.attempts]
        assert asked == [Hires(2.0), Hires(1.5, upscaler="Lanczos")]
        refused = await w.alice.slash(w.channel, "imagine", prompt="x", upscaler="Lanczos")
        assert "An upscaler is for hires" in texts(refused.response.message)
