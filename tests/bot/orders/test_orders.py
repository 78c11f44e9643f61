"""The use-cases, with a real store and a line that only remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import Bounds, JobState, JobUnknown, NotInMix, Orders, QueueFull, TooLate
from bot.store import Store
from engine import AdapterMismatch, AdapterNotFound, AdapterUse, ImageUnreadable, PromptError
from tests.fakes import GUILD, MEMBER, FakeLine, adapter_file, order, press, result, who


@pytest.fixture
def line(store: Store) -> FakeLine:
    return FakeLine(store)


@pytest.fixture
async def orders(store: Store, line: FakeLine, tmp_path: Path) -> Orders:
    """With the adapters Ink and Light for everyone, Old (SD 1.5) too, and a private one of the member."""
    for name, width in (("Ink", 96), ("Light", 96), ("Old", 768)):
        await store.catalog.add(
            adapter_file(tmp_path / f"{name}.safetensors", width=width), name, visibility="everyone"
        )
    own = adapter_file(tmp_path / "own.safetensors")
    await store.catalog.add(own, "own", visibility="private", owner_id=MEMBER)
    return Orders(store, line, Bounds(per_member=2))


async def drawn(store: Store, job_id: str) -> None:
    """The job is posted."""
    await store.jobs.queue(job_id)
    job = await store.jobs.start(job_id)
    assert job is not None
    assert await store.jobs.rendered(job, result(job.request))
    assert await store.jobs.posting(job_id)
    assert await store.jobs.posted(job_id, 1, 2)


async def test_an_order_is_recorded_answered_and_in_line_in_this_order(orders: Orders, line: FakeLine) -> None:
    """The ticket tells the place it will have; no worker can be faster than the answer."""
    ticket = await orders.imagine(order("a red flower"))
    job = await orders.open_job(ticket.job_id, who())
    assert (job.request.prompt, job.state, ticket.place) == ("a red flower", JobState.RECEIVED, 1)
    assert line.submitted == []
    await orders.acked(ticket.job_id, 31, 41)
    job = await orders.open_job(ticket.job_id, who())
    assert (job.state, job.channel_id, job.message_id) == (JobState.QUEUED, 31, 41)
    assert line.submitted == [ticket.job_id]


async def test_an_order_whose_answer_came_too_late_never_runs(orders: Orders, store: Store) -> None:
    """It is over and told, so that no restart takes it up; one that is in line already stays there."""
    ticket = await orders.imagine(order())
    await orders.unanswered(ticket.job_id)
    assert (await orders.open_job(ticket.job_id, who())).state is JobState.CANCELLED
    assert await store.jobs.untold() == ()
    other = await orders.imagine(order())
    await orders.acked(other.job_id, 1, None)
    await orders.unanswered(other.job_id)
    assert (await orders.open_job(other.job_id, who())).state is JobState.QUEUED


async def test_a_job_is_not_drawn_again_without_the_picture_it_started_from(orders: Orders, store: Store) -> None:
    """Once that picture is thrown away, the member is told to send it again."""
    ticket = await orders.imagine(order("a", image=b"a picture"))
    assert (await orders.open_job(ticket.job_id, who())).request.image == b"a picture"
    await drawn(store, ticket.job_id)
    again = await orders.again(ticket.job_id, press())
    assert (await orders.open_job(again.job_id, who())).request.image == b"a picture"
    await orders.delete(ticket.job_id, who())
    with pytest.raises(ImageUnreadable, match="send it again"):
        await orders.again(ticket.job_id, press())


async def test_a_very_long_name_is_not_quoted_whole(orders: Orders) -> None:
    """The sentence still fits an answer."""
    with pytest.raises(AdapterNotFound) as refusal:
        await orders.imagine(order(adapters=(AdapterUse("*" * 5000),)))
    assert len(str(refusal.value)) < 300


async def test_tags_become_adapters_of_the_catalog(orders: Orders) -> None:
    """The prompt is clean, and each adapter has the catalog's spelling and the hash of its file."""
    ticket = await orders.imagine(order("a red flower <lora:ink:0.5>", adapters=(AdapterUse("LIGHT", 0.8),)))
    request = (await orders.open_job(ticket.job_id, who())).request
    assert request.prompt == "a red flower"
    assert {use.name: use.weight for use in request.adapters} == {"Light": 0.8, "Ink": 0.5}
    ink = await orders.adapter(who(), "iNK")
    assert request.adapters[1].sha256 == ink.info.sha256
    assert ink.uses == 1


