"""Ratings, reviews, reports, bans and quarantine as rows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.importing import PreviewPicture
from bot.orders import CatalogEntry, TooOften
from bot.orders.verdicts import Outcome, Reason
from bot.store import Store, open_store
from bot.store.bans import ANYWHERE
from tests.fakes import GUILD, NOW, adapter_file, order, who

OWNER, ALICE, BOB, MOLLY = who(1), who(2), who(3), who(4, moderator=True)
OVER_THERE = 9
PICTURE = PreviewPicture(b"webp", 8, 8, False, "")


async def shared(store: Store, folder: Path, name: str = "Mist", visibility: str = "guild") -> CatalogEntry:
    path = adapter_file(folder / f"{name}.safetensors", text=name)
    return await store.catalog.add(path, name, visibility=visibility, owner_id=OWNER.member_id, guild_id=GUILD)


async def seen(store: Store, name: str = "Mist", by: object = ALICE) -> CatalogEntry:
    entry = await store.catalog.find(by, name)  # type: ignore[arg-type]
    assert entry is not None
    return entry


async def test_a_member_has_one_rating_and_the_entry_has_their_mean(store: Store, tmp_path: Path) -> None:
    """A second rating takes the place of the first, and taking all of them back leaves the entry as it was."""
    before = await shared(store, tmp_path)
    for by, stars in ((ALICE, 1), (ALICE, 4), (BOB, 5)):
        assert await store.judging.rate(by, before.id, stars, "words")
    rated = await seen(store)
    assert (rated.stars, rated.ratings) == (4.5, 2)
    for by in (ALICE, BOB):
        assert await store.judging.unrate(by, before.id)
    assert await seen(store) == before
    assert not await store.judging.unrate(BOB, before.id)


@pytest.mark.parametrize("by", [OWNER, who(2, guild_id=OVER_THERE), who(2, guild_id=None)])
async def test_nobody_rates_what_is_theirs_or_what_they_do_not_see(store: Store, tmp_path: Path, by: object) -> None:
    """Nothing is written, and the picture that came along is not kept either."""
    entry = await shared(store, tmp_path)
    assert not await store.judging.rate(by, entry.id, 5, "", PICTURE)  # type: ignore[arg-type]
    assert (await seen(store)).ratings == 0
    assert list(store.judging._samples.folder.iterdir()) == []


async def test_a_review_has_a_picture_that_goes_with_it(store: Store, tmp_path: Path) -> None:
    """It is a file while the review is there; a review in its place, or none, leaves no file behind."""
    entry = await shared(store, tmp_path)
    await store.judging.rate(ALICE, entry.id, 5, "look", PICTURE)
    (review,) = (await store.judging.reviews(BOB, entry.id, 1, 4)).reviews
    assert (review.member_id, review.stars, review.words) == (ALICE.member_id, 5, "look")
    assert review.picture is not None
    assert review.picture.read_bytes() == b"webp"
    await store.judging.rate(ALICE, entry.id, 4, "look again")
    (again,) = (await store.judging.reviews(BOB, entry.id, 1, 4)).reviews
    assert (again.words, again.picture) == ("look again", None)
    assert not review.picture.exists()


async def test_reviews_tell_only_as_much_as_the_place_allows(store: Store, tmp_path: Path) -> None:
    """Elsewhere nobody reads who it was; a grown-up picture is in age-restricted places alone; strangers read none."""
    entry = await shared(store, tmp_path, visibility="everyone")
    await store.judging.rate(ALICE, entry.id, 5, "look", replace(PICTURE, mature=True))
    for by, named, pictured in (
        (BOB, True, False),
        (replace(BOB, adult=True), True, True),
        (who(3, guild_id=OVER_THERE), False, False),
        (who(3, guild_id=None), False, False),
    ):
        (review,) = (await store.judging.reviews(by, entry.id, 1, 4)).reviews
        assert (review.member_id is not None, review.picture is not None) == (named, pictured)
    private = await store.catalog.add(
        adapter_file(tmp_path / "p.safetensors"), "p", visibility="private", owner_id=OWNER.member_id
    )
    assert await store.judging.reviews(BOB, private.id, 1, 4) == await store.judging.reviews(BOB, 999, 1, 4)


async def test_reviews_turn_pages_newest_first(tmp_path: Path) -> None:
    """Nine reviews are three pages of four; a page past the end is the last one."""
    times = iter(NOW + timedelta(minutes=n) for n in range(1000))
    async with open_store(None, tmp_path / "data", now=lambda: next(times)) as store:
        entry = await shared(store, tmp_path)
        for number in range(9):
            await store.judging.rate(who(10 + number), entry.id, 3, str(number))
        page = await store.judging.reviews(ALICE, entry.id, 99, 4)
        assert (page.number, page.pages, [review.words for review in page.reviews]) == (3, 3, ["0"])


async def test_the_same_report_twice_is_one(store: Store, tmp_path: Path) -> None:
    """Also once it is decided, so that whoever reported sees what became of it; another person's is another."""
    entry = await shared(store, tmp_path)
    first, is_new = await store.judging.report(ALICE, entry, Reason.STOLEN, "mine", most=10)
    assert is_new
    assert await store.judging.report(ALICE, entry, Reason.OTHER, "!", most=10) == (first, False)
    assert (await store.judging.report(BOB, entry, Reason.OTHER, "", most=10))[1]
    assert await store.judging.decide(MOLLY, first, Outcome.DISMISSED)
    again, is_new = await store.judging.report(ALICE, entry, Reason.STOLEN, "mine", most=10)
    assert (again.id, again.outcome, is_new) == (first.id, Outcome.DISMISSED, False)


