"""What is asked of a result when it is shown: at each try, for bans may come while Discord is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.jobs import Unreachable
from bot.orders import CatalogEntry, Job, JobState
from bot.store import Store
from engine import AdapterUse
from tests.fakes import GUILD, MEMBER, Bench, FakePoster, adapter_file, bench, order, until, who

OWNER, ANYWHERE, WHY = who(7), 0, "it is stolen"


class AwayFor(FakePoster):
    """Discord is away at the first try, and meanwhile something happens."""

    def __init__(self) -> None:
        super().__init__(age_restricted=True)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def post(self, job: Job, nonce: str) -> tuple[int, int]:
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
            raise Unreachable("no answer")
        return await super().post(job, nonce)


async def shown_after(b: Bench, poster: AwayFor, happens: Callable[[Store, CatalogEntry], Awaitable[object]]) -> Job:
    """A job with somebody else's adapter, which ends after that has happened while Discord was away."""
    file = adapter_file(b.store.adapters_folder.parent / "moss.safetensors")
    moss = await b.store.catalog.add(file, "moss", visibility="guild", owner_id=7, guild_id=GUILD)
    poster.meanwhile = lambda: happens(b.store, moss)
    job_id = await b.ordered(order(adapters=(AdapterUse("moss", sha256=moss.info.sha256),)))
    await b.dispatched(job_id)
    await b.fleet.finish(job_id)
    await until(lambda: len(poster.posts) + len(poster.closed) > 0)
    await until(lambda: not b.runner.busy)
    return await b.job(job_id)


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("hashed", ["sha256", "tensor_sha256"])
async def test_what_is_banned_meanwhile_is_not_shown(tmp_path: Path, everywhere: bool, hashed: str) -> None:
    """Its member reads why; it costs what it took, and /history keeps it, for when the ban is lifted."""

    async def banned(store: Store, moss: CatalogEntry) -> None:
        await store.judging.ban([getattr(moss.info, hashed)], ANYWHERE if everywhere else GUILD, "moss", WHY)

    poster = AwayFor()
    async with bench(tmp_path, poster=poster) as b:
        job = await shown_after(b, poster, banned)
        assert (job.state, poster.posts) == (JobState.DEAD, [])
        (closed,) = poster.closed
        assert (
            closed.sentence == f"moss was taken down here because {WHY}, so what was drawn with it is not shown here."
        )
        assert await b.store.jobs.spent(MEMBER) == 1.5
        assert await b.runner._gate.withheld(job, who()) == closed.sentence
        assert (await b.runner._gate.withheld(job, who(guild_id=2)) == "") is not everywhere
        await b.store.judging.unban("moss", ANYWHERE if everywhere else GUILD)
        assert await b.runner._gate.withheld(job, who()) == ""
        assert job.pictures[0].path.is_file()


@pytest.mark.parametrize("by_hand", [False, True])
async def test_only_a_quarantine_by_a_person_is_about_what_was_drawn(tmp_path: Path, by_hand: bool) -> None:
    """The bot puts there what runs badly, right after the picture that showed it; that picture is well."""

    async def quarantined(store: Store, moss: CatalogEntry) -> None:
        assert await store.judging.quarantine(moss.info.sha256, WHY, by_hand=by_hand)

    poster = AwayFor()
    async with bench(tmp_path, poster=poster) as b:
        job = await shown_after(b, poster, quarantined)
        assert job.state is (JobState.DEAD if by_hand else JobState.POSTED)
        assert [WHY in closed.sentence for closed in poster.closed] == ([True] if by_hand else [])


async def _removed(store: Store, moss: CatalogEntry) -> None:
    assert await store.entries.remove(OWNER, moss.id)


async def _kept_private(store: Store, moss: CatalogEntry) -> None:
    assert await store.entries.move(OWNER, moss.id, "private")


async def _banned_elsewhere(store: Store, moss: CatalogEntry) -> None:
    await store.judging.ban([moss.info.sha256], GUILD + 1, "moss", WHY)


@pytest.mark.parametrize("happens", [_removed, _kept_private, _banned_elsewhere])
async def test_what_was_ordered_while_it_was_there_is_shown(
    tmp_path: Path, happens: Callable[[Store, CatalogEntry], Awaitable[object]]
) -> None:
    """An adapter that its owner takes back is drawn with no more; what is drawn already was ordered in good faith."""
    poster = AwayFor()
    async with bench(tmp_path, poster=poster) as b:
        job = await shown_after(b, poster, happens)
        assert job.state is JobState.POSTED
        again = await b.ordered(order(adapters=job.request.adapters))
        if happens is _banned_elsewhere:
            await b.dispatched(again)
            return
        await until(lambda: len(poster.closed) == 1)
        assert "no longer here" in poster.closed[0].sentence


async def test_a_channel_that_is_for_all_meanwhile_gets_nothing_that_is_not(tmp_path: Path) -> None:
    poster = AwayFor()

    async def opened() -> None:
        poster.age_restricted = False

    poster.meanwhile = opened
    async with bench(tmp_path, poster=poster) as b:
        job_id = await b.ordered(order())
        await b.dispatched(job_id)
        await b.fleet.finish(job_id, flagged=True)
        await until(lambda: len(poster.closed) > 0)
        assert poster.posts == []
        assert "not fit for everybody" in poster.closed[0].sentence