async def test_one_file_under_two_spellings_is_one_use(orders: Orders) -> None:
    """Weights of the same adapter add up, for UNet and text encoders."""
    both = (AdapterUse("Ink", 0.5, 0.25), AdapterUse("ink", 0.25))
    ticket = await orders.imagine(order(adapters=both))
    (use,) = (await orders.open_job(ticket.job_id, who())).request.adapters
    assert (use.weight, use.text_weight) == (0.75, 0.5)


async def test_the_same_interaction_gives_the_same_ticket(orders: Orders) -> None:
    """Discord may deliver twice; the member gets one job, even at the limit."""
    an_order = order()
    await orders.imagine(order())
    first = await orders.imagine(an_order)
    assert await orders.imagine(an_order) == first


async def test_a_bad_tag_is_noted_and_the_others_stay_on(orders: Orders) -> None:
    """Unreadable, unknown, for another model, or not adding up: the ticket and the job have a sentence for each."""
    tags = "<lora:ink:heavy> <lora:light:0.5> <lora:lihgt> <lora:old> <lora:LIGHT:1:stop=5>"
    ticket = await orders.imagine(order(f"a flower {tags}"))
    request = (await orders.open_job(ticket.job_id, who())).request
    assert request.prompt == "a flower"
    assert [(use.name, use.weight) for use in request.adapters] == [("Light", 0.5)]
    assert request.notes == ticket.notes
    heavy, twice, unknown, other = ticket.notes
    assert "'heavy' is not a number" in heavy
    assert "light is asked for twice" in twice
    assert "<lora:lihgt:1> is left out: There is no adapter called 'lihgt' here. Did you mean Light?" in unknown
    assert "Old was made for SD 1.5; this base model is built-in" in other
    assert (await orders.again(ticket.job_id, press())).notes == ticket.notes


async def test_more_parts_than_can_be_drawn_record_nothing(orders: Orders, line: FakeLine) -> None:
    """What is wrong with the whole prompt is the engine's PromptError."""
    with pytest.raises(PromptError, match="16 is the most"):
        await orders.imagine(order(" AND ".join("a" * 17)))
    assert line.submitted == []


async def test_an_unknown_name_is_told_with_names_like_it(orders: Orders, line: FakeLine) -> None:
    """An adapter chosen as an option: the name as typed and the closest visible one; nothing is recorded."""
    with pytest.raises(AdapterNotFound, match=r"'lihgt'.*Did you mean Light\?"):
        await orders.imagine(order(adapters=(AdapterUse("lihgt"),)))
    assert line.submitted == []


async def test_somebody_elses_private_adapter_is_unknown(orders: Orders) -> None:
    """It is left out, and not even suggested; one's own is not either, for the sentence may stand in a channel."""
    assert (await orders.imagine(order("a <lora:own>"))).notes == ()
    for by, name in ((who(7), "own"), (who(), "owm")):
        (note,) = (await orders.imagine(order(f"a <lora:{name}>", by=by))).notes
        assert "There is no adapter called" in note
        assert "Did you mean" not in note


async def test_an_adapter_for_another_base_model_is_refused(orders: Orders, line: FakeLine) -> None:
    """The sentence names both families; while the model's family is unknown the engine is left to judge."""
    with pytest.raises(AdapterMismatch, match=r"Old was made for SD 1\.5; this base model is built-in"):
        await orders.imagine(order(adapters=(AdapterUse("old"),)))
    line.model_family = ""
    assert (await orders.imagine(order("a <lora:old>"))).notes == ()


