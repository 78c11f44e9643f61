"""Who may say what for whom, and that it counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import (
    Allowed,
    Bounds,
    Forbidden,
    Gate,
    Level,
    Orders,
    QueueFull,
    QuotaSpent,
    SettingRefused,
    Settings,
    SettingsChange,
    SettingsDesk,
)
from bot.store import Store
from engine import AdapterNotFound, BadRequest, ModelNotFound
from tests.fakes import CHANNEL, GUILD, MEMBER, FakeLine, adapter_file, order, who

ADMIN = replace(who(9), admin=True)
OWNER = replace(who(8), owner=True)
MODELS = ("builtin", "sd15", "sdxl")


@pytest.fixture
async def desk(store: Store, tmp_path: Path) -> SettingsDesk:
    for name in ("Ink", "Light"):
        await store.catalog.add(adapter_file(tmp_path / f"{name}.safetensors", text=name), name, visibility="everyone")
    return SettingsDesk(store, Bounds(per_member=5, seconds=3600, role_seconds={77: 7200}), "builtin", lambda: MODELS)


async def said(desk: SettingsDesk, level: Level = Level.SERVER, **settings: object) -> None:
    await desk.change(ADMIN, level, SettingsChange(said=Settings(**settings)))  # type: ignore[arg-type]


async def test_without_a_word_the_configuration_counts(desk: SettingsDesk) -> None:
    """Real people are for a server to allow; seconds are those of the person's roles."""
    settings = await desk.of(who())
    assert (settings.model, settings.models, settings.adapters) == ("builtin", MODELS, None)
    assert (settings.jobs_per_member, settings.seconds_per_day) == (5, 3600)
    assert (settings.mature, settings.real_people) == (True, False)
    assert (await desk.of(replace(who(), roles=frozenset({77})))).seconds_per_day == 7200
    assert not (await desk.of(who(guild_id=None))).real_people


async def test_each_level_counts_where_it_is_and_nowhere_else(desk: SettingsDesk) -> None:
    await said(desk, steps=30, cfg=5.0, sampler="Euler")
    await said(desk, Level.CHANNEL, steps=40, cfg=6.0)
    await desk.change(who(), Level.MEMBER, SettingsChange(said=Settings(steps=50)))
    here = await desk.in_force(who())
    assert (here.settings.steps, here.settings.cfg, here.settings.sampler) == (50, 6.0, "Euler")
    assert [here.sources[name] for name in ("steps", "cfg", "sampler")] == [Level.MEMBER, Level.CHANNEL, Level.SERVER]
    assert (await desk.of(who(2))).steps == 40
    assert (await desk.of(replace(who(2), channel_id=5))).steps == 30
    assert (await desk.of(replace(who(2, guild_id=7), channel_id=5))).steps is None
    assert (await desk.of(who(guild_id=None))).steps == 50
    assert (await desk.of(who(2, guild_id=None))).steps is None


async def test_a_thread_is_governed_as_its_channel(desk: SettingsDesk) -> None:
    await said(desk, Level.CHANNEL, steps=40)
    thread = replace(who(), channel_id=99, parent_id=CHANNEL)
    assert (await desk.of(thread)).steps == 40
    await desk.change(
        replace(ADMIN, channel_id=99, parent_id=CHANNEL), Level.CHANNEL, SettingsChange(said=Settings(steps=41))
    )
    assert (await desk.of(who())).steps == 41


@pytest.mark.parametrize("level", [Level.SERVER, Level.CHANNEL])
async def test_only_an_admin_speaks_for_others_and_only_in_a_server(desk: SettingsDesk, level: Level) -> None:
    for by in (who(), who(moderator=True), replace(OWNER, guild_id=None)):
        with pytest.raises(Forbidden):
            await desk.change(by, level, SettingsChange(said=Settings(steps=30)))
    assert (await desk.of(who())).steps is None


async def test_saying_and_resetting_are_inverses(desk: SettingsDesk) -> None:
    before = await desk.in_force(who())
    await said(desk, steps=30, width=512, height=512, mature=False)
    assert await desk.in_force(who()) != before
    await desk.change(ADMIN, Level.SERVER, SettingsChange(reset=frozenset({"steps", "size", "mature"})))
    assert await desk.in_force(who()) == before


async def test_a_member_says_nothing_about_limits(desk: SettingsDesk) -> None:
    """But may leave out what is not fit for everybody."""
    for change in (
        SettingsChange(said=Settings(jobs_per_member=9)),
        SettingsChange(allow_model="sdxl"),
        SettingsChange(allow_adapter="Ink"),
    ):
        with pytest.raises(SettingRefused, match="for a server"):
            await desk.change(who(), Level.MEMBER, change)
    await desk.change(who(), Level.MEMBER, SettingsChange(said=Settings(mature=False)))
    assert not (await desk.of(who())).mature


async def test_what_is_wider_than_a_wider_level_is_refused_by_name(desk: SettingsDesk) -> None:
    """And changes nothing; what is as wide, or stricter, passes."""
    await said(desk, jobs_per_member=3, mature=False)
    for change, name in (
        (Settings(jobs_per_member=4), "jobs_per_member"),
        (Settings(mature=True), "mature"),
        (Settings(real_people=True), "real_people"),
        (Settings(seconds_per_day=7201), "seconds_per_day"),
    ):
        with pytest.raises(SettingRefused, match=name):
            await desk.change(ADMIN, Level.CHANNEL, SettingsChange(said=change))
    with pytest.raises(SettingRefused, match="configuration"):
        await said(desk, jobs_per_member=6)
    await said(desk, real_people=True, seconds_per_day=7200)
    await said(desk, Level.CHANNEL, jobs_per_member=2, real_people=True)
    assert (await desk.of(who())).jobs_per_member == 2


