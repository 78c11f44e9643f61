"""Base models that come and go while the bot runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bot.orders import Forbidden, Models, SettingRefused, Settings
from bot.store import Store, open_store
from engine import EngineConfig, ModelNotFound, ModelUnreadable, builtin_adapter
from tests.fakes import GUILD, FakeFleet, checkpoint, who

OWNER = replace(who(8), owner=True)
BUILTIN_MODEL = builtin_adapter("ink").parent / "model"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(shutil.copytree(BUILTIN_MODEL, tmp_path / "a model"))


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def models(store: Store, fleet: FakeFleet) -> Models:
    return Models(store, fleet, EngineConfig(models={"sd15": "/srv/secret/sd15.safetensors"}), {})


async def test_adding_and_removing_are_inverses(models: Models, store: Store, fleet: FakeFleet, source: str) -> None:
    """Looked at before it is kept, known to the engine at once, and in the audit of the bot."""
    added = await models.add(OWNER, " mine ", source)
    assert (added.name, added.family) == ("mine", "built-in")
    assert models.names() == ("builtin", "sd15", "mine")
    assert (fleet.models, await store.stock.models()) == ({"mine": source}, {"mine": source})
    await models.remove(OWNER, "mine")
    assert models.names() == ("builtin", "sd15")
    assert (fleet.models, await store.stock.models()) == ({}, {})
    assert [entry.action for entry in await store.audit.entries(None)] == ["model remove", "model add"]
    assert await store.audit.entries(GUILD) == ()


async def test_a_model_that_was_added_is_there_after_a_restart(tmp_path: Path, source: str) -> None:
    async with open_store(None, tmp_path / "data") as store:
        await Models(store, FakeFleet(), EngineConfig(), {}).add(OWNER, "mine", source)
    async with open_store(None, tmp_path / "data") as store:
        models = Models(store, FakeFleet(), EngineConfig(), await store.stock.models())
        assert models.names() == ("builtin", "mine")
        await models.remove(OWNER, "mine")


async def test_what_is_no_model_is_not_kept(models: Models, store: Store, fleet: FakeFleet, source: str) -> None:
    (Path(source) / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    for name, wrong, error in (
        ("a", source, ModelUnreadable),
        ("a", "/no/such/folder", ModelNotFound),
        ("a", str(builtin_adapter("ink")), ModelUnreadable),
        ("Builtin", str(BUILTIN_MODEL), SettingRefused),
        ("sd15", str(BUILTIN_MODEL), SettingRefused),
        ("../a", str(BUILTIN_MODEL), SettingRefused),
        ("", str(BUILTIN_MODEL), SettingRefused),
        ("a" * 41, str(BUILTIN_MODEL), SettingRefused),
    ):
        with pytest.raises(error):
            await models.add(OWNER, name, wrong)
    assert (fleet.models, await store.stock.models()) == ({}, {})


async def test_models_are_for_those_who_run_the_bot(models: Models, source: str) -> None:
    for by in (who(), replace(who(), admin=True)):
        with pytest.raises(Forbidden):
            await models.add(by, "mine", source)
        with pytest.raises(Forbidden):
            await models.remove(by, "sd15")


async def test_a_default_is_not_removed(models: Models, store: Store, source: str) -> None:
    """Neither a server's nor a channel's, nor one of the configuration; a member's own holds nobody up."""
    await models.add(OWNER, "mine", source)
    for scope in ("server:1", "channel:2", "member:3"):
        await store.settings.change(scope, lambda _: Settings(model="mine"))
    with pytest.raises(SettingRefused, match="2 servers or channels"):
        await models.remove(OWNER, "mine")
    for scope in ("server:1", "channel:2"):
        await store.settings.change(scope, lambda _: Settings())
    await models.remove(OWNER, "mine")
    with pytest.raises(ModelNotFound):
        await models.remove(OWNER, "mine")
    for name in ("sd15", "builtin"):
        with pytest.raises(SettingRefused, match="configuration"):
            await models.remove(OWNER, name)


async def test_a_model_s_family_is_known_before_anything_was_drawn_with_it(store: Store, tmp_path: Path) -> None:
    """As soon as its file is there; "" is the configuration's default."""
    path = tmp_path / "xl.safetensors"
    config = EngineConfig(models={"xl": str(path)}, model="xl")
    models = Models(store, FakeFleet(), config, {})
    assert [await models.family(name) for name in ("builtin", "xl", "", "none")] == ["built-in", "", "", ""]
    checkpoint(path)
    assert [await models.family(name) for name in ("builtin", "xl", "", "none")] == ["built-in", "SDXL", "SDXL", ""]


async def test_the_list_says_what_each_is_and_whether_it_may_be_used(models: Models, source: str) -> None:
    """What cannot be looked at is of no known kind; nothing says where any of them is."""
    await models.add(OWNER, "mine", source)
    found = await models.listed(Settings(models=("mine", "builtin"), model="mine"))
    assert [(one.name, one.family, one.allowed, one.default) for one in found] == [
        ("builtin", "built-in", True, False),
        ("sd15", "", False, False),
        ("mine", "built-in", True, True),
    ]
    assert "/srv" not in repr(found)
    assert source not in repr(found)