async def test_an_adapter_answers_to_its_title_and_its_hash(orders: Orders, store: Store, tmp_path: Path) -> None:
    """The title inside the file, or 8 digits or more of either hash; several files are told by their names."""
    for name, title in (("one", "Deep Ink"), ("two", "Twin"), ("three", "twin")):
        path = adapter_file(tmp_path / f"{name}.safetensors", text=title)
        await store.catalog.add(path, name, visibility="everyone")
    one = await orders.adapter(who(), "one")
    for text in ("deep INK", one.info.sha256[:10], one.info.sha256.upper()):
        assert (await orders.adapter(who(), text)).name == "one"
    wide = await store.catalog.add(adapter_file(tmp_path / "w.safetensors", width=99), "wide", visibility="everyone")
    assert (await orders.adapter(who(), wide.info.tensor_sha256[:12])).name == "wide"
    with pytest.raises(AdapterNotFound, match=r"'TWIN' means 2 adapters here: t.*Use the name of one"):
        await orders.adapter(who(), "TWIN")
    ticket = await orders.imagine(order(f"a <lora:{one.info.sha256[:10]}:0.5> <lora:one:0.25>"))
    (use,) = (await orders.open_job(ticket.job_id, who())).request.adapters
    assert (use.name, use.weight) == ("one", 0.75)


async def test_a_hash_of_somebody_elses_private_adapter_is_unknown(orders: Orders) -> None:
    """Knowing the content gives no access to it."""
    own = await orders.adapter(who(), "own")
    with pytest.raises(AdapterNotFound):
        await orders.adapter(who(7), own.info.sha256)


async def test_weights_left_as_they_were_change_nothing(orders: Orders, store: Store) -> None:
    """A form sends every weight back; steps and text encoders stay where the number is the one shown."""
    first = await orders.imagine(order("a <lora:ink:0.1234:0.5678> <lora:light:0@0,1@1>"))
    before = (await orders.open_job(first.job_id, who())).request.adapters
    ticket = await orders.again(first.job_id, press(), weights={"Ink": 0.568, "Light": 0.0})
    assert (await orders.open_job(ticket.job_id, who())).request.adapters == before
    await drawn(store, ticket.job_id)
    ticket = await orders.again(first.job_id, press(), weights={"Ink": 0.568, "Light": 0.5})
    uses = (await orders.open_job(ticket.job_id, who())).request.adapters
    assert (uses[0], uses[1]) == (before[0], AdapterUse("Light", 0.5, sha256=before[1].sha256))


async def test_the_limit_of_unfinished_jobs_is_for_each_person(orders: Orders, store: Store) -> None:
    """The third of two is refused with the number in the sentence; a finished job makes room."""
    first = await orders.imagine(order())
    await orders.imagine(order())
    with pytest.raises(QueueFull, match="2 unfinished"):
        await orders.imagine(order())
    assert await orders.imagine(order(by=who(7)))
    await drawn(store, first.job_id)
    assert await orders.imagine(order())


async def test_again_draws_the_same_and_vary_another_seed(orders: Orders, store: Store) -> None:
    """Again keeps the seed that was used, vary leaves it open; both know their parent."""
    first = await orders.imagine(order("a <lora:ink:0.5>", steps=9))
    await drawn(store, first.job_id)
    done = await orders.open_job(first.job_id, who())
    same = await orders.open_job((await orders.again(done.id, press())).job_id, who())
    varied = await orders.open_job((await orders.again(done.id, press(), vary=True)).job_id, who())
    assert same.request == done.request
    assert varied.request == replace(done.request, seed=None)
    assert {same.order.parent_job, varied.order.parent_job} == {done.id}


async def test_weights_change_only_what_they_name(orders: Orders) -> None:
    """By name in any case; an adapter that the job did not use is refused by name."""
    first = await orders.imagine(order("a <lora:ink:0.5:0.1> <lora:light:0.3>"))
    ticket = await orders.again(first.job_id, press(), weights={"INK": -1.0})
    uses = (await orders.open_job(ticket.job_id, who())).request.adapters
    assert [(use.name, use.weight, use.text_weight) for use in uses] == [("Ink", -1.0, -1.0), ("Light", 0.3, 0.3)]
    with pytest.raises(NotInMix, match="neon"):
        await orders.again(first.job_id, press(), weights={"neon": 1.0})


