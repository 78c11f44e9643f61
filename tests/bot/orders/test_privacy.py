"""What a person gets of what is theirs, and what is done before all of it goes."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.orders import JobState, Privacy, Shared, TooLate
from bot.store import Store
from tests.fakes import MEMBER, Bench, FakeLine, FakePoster, adapter_file, bench, order, png, until, who
from tests.faults.deletion import CANARY, OTHER_ID, canary, fill

MOST = 10 << 20


async def test_the_export_has_every_row_and_file_of_the_person_and_of_nobody_else(store: Store, tmp_path: Path) -> None:
    await fill(store, tmp_path / "data", jobs=20)
    async with Privacy(store, FakeLine(store)).export(canary(), MOST) as export:
        (part,) = export.parts
        files = _files(export.parts)
    assert not part.exists(), "nothing stays behind"
    tables = {name: json.loads(data) for name, data in files.items() if name.endswith(".json")}
    for name in ("jobs", "pictures", "catalog_entries", "ratings", "favourites", "reports", "questions", "settings"):
        assert tables[f"{name}.json"], name
    assert {job["member_name"] for job in tables["jobs.json"]} == {f"{CANARY} the member"}
    assert not {"token", "image"} & set(tables["jobs.json"][0])
    assert str(OTHER_ID) not in str(tables)
    assert not [name for name, data in files.items() if b"anders" in data and not name.endswith(".json")]
    kinds = {name.split("/")[0] for name in files if "/" in name}
    assert {"pictures", "sent", "previews"} <= kinds
    assert sum(name.startswith("pictures/") for name in files) == len(tables["pictures.json"])
    assert all(data.startswith(b"\x89PNG") for name, data in files.items() if name.startswith("sent/"))


async def test_an_export_too_large_for_one_file_comes_in_parts_and_names_what_fits_into_none(store: Store) -> None:
    sent = [order(image=png() + bytes(size)) for size in (9_000, 9_000, 9_000, 40_000)]
    for one in sent:
        await store.jobs.record(one)
    async with Privacy(store, FakeLine(store)).export(who(), 20_000) as export:
        assert len(export.parts) == 2
        assert all(path.stat().st_size <= 20_000 for path in export.parts)
        assert sum(name.startswith("sent/") for name in _files(export.parts)) == 3
        assert len(export.left_out) == 1


async def test_an_adapter_of_one_s_own_is_in_the_export(store: Store, tmp_path: Path) -> None:
    file = adapter_file(tmp_path / "ink.safetensors")
    await store.catalog.add(file, "ink", visibility="private", owner_id=MEMBER)
    async with Privacy(store, FakeLine(store)).export(who(), MOST) as export:
        assert file.read_bytes() in _files(export.parts).values()


async def test_nothing_is_deleted_without_a_yes_and_a_yes_counts_once(store: Store) -> None:
    privacy = Privacy(store, FakeLine(store))
    await store.jobs.record(order())
    number, holdings = await privacy.ask(who())
    assert holdings.jobs == 1
    with pytest.raises(TooLate):
        await privacy.delete(who(MEMBER + 1), number, Shared.REMOVED)
    await privacy.keep(who(), number)
    with pytest.raises(TooLate):
        await privacy.delete(who(), number, Shared.REMOVED)
    assert (await privacy.ask(who()))[1].jobs == 1


async def test_what_waits_and_runs_ends_and_nothing_of_it_is_shown_afterwards(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        running, waiting = await b.ordered(), await b.ordered()
        await b.dispatched(running)
        await _deleted(b)
        assert await b.store.jobs.get(running) is None
        assert await b.store.jobs.get(waiting) is None
        assert {job.state for job in b.poster.closed} == {JobState.CANCELLED}
        assert b.runner.waiting == b.runner.running == 0
        other = await b.ordered(order(by=who(MEMBER + 1)))
        await b.dispatched(other)


async def test_a_result_that_discord_does_not_take_is_not_shown_once_its_member_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post that waits for Discord to come back is given up."""
    monkeypatch.setattr("bot.orders.privacy.SETTLING", 0.3)
    async with bench(tmp_path, poster=FakePoster(outages=10**9)) as b:
        job_id = await b.ordered()
        await b.dispatched(job_id)
        await b.fleet.finish(job_id)
        await asyncio.sleep(0.1)
        await _deleted(b)
        b.poster.outages = 0
        await until(lambda: not b.runner.busy)
        assert not b.poster.posts
        assert not list((tmp_path / "pictures").iterdir())


async def _deleted(b: Bench) -> None:
    privacy = Privacy(b.store, b.runner)
    number, _ = await privacy.ask(who())
    await privacy.delete(who(), number, Shared.REMOVED)


def _files(parts: Sequence[Path]) -> dict[str, Any]:
    found = {}
    for part in parts:
        with zipfile.ZipFile(part) as archive:
            assert archive.testzip() is None
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found
