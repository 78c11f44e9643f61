"""Sample pictures: what was added is drawn here, at the same words and seeds, and nobody pays or waits for it."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from bot.importing import Provenance
from bot.jobs import Runner
from bot.jobs.samples import COUNT, SEED, Samples, sample_request
from bot.orders import CatalogEntry, Change, Forbidden, Gate, Who
from bot.orders.additions import Addition
from bot.store import open_store
from bot.store.models import SampleRow
from engine import (
    BUILTIN_ADAPTERS,
    Cancelled,
    Conduct,
    EngineConfig,
    LocalFleet,
    OutOfMemory,
    Request,
    Scheduler,
    builtin_adapter,
    builtin_samples,
    inspect_adapter,
)
from engine.builtin import sheets
from engine.renderer import Renderer
from tests.fakes import MEMBER, Bench, FakeFleet, FakePoster, adapter_file, bench, order, until, who

_values = itertools.count(1)  # no two adapters have the same tensors


async def added(b: Bench, folder: Path, name: str = "brush", **facts: object) -> CatalogEntry:
    """An entry as /lora add makes one."""
    width: int = facts.pop("width", 96)  # type: ignore[assignment]
    path = adapter_file(folder / f"{name}.safetensors", width=width, value=next(_values))
    info = await asyncio.to_thread(inspect_adapter, path)
    origin = Provenance(
        origin="upload", source="", page="", file_name=path.name, sha256=info.sha256, fetched_at="2026-01-01"
    )
    addition = Addition(info=info, provenance=origin, visibility="private", proposed=name, **facts)  # type: ignore[arg-type]
    return (await b.store.intake.keep(path, addition, who(), owner_id=MEMBER)).entry


@dataclass
class Drawing:
    b: Bench
    samples: Samples

    async def rows(self) -> list[SampleRow]:
        from sqlalchemy import select

        async with self.b.store.connections.read() as session:
            return list(await session.scalars(select(SampleRow)))

    async def drawn(self) -> list[SampleRow]:
        """The rows, once there are some."""
        for _ in range(500):
            if rows := await self.rows():
                return rows
            await asyncio.sleep(0.01)
        return []


@asynccontextmanager
async def drawing(data: Path, fleet: FakeFleet | None = None) -> AsyncIterator[Drawing]:
    async with bench(data, fleet=fleet) as b:
        samples = Samples(b.store, b.runner)
        samples.start()
        try:
            yield Drawing(b, samples)
        finally:
            await samples.aclose()


async def test_an_added_adapter_is_drawn_with_its_words_at_fixed_seeds(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data", FakeFleet(auto=True)) as d:
        entry = await added(d.b, tmp_path, triggers=("ink style", "brush"))
        d.samples.wake()
        rows = await d.drawn()
        (attempt,) = d.b.fleet.attempts
        request = attempt.request
        assert (request.prompt, request.seed, request.count) == ("a house, ink style, brush", SEED, COUNT)
        assert [use.sha256 for use in request.adapters] == [entry.info.sha256]
        assert {(row.entry_id, row.kind, row.member_id, row.mature) for row in rows} == {
            (entry.id, "drawn", None, False)
        }
        images = [Image.open(io.BytesIO((tmp_path / "data" / "previews" / row.file).read_bytes())) for row in rows]
        assert [image.format for image in images] == ["WEBP"] * COUNT


async def test_what_the_checker_flags_is_shown_only_to_adults(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data") as d:
        entry = await added(d.b, tmp_path)
        d.samples.wake()
        await until(lambda: len(d.b.fleet.attempts) == 1)
        await d.b.fleet.finish(d.b.fleet.attempts[0].job, flagged=True)
        assert [row.mature for row in await d.drawn()] == [True] * COUNT
        assert await d.b.store.catalog.samples(who(), entry, 9) == ()
        assert len(await d.b.store.catalog.samples(replace(who(), adult=True), entry, 9)) == COUNT


@pytest.mark.parametrize("meanwhile", [True, False])
async def test_what_is_flagged_and_shows_a_real_person_is_shown_to_nobody(tmp_path: Path, meanwhile: bool) -> None:
    """Whether its owner says so while it is drawn, when nothing is kept, or afterwards."""
    async with drawing(tmp_path / "data") as d:
        entry = await added(d.b, tmp_path)
        task = asyncio.create_task(d.samples.draw_missing())
        await until(lambda: len(d.b.fleet.attempts) == 1)
        if meanwhile:
            await d.b.store.entries.edit(who(), entry.id, Change(real_person=True))
        await d.b.fleet.finish(d.b.fleet.attempts[0].job, flagged=True)
        await task
        assert len(await d.rows()) == len(list((tmp_path / "data" / "previews").iterdir())) == COUNT * (not meanwhile)
        changed = await d.b.store.entries.edit(who(), entry.id, Change(real_person=True))
        assert changed is not None
        assert await d.b.store.catalog.samples(replace(who(), adult=True), changed, 9) == ()


async def test_nothing_is_posted_and_nobody_s_jobs_or_seconds_are_touched(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data", FakeFleet(auto=True)) as d:
        await added(d.b, tmp_path)
        d.samples.wake()
        await d.drawn()
        assert (d.b.poster.posts, d.b.poster.closed, d.b.poster.shown) == ([], [], [])
        assert await d.b.store.jobs.spent(MEMBER) == 0
        assert (await d.b.store.jobs.history(MEMBER, 1, 10)).jobs == ()
        assert (d.b.runner.waiting, d.b.runner.running) == (0, 0)


async def test_a_member_s_job_goes_on_beside_it(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data") as d:
        for name in ("one", "two", "three"):
            await added(d.b, tmp_path, name)
        d.samples.wake()
        await until(lambda: len(d.b.fleet.attempts) == 1)
        job_id = await d.b.ordered(order())
        await d.b.dispatched(job_id)
        assert len(d.b.fleet.attempts) == 2, "one sample at a time"
        await d.b.fleet.finish(job_id)
        await until(lambda: len(d.b.poster.posts) == 1)


async def test_a_restart_draws_what_was_not_drawn_and_only_that(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data") as d:
        await added(d.b, tmp_path, "first")
        d.samples.wake()
        await until(lambda: len(d.b.fleet.attempts) == 1)
    async with drawing(tmp_path / "data", FakeFleet(auto=True)) as d:
        assert len(await d.drawn()) == COUNT
    async with drawing(tmp_path / "data", FakeFleet(auto=True)) as d:
        await asyncio.sleep(0.1)
        assert d.b.fleet.attempts == []
        (entry_id,) = {row.entry_id for row in await d.rows()}
        await d.b.store.drawings.forget(entry_id)
        assert list((tmp_path / "data" / "previews").iterdir()) == []
        d.samples.wake()
        assert len(await d.drawn()) == COUNT


async def test_what_does_not_fit_or_nobody_should_see_is_not_drawn(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data", FakeFleet(auto=True)) as d:
        await added(d.b, tmp_path, "other", width=768)
        await added(d.b, tmp_path, "mature", mature=True)
        await added(d.b, tmp_path, "person", real_person=True)
        d.samples.wake()
        await asyncio.sleep(0.1)
        assert d.b.fleet.attempts == []


async def test_what_may_not_be_drawn_is_not(tmp_path: Path) -> None:
    async with bench(tmp_path / "data", fleet=FakeFleet(auto=True)) as b:
        banned = await added(b, tmp_path, "banned")

        async def rule(request: Request, entries: Sequence[CatalogEntry], by: Who) -> None:
            if banned.id in [entry.id for entry in entries] and by.member_id == MEMBER:
                raise Forbidden("It was taken down.")

        other = await added(b, tmp_path, "other")
        await Samples(b.store, b.runner, Gate(b.store, [rule])).draw_missing()
        assert [entry.id for entry in await b.store.drawings.undrawn()] == [banned.id]
        assert [attempt.request.adapters[0].name for attempt in b.fleet.attempts] == [other.name]


async def test_one_that_fails_is_left_and_the_next_is_drawn(tmp_path: Path) -> None:
    async with drawing(tmp_path / "data") as d:
        await added(d.b, tmp_path, "bad")
        good = await added(d.b, tmp_path, "good")
        d.samples.wake()
        await until(lambda: len(d.b.fleet.attempts) == 1)
        await d.b.fleet.fail(d.b.fleet.attempts[0].job)
        await until(lambda: len(d.b.fleet.attempts) == 2)
        await d.b.fleet.finish(d.b.fleet.attempts[1].job)
        assert {row.entry_id for row in await d.drawn()} == {good.id}
        d.samples.wake()
        await asyncio.sleep(0.1)
        assert len(d.b.fleet.attempts) == 2


async def test_an_entry_that_is_gone_gets_no_pictures(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        assert not await b.store.drawings.keep(99, [])
        assert list((tmp_path / "previews").iterdir()) == []


async def test_draw_raises_what_became_of_its_attempt(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        drawing = asyncio.create_task(b.runner.draw(Request(prompt="x")))
        await until(lambda: len(b.fleet.attempts) == 1)
        await b.fleet.step(b.fleet.attempts[0].job)
        await b.fleet.fail(b.fleet.attempts[0].job)
        with pytest.raises(OutOfMemory):
            await drawing
        drawing = asyncio.create_task(b.runner.draw(Request(prompt="x")))
        await until(lambda: len(b.fleet.attempts) == 2)
        await b.fleet.lose(b.fleet.attempts[1].job)
        with pytest.raises(Cancelled):
            await drawing
        drawing = asyncio.create_task(b.runner.draw(Request(prompt="x")))
        await until(lambda: len(b.fleet.attempts) == 3)
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)
        await b.fleet.finish(b.fleet.attempts[2].job)  # counts for nothing
        assert b.runner.waiting == 0


@pytest.mark.slow
async def test_the_engine_draws_them(tmp_path: Path) -> None:
    """No fake: the built-in model, an adapter that was added, two pictures on the disk."""
    async with open_store(None, tmp_path / "data") as store:
        path = builtin_adapter("ink")
        info = await asyncio.to_thread(inspect_adapter, path)
        origin = Provenance(
            origin="upload", source="", page="", file_name="ink", sha256=info.sha256, fetched_at="2026-01-01"
        )
        addition = Addition(info=info, provenance=origin, visibility="private", proposed="ink")
        await store.intake.keep(path, addition, who(), owner_id=MEMBER)
        fleet = LocalFleet(EngineConfig(adapter_folders=(store.adapters_folder,), threads=1))
        runner = Runner(store, fleet, Scheduler(), FakePoster())
        await runner.start()
        try:
            await Samples(store, runner).draw_missing()
        finally:
            await runner.aclose()
        assert await store.drawings.undrawn() == ()
        images = [Image.open(path) for path in (tmp_path / "data" / "previews").iterdir()]
        assert [(image.format, image.size) for image in images] == [("WEBP", (128, 128))] * COUNT
        assert len({image.tobytes() for image in images}) == COUNT


async def test_the_builtin_adapters_are_shown_as_everything_else_is_drawn(tmp_path: Path) -> None:
    """Their pictures were asked for in the same words, at the same seeds; nothing draws them again."""
    async with open_store(None, tmp_path) as store:
        await store.adopt_builtins()
        for name in BUILTIN_ADAPTERS:
            entry = await store.catalog.find(who(), name)
            assert entry is not None
            request = sample_request(entry)
            (use,) = request.adapters
            assert replace(request, adapters=(replace(use, sha256=""),)) == sheets.sample_request(name)
        assert await store.drawings.undrawn() == ()


@pytest.mark.slow
def test_the_pictures_that_are_shipped_are_what_the_engine_draws(tmp_path: Path) -> None:
    """Drawn anew here, they differ by what another processor rounds."""
    sheets.draw_samples(Renderer(EngineConfig(preview_every=0)), tmp_path)
    for name in BUILTIN_ADAPTERS:
        for shipped in builtin_samples(name):
            pictures = [Image.open(path).convert("RGB") for path in (shipped, tmp_path / shipped.name)]
            apart = ImageStat.Stat(ImageChops.difference(*pictures))
            assert max(apart.mean) < 4, shipped.name


async def test_a_sample_is_the_first_trial_of_an_adapter(tmp_path: Path) -> None:
    """What the engine proves to be at fault is in quarantine before anybody draws with it; what is well is noted."""
    seized: list[tuple[str, str]] = []

    async def quarantine(sha256: str, reason: str, *, by_hand: bool) -> bool:
        seized.append((sha256, reason))
        return True

    async with bench(tmp_path / "data", quarantine=quarantine) as b:
        entry = await added(b, tmp_path, "bad")
        sha256 = entry.info.sha256
        drawing = asyncio.create_task(Samples(b.store, b.runner).draw_missing())
        await until(lambda: len(b.fleet.attempts) == 1)
        bad = Conduct("bad", sha256, fault="It gives no numbers.")
        await b.fleet.fail(b.fleet.attempts[0].job, conduct=(bad,))
        await drawing
        assert seized == [(sha256, "It gives no numbers.")]
        running = await b.store.running.of(sha256)
        assert running is not None
        assert (running.draws, running.failures) == (1, 0)