async def test_again_means_the_file_of_then(orders: Orders, store: Store, tmp_path: Path) -> None:
    """A name that has come to mean another file does not change what an old job is drawn with."""
    first = await orders.imagine(order("a <lora:ink>"))
    before = (await orders.open_job(first.job_id, who())).request.adapters
    newer = adapter_file(tmp_path / "newer.safetensors", text="another")
    await store.catalog.add(newer, "ink", visibility="guild", guild_id=GUILD)
    again = await orders.again(first.job_id, press())
    assert (await orders.open_job(again.job_id, who())).request.adapters == before


async def test_missing_and_forbidden_jobs_read_the_same(orders: Orders) -> None:
    """Nobody learns from an error whether a job of somebody else exists, a moderator's curiosity included."""
    ticket = await orders.imagine(order())
    stranger, moderator = who(7), who(7, moderator=True)
    sentences = set()
    for job_id, asker in ((ticket.job_id, stranger), ("nothing", stranger), (ticket.job_id, moderator)):
        with pytest.raises(JobUnknown) as refusal:
            await orders.open_job(job_id, asker)
        sentences.add(str(refusal.value))
    for act in (orders.cancel, orders.delete):
        with pytest.raises(JobUnknown) as refusal:
            await act(ticket.job_id, stranger)
        sentences.add(str(refusal.value))
    with pytest.raises(JobUnknown) as refusal:
        await orders.again(ticket.job_id, press(by=stranger))
    assert sentences == {str(refusal.value)}


async def test_delete_takes_the_pictures_from_the_disk(orders: Orders, store: Store) -> None:
    """The caller gets the job with its message; the files are gone."""
    ticket = await orders.imagine(order())
    await drawn(store, ticket.job_id)
    (picture,) = (await orders.open_job(ticket.job_id, who())).pictures
    job = await orders.delete(ticket.job_id, who())
    assert (job.channel_id, job.message_id) == (1, 2)
    assert not picture.path.exists()
    assert (await orders.open_job(ticket.job_id, who())).pictures == ()


async def test_a_moderator_deletes_in_their_server_only(orders: Orders) -> None:
    """Moderation ends at the border of the server, and a direct message has none."""
    ticket = await orders.imagine(order())
    for elsewhere in (9, None):
        with pytest.raises(JobUnknown):
            await orders.delete(ticket.job_id, who(7, guild_id=elsewhere, moderator=True))
    assert (await orders.delete(ticket.job_id, who(7, moderator=True))).id == ticket.job_id
    direct = await orders.imagine(order(by=who(guild_id=None)))
    with pytest.raises(JobUnknown):
        await orders.delete(direct.job_id, who(7, guild_id=None, moderator=True))


async def test_cancel_ends_a_waiting_job_and_is_too_late_for_a_drawn_one(orders: Orders, store: Store) -> None:
    """The job that comes back is cancelled; one that is posted stays posted."""
    ticket = await orders.imagine(order())
    assert (await orders.cancel(ticket.job_id, who())).state is JobState.CANCELLED
    ticket = await orders.imagine(order())
    await drawn(store, ticket.job_id)
    with pytest.raises(TooLate):
        await orders.cancel(ticket.job_id, who())


async def test_history_and_queue_are_ones_own(orders: Orders, store: Store) -> None:
    """History holds all of one's jobs, the queue only the unfinished ones, and neither anybody else's."""
    done, waits = await orders.imagine(order()), await orders.imagine(order())
    await orders.imagine(order(by=who(7)))
    for job_id in (done.job_id, waits.job_id):
        await orders.acked(job_id, 1, 2)
    await drawn(store, done.job_id)
    page = await orders.history(who())
    assert [job.id for job in page.jobs] == [waits.job_id, done.job_id]
    queue = await orders.queue(who())
    assert [job.id for job, _ in queue.mine] == [waits.job_id]
    assert queue.waiting == 2


async def test_autocomplete_offers_what_fits(orders: Orders) -> None:
    """Names with the letters typed, of the family of the base model."""
    found = await orders.adapters(who(), "L", await orders.family(who()), 25)
    assert [entry.name for entry in found] == ["Light"]
    assert len(await orders.adapters(who(), limit=2)) == 2