async def test_a_decided_complaint_can_be_made_again_after_a_month(tmp_path: Path) -> None:
    now = NOW
    async with open_store(None, tmp_path / "data", now=lambda: now) as store:
        entry = await shared(store, tmp_path)
        first, _ = await store.judging.report(ALICE, entry, Reason.STOLEN, "", most=10)
        await store.judging.decide(MOLLY, first, Outcome.DISMISSED)
        now += timedelta(days=31)
        assert (await store.judging.report(ALICE, entry, Reason.STOLEN, "", most=10))[1]


async def test_one_person_reports_so_much_a_day(tmp_path: Path) -> None:
    """Fifty at once with room for ten are ten; tomorrow there is room again."""
    now: datetime = NOW
    async with open_store(None, tmp_path / "data", now=lambda: now) as store:
        jobs = [await store.jobs.record(order(by=who(100 + number))) for number in range(50)]
        made = (store.judging.report(ALICE, job.id, Reason.OTHER, "", most=10) for job in jobs)
        done = await asyncio.gather(*made, return_exceptions=True)
        assert sum(isinstance(one, TooOften) for one in done) == 40
        now += timedelta(days=1, seconds=1)
        refused = next(job for job, one in zip(jobs, done, strict=True) if isinstance(one, TooOften))
        assert (await store.judging.report(ALICE, refused.id, Reason.OTHER, "", most=10))[1]


async def test_moderators_see_the_reports_of_their_server_and_owners_all(store: Store, tmp_path: Path) -> None:
    entry = await shared(store, tmp_path, visibility="everyone")
    here, _ = await store.judging.report(ALICE, entry, Reason.STOLEN, "", most=10)
    direct, _ = await store.judging.report(who(8, guild_id=None), entry, Reason.STOLEN, "", most=10)
    there = who(4, moderator=True, guild_id=OVER_THERE)
    lost = who(4, moderator=True, guild_id=None)
    for by, open_ in (
        (MOLLY, {here.id}),
        (there, set()),
        (lost, set()),
        (replace(BOB, owner=True), {here.id, direct.id}),
    ):
        for report in (here, direct):
            found = await store.judging.reported(by, report.id)
            assert (found == report) == (report.id in open_)
        turn = await store.judging.open_report(by)
        assert (0 if turn is None else turn.total) == len(open_)
    assert not await store.judging.decide(there, here, Outcome.HIDDEN)


async def test_open_reports_are_walked_in_a_circle(store: Store, tmp_path: Path) -> None:
    jobs = [await store.jobs.record(order(by=BOB)) for _ in range(3)]
    first, second, third = [(await store.judging.report(ALICE, job.id, Reason.OTHER, "", most=10))[0] for job in jobs]

    async def at(after: int, *, back: bool = False) -> tuple[int, int]:
        turn = await store.judging.open_report(MOLLY, after, back=back)
        assert turn is not None
        return turn.report.id, turn.number

    assert await at(0) == (first.id, 1)
    assert await at(first.id) == (second.id, 2)
    assert await at(third.id) == (first.id, 1)
    assert await at(first.id, back=True) == (third.id, 3)


async def test_of_fifty_decisions_at_once_one_counts(store: Store, tmp_path: Path) -> None:
    """The report has one outcome, one ban or none follows, and the audit has one entry for each act."""
    entry = await shared(store, tmp_path)
    report, _ = await store.judging.report(ALICE, entry, Reason.STOLEN, "", most=10)
    outcomes = [Outcome.HIDDEN if number % 2 else Outcome.DISMISSED for number in range(50)]
    done = await asyncio.gather(*(store.judging.decide(MOLLY, report, outcome) for outcome in outcomes))
    assert sum(done) == 1
    counted = outcomes[done.index(True)]
    decided = await store.judging.reported(MOLLY, report.id)
    assert decided is not None
    assert decided.outcome is counted
    assert len(await store.audit.entries(GUILD)) == (2 if counted is Outcome.HIDDEN else 1)
    assert len(await store.judging.bans(GUILD)) == (2 if counted is Outcome.HIDDEN else 0)


