"""Somebody with everything that the bot can hold of a person, and a search for every byte that is left of it (B17).

    python -m tests.faults.deletion --jobs 20000

fills a data folder with them among others, backs it up, has them forgotten, restores the backup, and prints how long
each took and how many bytes were found. Exits 1 where a byte is left, or either took longer than a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert, select, update

from bot.orders import Bounds, Shared, Who
from bot.store import Store, back_up, open_store, restore
from bot.store.models import (
    BanRow,
    EntryRow,
    FavouriteRow,
    JobRow,
    OriginRow,
    QuestionRow,
    RatingRow,
    ReportRow,
    SampleRow,
    SettingsRow,
    TagRow,
)
from engine import AdapterUse
from tests.fakes import CHANNEL, GUILD, NOW, adapter_file, order, png, result

IN_TIME = 60.0  # seconds
CANARY = "kanarienvogel"
CANARY_ID = 0x0A11CE0BADC0FFEE  # as a number it lies in the database's records as these eight bytes
OTHER_ID = 0x0B0B0B0B0B0B0B0B


def signs() -> tuple[bytes, ...]:
    """What nobody else has: the word in what the person wrote and sent, and the person's number in three spellings."""
    number = CANARY_ID.to_bytes(8, "big")
    return (CANARY.encode(), str(CANARY_ID).encode(), number, number[::-1])