async def test_what_cannot_be_is_refused_at_once(desk: SettingsDesk) -> None:
    for change, error in (
        (SettingsChange(said=Settings(model="nope")), ModelNotFound),
        (SettingsChange(allow_model="nope"), ModelNotFound),
        (SettingsChange(allow_adapter="nope"), AdapterNotFound),
        (SettingsChange(said=Settings(width=65, height=64)), BadRequest),
        (SettingsChange(forbid_model="sdxl"), SettingRefused),
        (SettingsChange(forbid_adapter="Ink"), SettingRefused),
    ):
        with pytest.raises(error):
            await desk.change(ADMIN, Level.SERVER, change)


async def test_lists_grow_and_shrink_by_name(desk: SettingsDesk, store: Store) -> None:
    """Allowing and forbidding are inverses but for the list itself, which resetting takes away."""
    await desk.change(ADMIN, Level.SERVER, SettingsChange(allow_model="sdxl", allow_adapter="Ink"))
    await desk.change(ADMIN, Level.SERVER, SettingsChange(allow_model="sd15", allow_adapter="light"))
    settings = await desk.of(who())
    ink = await store.catalog.find(who(), "Ink")
    assert ink is not None
    assert settings.models == ("sd15", "sdxl"), "in the configuration's order"
    assert len(settings.adapters or ()) == 2
    assert settings.model == "sd15", "the default, builtin, may not be used any more"
    await desk.change(ADMIN, Level.SERVER, SettingsChange(forbid_model="sd15", forbid_adapter="LIGHT"))
    settings = await desk.of(who())
    assert (settings.models, settings.adapters) == (("sdxl",), (ink.info.sha256,))
    with pytest.raises(SettingRefused, match="last model"):
        await desk.change(ADMIN, Level.SERVER, SettingsChange(forbid_model="sdxl"))
    with pytest.raises(SettingRefused, match="models"):
        await desk.change(ADMIN, Level.CHANNEL, SettingsChange(allow_model="sd15"))
    with pytest.raises(SettingRefused, match="model"):
        await desk.change(who(), Level.MEMBER, SettingsChange(said=Settings(model="sd15")))
    await desk.change(ADMIN, Level.SERVER, SettingsChange(reset=frozenset({"models", "adapters"})))
    assert (await desk.of(who())).models == MODELS


async def test_only_what_is_allowed_is_drawn_with(desk: SettingsDesk, store: Store, tmp_path: Path) -> None:
    """By content: another file of an allowed name is another adapter. Asked again when the job begins."""
    gate = Gate(store, (Allowed(desk),))
    orders = Orders(store, FakeLine(store), gate=gate)
    ticket = await orders.imagine(order("a <lora:Ink:1>", model="sdxl"))
    job = await store.jobs.get(ticket.job_id)
    assert job is not None
    assert await gate.objection(job) == ""
    await desk.change(ADMIN, Level.CHANNEL, SettingsChange(allow_model="sd15"))
    assert "sdxl is not drawn with here; use sd15." in await gate.objection(job)
    with pytest.raises(Forbidden, match="sd15"):
        await orders.imagine(order("a", model="sdxl"))
    await desk.change(ADMIN, Level.CHANNEL, SettingsChange(reset=frozenset({"models"}), allow_adapter="Ink"))
    assert await gate.objection(job) == ""
    with pytest.raises(Forbidden, match="Light"):
        await orders.imagine(order("a <lora:Light:1>"))
    other = adapter_file(tmp_path / "other.safetensors")
    entry = await store.catalog.add(other, "Ink", visibility="private", owner_id=MEMBER)
    with pytest.raises(Forbidden, match=entry.short_id):  # no channel reads the name of what is one person's alone
        await orders.imagine(order("a <lora:Ink:1>"))


async def test_a_servers_limits_count_for_its_orders(desk: SettingsDesk, store: Store) -> None:
    """Within what the configuration allows; the price and the rest of the day say so too."""
    bounds = Bounds(per_member=5, seconds=3600)
    orders = Orders(store, FakeLine(store), bounds, gate=Gate(store, (Allowed(desk),)), settings=desk)
    cost = (await orders.price(order().request, who())).seconds or 0
    await said(desk, jobs_per_member=2, seconds_per_day=round(cost * 2.5))
    assert (await orders.price(order().request, who())).limit == 2
    for _ in range(2):
        ticket = await orders.imagine(order())
    assert ticket.left == pytest.approx(round(cost * 2.5) - 2 * cost)
    with pytest.raises(QueueFull, match="2 unfinished"):
        await orders.imagine(order())
    await desk.change(ADMIN, Level.SERVER, SettingsChange(reset=frozenset({"jobs_per_member"})))
    with pytest.raises(QuotaSpent):
        await orders.imagine(order())
    await orders.imagine(order(by=who(guild_id=GUILD + 1)))


async def test_an_order_that_names_no_model_is_drawn_with_the_one_in_force(desk: SettingsDesk, store: Store) -> None:
    """The row says which, so that drawing it again is the same whatever the default is by then."""
    orders = Orders(store, FakeLine(store), gate=Gate(store, (Allowed(desk),)), settings=desk)
    await said(desk, model="sdxl")
    ticket = await orders.imagine(order())
    job = await store.jobs.get(ticket.job_id)
    assert job is not None
    assert job.request.model == "sdxl"