async def test_hiding_answers_every_report_about_the_file_in_this_server(store: Store, tmp_path: Path) -> None:
    entry = await shared(store, tmp_path, visibility="everyone")
    mine, _ = await store.judging.report(ALICE, entry, Reason.STOLEN, "", most=10)
    other, _ = await store.judging.report(BOB, entry, Reason.HATE, "", most=10)
    there, _ = await store.judging.report(who(8, guild_id=OVER_THERE), entry, Reason.HATE, "", most=10)
    await store.judging.decide(MOLLY, mine, Outcome.HIDDEN)
    owner = replace(BOB, owner=True)
    found = [await store.judging.reported(owner, report.id) for report in (mine, other, there)]
    assert [report.outcome for report in found if report] == [Outcome.HIDDEN, Outcome.HIDDEN, Outcome.OPEN]


async def test_what_is_banned_only_its_owner_still_sees(store: Store, tmp_path: Path) -> None:
    """In that server alone; lifted, everything is as it was."""
    entry = await shared(store, tmp_path, visibility="everyone")
    elsewhere = who(2, guild_id=OVER_THERE)
    await store.judging.ban([entry.info.sha256, entry.info.tensor_sha256], GUILD, "Mist", "so", actor=4)
    for by, there in ((ALICE, False), (OWNER, True), (elsewhere, True), (who(2, guild_id=None), True)):
        assert (await store.catalog.find(by, "mist") is not None) == there
        assert bool(await store.catalog.search(by, "mi", None, 25)) == there
        assert (await store.catalog.find_file(by, entry.info.sha256) is not None) == there
    assert await store.judging.unban("mist", GUILD, actor=4) is not None
    assert await store.catalog.find(ALICE, "mist") == entry
    assert await store.judging.bans(GUILD) == ()
    assert [note.action for note in await store.audit.entries(GUILD)] == ["unban", "ban"]


async def test_a_ban_everywhere_holds_everywhere(store: Store, tmp_path: Path) -> None:
    entry = await shared(store, tmp_path, visibility="everyone")
    hashes = [entry.info.sha256, entry.info.tensor_sha256]
    await store.judging.ban(hashes, ANYWHERE, "Mist", "so")
    for place in (GUILD, OVER_THERE, None):
        assert await store.judging.banned(hashes, place) == "so"
        assert await store.catalog.find(who(2, guild_id=place), "mist") is None
    assert await store.judging.unban(entry.info.sha256[:10], GUILD) is None
    assert await store.judging.unban(entry.info.sha256[:10], ANYWHERE) is not None
    assert await store.judging.banned(hashes, GUILD) is None


async def test_the_same_tensors_under_another_header_fall_too_and_rise_again(store: Store, tmp_path: Path) -> None:
    """A fork is banned by what is in it, whoever keeps it under whatever name."""
    entry = await shared(store, tmp_path)
    fork = await shared(store, tmp_path, "Fork")
    assert fork.info.sha256 != entry.info.sha256
    assert fork.info.tensor_sha256 == entry.info.tensor_sha256
    await store.judging.ban([entry.info.sha256, entry.info.tensor_sha256], GUILD, "Mist", "so")
    assert await store.catalog.find(ALICE, "fork") is None
    await store.judging.unban(fork.info.tensor_sha256, GUILD)
    assert await store.catalog.find(ALICE, "fork") is not None
    assert await store.catalog.find(ALICE, "mist") is not None


async def test_quarantine_and_release_are_inverses_and_noted_once(store: Store, tmp_path: Path) -> None:
    """What a person said outweighs what the bot says; a file that is not here cannot be put there."""
    entry = await shared(store, tmp_path)
    sha256 = entry.info.sha256
    assert await store.judging.quarantine(sha256, "slow")
    assert not await store.judging.quarantine(sha256, "slower")
    assert await store.judging.quarantine(sha256, "odd", by_hand=True, actor=4)
    assert not await store.judging.quarantine(sha256, "slow")
    assert await store.judging.quarantined(sha256) == "odd"
    assert not await store.judging.quarantine("ab" * 32, "gone")
    assert await store.judging.release(sha256)
    assert not await store.judging.release(sha256)
    assert await store.judging.quarantined(sha256) is None
    assert [note.action for note in await store.audit.entries(None)] == ["release", "quarantine", "quarantine"]