def found(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file below that still has a sign in its name or content, and how many."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.name.encode() + b"\n" + path.read_bytes()
            count = sum(data.count(sign) for sign in signs())
            if count:
                yield path.relative_to(folder).as_posix(), count


def canary() -> Who:
    return Who(CANARY_ID, f"{CANARY} the member", GUILD, CHANNEL)


async def fill(store: Store, folder: Path, *, jobs: int = 60, split: bool = False) -> None:
    """The canary has something in every table and folder, and somebody else has the same beside it."""
    dice, other = random.Random(1), Who(OTHER_ID, "somebody else", GUILD, CHANNEL)
    mine = await _entries(store, folder, canary(), CANARY)
    theirs = await _entries(store, folder, other, "anders")
    await _judgements(store, canary(), CANARY, theirs)
    await _judgements(store, other, "anders", mine)
    await _fork(store, mine[1], other)
    for _ in range(jobs):
        who, word = (canary(), CANARY) if dice.random() < 0.2 else (other, "anders")
        await ordered(store, who, f"{word} " * dice.randint(1, 200), drawn=dice.random() < 0.3)
    for who, word in ((canary(), CANARY), (other, "anders")):
        await ordered(store, who, word, drawn=True)
        await ordered(store, who, word, drawn=False)
        await store.audit.record("share", "an adapter", actor=who.member_id, guild_id=GUILD)
        await store.questions.ask(who, "share", {"note": word}, timedelta(days=36500))
    if split:
        await _questions(store, dice)
    pictures = folder / "pictures"
    (await asyncio.to_thread(_any_job, pictures, await _first_job(store))).write_bytes(png() + CANARY.encode())
    (folder / "loraloom.before-0005.db").write_bytes(b"a copy from before an update, with " + CANARY.encode())


async def _questions(store: Store, dice: random.Random) -> None:
    """So many, and growing so, that the database's pages are split again and again.

    Without VACUUM signs of the canary stay behind in what was split, though `secure_delete` is on.
    """
    notes: dict[str, str] = {}
    async with store.connections.write() as session:
        for _ in range(1500):
            member_id, word = (CANARY_ID, CANARY) if dice.random() < 0.3 else (OTHER_ID, "anders")
            number = f"{dice.getrandbits(80):022x}"
            notes[number] = f"{word} " * dice.randint(1, 90)
            values = {"member_id": member_id, "kind": "share", "expires_at": NOW + timedelta(days=36500)}
            await session.execute(insert(QuestionRow).values(id=number, value=notes[number], **values))
            one = dice.choice(list(notes))
            notes[one] += notes[one][: 14 * dice.randint(1, 90)]
            await session.execute(update(QuestionRow).where(QuestionRow.id == one).values(value=notes[one]))


async def _first_job(store: Store) -> str:
    async with store.connections.read() as session:
        return (await session.scalars(select(JobRow.id).where(JobRow.member_id == CANARY_ID).limit(1))).one()


def _any_job(pictures: Path, job_id: str) -> Path:
    """A picture that a crash has left: no row knows of it."""
    return pictures / f"{job_id}-9-0.png"


async def _entries(store: Store, folder: Path, who: Who, word: str) -> list[int]:
    """The ids of a private entry, and of one shared with the server, with samples and all that is said of them."""
    ids, previews = [], folder / "previews"
    previews.mkdir(exist_ok=True)
    for kind, visibility in (("privat", "private"), ("offen", "guild")):
        said = f"{word}-{kind}" if visibility == "private" else f"style {len(word)}"  # what is forked is others' too
        source = adapter_file(folder / f"{said}.safetensors", text=said)
        entry = await store.catalog.add(
            source, f"{word} {kind}", visibility=visibility, owner_id=who.member_id, guild_id=who.guild_id
        )
        source.unlink()
        ids.append(entry.id)
        (previews / f"{entry.id}-1.webp").write_bytes(png() + word.encode())
        async with store.connections.write() as session:
            row = await session.get_one(EntryRow, entry.id)
            row.description, row.credit, row.alias = f"{word} says", f"{word} made it", f"{word} alias"
            session.add_all(
                [
                    TagRow(entry_id=entry.id, tag=word),
                    OriginRow(entry_id=entry.id, value=f'"{word}"', at_source="", checked_at=NOW),
                    _sample(entry.id, f"{entry.id}-1.webp", None),
                    BanRow(hash=entry.info.sha256, guild_id=GUILD, name=f"{word} {kind}", reason="", created_at=NOW),
                ]
            )
    return ids


async def _judgements(store: Store, who: Who, word: str, entries: list[int]) -> None:
    """What one person says of another's entries: ratings, favourites, reports, a review's picture, own settings."""
    shared = entries[1]
    previews = store.adapters_folder.parent / "previews"
    (previews / f"{shared}-{who.member_id % 1000}.webp").write_bytes(png() + word.encode())
    async with store.connections.write() as session:
        row = await session.get_one(EntryRow, shared)
        row.stars, row.ratings, row.favourites = 4.0, 1, 1
        session.add_all(
            [
                RatingRow(
                    entry_id=shared, member_id=who.member_id, guild_id=GUILD, stars=4, words=word, created_at=NOW
                ),
                FavouriteRow(member_id=who.member_id, entry_id=shared),
                _sample(shared, f"{shared}-{who.member_id % 1000}.webp", who.member_id),
                _report(who, word, row),
                SettingsRow(scope=f"member:{who.member_id}", value={"negative": word}, changed_at=NOW),
            ]
        )


def _sample(entry_id: int, file: str, member_id: int | None) -> SampleRow:
    kind = "drawn" if member_id is None else "review"
    return SampleRow(entry_id=entry_id, kind=kind, member_id=member_id, file=file, width=8, height=8, mature=False)


def _report(who: Who, word: str, entry: EntryRow) -> ReportRow:
    return ReportRow(
        guild_id=GUILD,
        member_id=who.member_id,
        entry_id=entry.id,
        subject=entry.name,
        sha256=entry.sha256,
        reason="quality",
        words=word,
        created_at=NOW,
        outcome="",
        decided_by=who.member_id,
    )


async def _fork(store: Store, entry_id: int, who: Who) -> None:
    """Somebody else's own entry of the canary's file, with the credit line taken over."""
    async with store.connections.write() as session:
        row = await session.get_one(EntryRow, entry_id)
        session.add(
            EntryRow(
                name="a fork",
                folded="a fork",
                scope=f"private:{who.member_id}",
                owner_id=who.member_id,
                visibility="private",
                sha256=row.sha256,
                created_at=NOW,
                uses=0,
                credit=row.credit,
                description=row.description,
                forked_from=row.id,
            )
        )


async def ordered(store: Store, who: Who, prompt: str, *, drawn: bool) -> None:
    """A job in line, or one that came to its end with pictures; every third way of being told of it."""
    sent = png() + prompt[:20].encode()
    request = order(prompt.strip()[:6000], by=who, adapters=(AdapterUse("ink"),), image=sent, mask=sent)
    job = await store.jobs.record(request, Bounds(per_member=1_000_000))
    await store.jobs.queue(job.id)
    if drawn:
        started = await store.jobs.start(job.id)
        assert started is not None
        await store.jobs.rendered(started, result(started.request))
        await store.jobs.posting(job.id)
        await store.jobs.posted(job.id, CHANNEL, 1)


async def main(jobs: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        data, backup = Path(name) / "data", Path(name) / "backup.tar"
        async with open_store(None, data) as store:
            await fill(store, data, jobs=jobs, split=True)
            await asyncio.to_thread(back_up, data, backup)
            size = (data / "loraloom.db").stat().st_size
            before = dict(found(data))
            began = time.monotonic()
            await store.people.forget(CANARY_ID, Shared.REMOVED)
            took = time.monotonic() - began
            left = dict(found(data))
        well = len(before) >= 5 and not left and took <= IN_TIME
        print(f"{jobs:,} jobs, database of {size / 1e6:.0f} MB: {sum(before.values()):,} signs in {len(before)} files")
        print(f"  forgotten in {took:.1f} s, {sum(left.values())} signs left {left or ''}")
        restore(backup, data)
        again = sum(dict(found(data)).values())
        began = time.monotonic()
        async with open_store(None, data):
            took = time.monotonic() - began
            left = dict(found(data))
        print(f"  backup restored, {again:,} signs; opened in {took:.1f} s, {sum(left.values())} left {left or ''}")
        return 0 if well and again and not left and took <= IN_TIME else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    sys.exit(asyncio.run(main(parser.parse_args().jobs)))
