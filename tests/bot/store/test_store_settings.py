"""What servers, channels and members have chosen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.orders import SettingRefused, Settings
from bot.orders.settings import NOTHING
from bot.store import Store, open_store
from tests.fakes import GUILD, MEMBER, who

SERVER = f"server:{GUILD}"


async def test_a_level_is_as_it_was_last_changed_also_after_a_restart(tmp_path: Path) -> None:
    async with open_store(None, tmp_path) as store:
        await store.settings.change(SERVER, lambda was: Settings(steps=30, models=("a", "b")).over(was))
        await store.settings.change(SERVER, lambda was: Settings(cfg=0.0).over(was))
    async with open_store(None, tmp_path) as store:
        server, channel = await store.settings.of(SERVER, "channel:1")
        assert server == Settings(steps=30, models=("a", "b"), cfg=0.0)
        assert channel == NOTHING


async def test_changes_at_once_all_count(store: Store) -> None:
    """Each is made of what the one before has left."""
    names = [str(number) for number in range(20)]

    async def add(name: str) -> None:
        await store.settings.change(SERVER, lambda was: Settings(models=(*(was.models or ()), name)))

    await asyncio.gather(*map(add, names))
    (server,) = await store.settings.of(SERVER)
    assert sorted(server.models or ()) == sorted(names)


async def test_a_change_that_is_refused_changes_nothing(store: Store) -> None:
    def refuse(was: Settings) -> Settings:
        raise SettingRefused("no")

    await store.settings.change(SERVER, lambda _: Settings(steps=30))
    with pytest.raises(SettingRefused):
        await store.settings.change(SERVER, refuse, note=who())
    assert await store.settings.of(SERVER) == (Settings(steps=30),)
    assert await store.audit.count() == 0


async def test_a_change_is_in_the_audit_where_somebody_is_named_and_something_changed(store: Store) -> None:
    for _ in range(2):
        await store.settings.change(SERVER, lambda _: Settings(steps=30), note=who())
    await store.settings.change(f"member:{MEMBER}", lambda _: Settings(steps=9))
    (entry,) = await store.audit.entries(GUILD)
    assert (entry.actor_id, entry.action, entry.subject) == (MEMBER, "settings", SERVER)
    assert entry.details == {"was": {}, "is": {"steps": 30}}


@pytest.mark.parametrize("scope", [SERVER, "channel:1", "member:1"])
async def test_a_level_that_says_nothing_leaves_no_row(store: Store, scope: str) -> None:
    """Setting and resetting together change nothing."""
    await store.settings.change(scope, lambda _: Settings(steps=30))
    assert await store.settings.of(scope) == (Settings(steps=30),)
    await store.settings.change(scope, lambda was: was.without(["steps"]))
    assert await store.settings.of(scope) == (NOTHING,)
    async with store.connections.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM settings")) == 0


async def test_what_a_member_chose_is_forgotten_alone(store: Store) -> None:
    """In memory and in the database, wherever it is gone already."""
    for scope in ("member:1", "member:2"):
        await store.settings.change(scope, lambda _: Settings(steps=30))
    async with store.connections.write() as session:
        await session.execute(text("DELETE FROM settings WHERE scope = 'member:1'"))
    await store.settings.forget(1)
    assert await store.settings.of("member:1", "member:2") == (NOTHING, Settings(steps=30))


async def test_what_is_chosen_is_told_at_once_while_something_is_written(store: Store) -> None:
    """Discord waits three seconds for an answer, whatever holds the database."""
    await store.settings.change(SERVER, lambda _: Settings(steps=30))
    async with store.connections.write() as session:
        await session.execute(text("SELECT 1"))
        changing = asyncio.create_task(store.settings.change(SERVER, lambda _: Settings(steps=31)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(1):
            assert await store.settings.of(SERVER) == (Settings(steps=30),)
    assert await changing == Settings(steps=31)


async def test_a_model_is_a_default_of_servers_and_channels(store: Store) -> None:
    """A member's own does not count: it is nobody else's business."""
    for scope in (SERVER, "channel:1", "member:1"):
        await store.settings.change(scope, lambda _: Settings(model="sdxl"))
    assert await store.settings.num_drawing_with("sdxl") == 2
    assert await store.settings.num_drawing_with("other") == 0
