"""What may be drawn and shown where, asked at every stage and of the place as it is then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from bot.orders import (
    CatalogEntry,
    Content,
    ContentRefused,
    Gate,
    Job,
    JobState,
    Orders,
    Who,
    Words,
)
from bot.orders.settings import Settings
from bot.store import Store
from bot.store.models import EntryRow
from engine import AdapterUse, Axis, Grid, Hires, Request
from tests.fakes import MEMBER, Bench, FakeLine, FakePoster, adapter_file, bench, order, until, who

ADULT = replace(who(), adult=True)


class Chosen:
    """Settings that everybody has."""

    def __init__(self, **chosen: bool | None) -> None:
        self.settings = Settings(**chosen)  # type: ignore[arg-type]

    async def of(self, who: Who) -> Settings:
        return self.settings


@pytest.fixture
async def entries(store: Store, tmp_path: Path) -> dict[str, CatalogEntry]:
    return await added(store, tmp_path)


async def added(store: Store, folder: Path) -> dict[str, CatalogEntry]:
    """Adapters for everyone: plain, mature, and of a real person."""
    for number, name in enumerate(("plain", "mature", "person")):
        file = adapter_file(folder / f"{name}.safetensors", text=str(number))
        await store.catalog.add(file, name, visibility="everyone")
    async with store.connections.write() as session:
        await session.execute(update(EntryRow).where(EntryRow.name == "mature").values(nsfw=True))
        await session.execute(update(EntryRow).where(EntryRow.name == "person").values(real_person=True))
    found = [await store.catalog.find(who(), name) for name in ("plain", "mature", "person")]
    return {entry.name: entry for entry in found if entry is not None}


def orders(store: Store, **chosen: bool | None) -> Orders:
    gate = Gate(store, content=Content(Words(("voldemort",)), Chosen(**chosen)))
    return Orders(store, FakeLine(store), gate=gate)


REFUSALS = [  # prompt, adapters, place, settings, what the sentence says ("": it is taken)
    ("a flower", "plain", "all", {}, ""),
    ("voldemort", "", "adult", {"mature": True}, "'voldemort'"),
    ("nude", "", "all", {}, "age-restricted"),
    ("nude", "", "all", {"mature": True}, "age-restricted"),
    ("nude", "", "adult", {}, ""),
    ("nude", "", "adult", {"mature": True}, ""),
    ("nude", "", "adult", {"mature": False}, "not made here"),
    ("a flower", "mature", "all", {}, "age-restricted"),
    ("a flower", "mature", "adult", {}, ""),
    ("a flower", "mature", "adult", {"mature": False}, "not made here"),
    ("a child", "mature", "adult", {"mature": True}, "minors"),
    ("a child", "plain", "all", {}, ""),
    ("nude child", "", "adult", {"mature": True, "real_people": True}, "minors"),
    ("a flower", "person", "all", {}, "real person"),
    ("a flower", "person", "adult", {"real_people": False}, "real person"),
    ("a flower", "person", "all", {"real_people": True}, ""),
    ("nude", "person", "adult", {"real_people": True, "mature": True}, "real person"),
    ("a flower", "person mature", "adult", {"real_people": True, "mature": True}, "real person"),
]


@pytest.mark.parametrize(("prompt", "names", "place", "chosen", "said"), REFUSALS)
async def test_what_is_taken_where(
    store: Store,
    entries: dict[str, CatalogEntry],
    prompt: str,
    names: str,
    place: str,
    chosen: dict[str, bool],
    said: str,
) -> None:
    uses = tuple(AdapterUse(name) for name in names.split())
    asked = order(prompt, by=ADULT if place == "adult" else who(), adapters=uses)
    if not said:
        ticket = await orders(store, **chosen).imagine(asked)
        job = await orders(store).open_job(ticket.job_id, who())
        assert job.mature is (prompt == "nude" or "mature" in names)
        return
    with pytest.raises(ContentRefused, match=said):
        await orders(store, **chosen).imagine(asked)
    assert (await store.jobs.history(MEMBER, 1, 10)).jobs == ()


async def test_a_negative_prompt_may_name_what_is_to_stay_out(store: Store) -> None:
    await orders(store).imagine(order("a child with a kite", negative="nsfw, nude"))


DISGUISED = [
    "lo[:li:0]",
    "na[:ked:0] woman",
    "n[a::99]ked",
    "na[xx|ked]",
    "na[:ked:1.5] woman",
    "{1::na|0::q}{1::ked|0::q}",
    "a {1::{1::nu|0::x}|0::q}de",
    "a __bodies__",
    "na[:(ked:1.1):5]",
]


@pytest.mark.parametrize("prompt", DISGUISED)
async def test_what_editing_variants_and_wildcards_make_of_a_prompt_is_read(
    store: Store, tmp_path: Path, prompt: str
) -> None:
    """When it is ordered and when it begins; what another seed would not make of it is no reason."""
    (tmp_path / "bodies.txt").write_text("a naked man\n", encoding="utf-8")
    gate = Gate(store, content=Content(Words(), wildcards=(tmp_path,)))
    desk = Orders(store, FakeLine(store), gate=gate, wildcards=(tmp_path,))
    with pytest.raises(ContentRefused):
        await desk.imagine(order(prompt))
    ticket = await Orders(store, FakeLine(store)).imagine(order("a flower"))
    job = await store.jobs.get(ticket.job_id)
    assert job is not None
    assert await gate.objection(job) == ""
    assert await gate.objection(replace(job, order=replace(job.order, request=Request(prompt=prompt, seed=1))))


async def test_what_editing_makes_of_a_prompt_in_hires_fix_is_read(store: Store) -> None:
    """Only after step 12 and before the second pass is nine tenths through are both halves there."""
    prompt = "[xx:[na:yy:99]:12][ked:xx:1.9] woman"
    await orders(store).imagine(order(prompt, steps=10))
    with pytest.raises(ContentRefused):
        await orders(store).imagine(order(prompt, steps=10, hires=Hires()))


async def test_a_prompt_of_endless_turns_is_refused_and_not_read_for_minutes(store: Store) -> None:
    turns = "".join(f"[{'|'.join('abcdefghijklm'[:options])}]" for options in (2, 3, 5, 7, 11, 13))
    prompt = f"{'flower ' * 500} {turns}"
    with pytest.raises(ContentRefused, match="too many different texts"):
        await orders(store).imagine(order(prompt, steps=150))


async def test_the_cells_of_a_grid_are_read_too(store: Store) -> None:
    grid = Grid(x=Axis("prompt", ("flower", "nude")))
    with pytest.raises(ContentRefused):
        await orders(store).imagine(order("a flower", grid=grid))


async def test_what_began_for_adults_is_not_drawn_once_the_channel_is_for_all(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        job_id = await b.ordered(order("nude", by=ADULT))
        job = await _ended(b, job_id)
        assert job.state is JobState.FAILED
        assert "age-restricted" in job.sentence
        assert b.fleet.attempts == []


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize("still", [True, False])
async def test_what_is_shown_depends_on_the_place_as_it_is_then(tmp_path: Path, flagged: bool, still: bool) -> None:
    """Mature by its words or by the checker's word alone; charged as drawn, and kept for /history in any case."""
    async with bench(tmp_path, poster=FakePoster(age_restricted=True)) as b:
        asked = order("a flower" if flagged else "nude", by=ADULT)
        recorded = await b.store.jobs.record(asked, charge=9.0, mature=not flagged)
        await b.runner.submit(recorded.id)
        await b.dispatched(recorded.id)
        b.poster.age_restricted = still
        await b.fleet.finish(recorded.id, flagged=flagged)
        job = await _ended(b, recorded.id)
        assert job.mature
        assert await b.store.jobs.spent(MEMBER) == 1.5
        assert job.pictures[0].path.is_file()
        if still:
            assert job.state is JobState.POSTED
            assert [posted.mature for posted, _ in b.poster.posts] == [True]
            return
        assert job.state is JobState.DEAD
        assert "not fit for everybody" in job.sentence
        assert b.poster.posts == []
        assert [closed.id for closed in b.poster.closed] == [job.id]
        desk = orders(b.store)
        assert await desk.withheld(job, who())
        assert await desk.withheld(job, ADULT) == ""
        assert await orders(b.store, mature=False).withheld(job, ADULT)


async def test_a_picture_that_nobody_flags_is_shown_anywhere(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        job_id = await b.ordered()
        await b.dispatched(job_id)
        await b.fleet.finish(job_id)
        job = await _ended(b, job_id)
        assert (job.state, job.mature) == (JobState.POSTED, False)


async def test_a_flagged_picture_of_a_real_person_is_shown_to_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path, poster=FakePoster(age_restricted=True)) as b:
        entry = (await added(b.store, tmp_path))["person"]
        b.runner._gate.content._settings = Chosen(real_people=True)
        job_id = await b.ordered(order(by=ADULT, adapters=(AdapterUse("person", sha256=entry.info.sha256),)))
        await b.dispatched(job_id)
        await b.fleet.finish(job_id, flagged=True)
        job = await _ended(b, job_id)
        assert (job.state, b.poster.posts) == (JobState.DEAD, [])
        assert "real person" in await orders(b.store).withheld(job, ADULT)


async def _ended(b: Bench, job_id: str) -> Job:
    """The job once its end was shown."""
    await until(lambda: len(b.poster.posts) + len(b.poster.closed) > 0)
    await until(lambda: not b.runner.busy)
    return await b.job(job_id)
