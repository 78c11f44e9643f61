"""/adapter, /model and /admin."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.orders import Who
from engine import builtin_adapter
from tests.bot.worlds import World, buttons, texts, world
from tests.fakes import until

OWNERS = ("load", "unload", "pin", "unpin", "warm", "quarantine")


async def said(w: World, by: object, command: str, **options: object) -> str:
    """What whoever asks reads, seen by nobody else."""
    answer = await by.slash(w.channel, command, **options)  # type: ignore[attr-defined]
    assert answer.response.ephemeral
    return answer.response.content or texts(answer.response.message)


def own(w: World) -> None:
    """molly runs the bot."""
    w.bot.owners |= {w.molly.id}


async def test_adapters_come_and_go_by_name(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        own(w)
        assert "`ink` is in memory." in await said(w, w.molly, "adapter load", name="ink")
        assert "`ink` stays in memory." in await said(w, w.molly, "adapter pin", name="ink")
        assert "loaded at every start" in await said(w, w.molly, "adapter warm", name="neon")
        shown = await said(w, w.anna, "adapter list")
        assert "`ink` · ready on the device, in RAM, pinned" in shown
        assert "`neon` · ready on the device, in RAM, warm set" in shown
        assert "pinned; /adapter unpin" in await said(w, w.molly, "adapter unload", name="ink")
        await said(w, w.molly, "adapter unpin", name="ink")
        await said(w, w.molly, "adapter unload", name="ink")
        assert "ink" not in await said(w, w.anna, "adapter list")
        assert "when somebody draws" in await said(w, w.molly, "adapter warm", name="neon", on=False)
        await said(w, w.molly, "adapter unload", name="neon")
        assert "No adapter is in memory." in await said(w, w.anna, "adapter list")


async def test_pins_are_back_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        own(w)
        await said(w, w.molly, "adapter pin", name="ink")
        await w.restart()
        await until(lambda: len(w.fleet.holds.pinned) == 1)


@pytest.mark.parametrize("act", OWNERS)
async def test_memory_and_quarantine_are_for_those_who_run_the_bot(tmp_path: Path, act: str) -> None:
    async with world(tmp_path) as w:
        for by in (w.alice, w.molly, w.anna):
            assert "people who run this bot" in await said(w, by, f"adapter {act}", name="ink")


async def test_stats_say_so_where_there_are_no_figures(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        shown = await said(w, w.anna, "adapter stats")
        assert "no figures of adapters yet" in shown
        assert "`builtin` · built-in" in shown


@dataclass
class FakeModeration:
    """Remembers what it was asked, and knows every adapter by the name it is given."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    async def ban(self, who: Who, name: str, reason: str, everywhere: bool = False) -> str:
        self.asked.append(("ban", name, reason, everywhere))
        return name

    async def unban(self, who: Who, name: str, everywhere: bool = False) -> SimpleNamespace:
        self.asked.append(("unban", name, everywhere))
        return SimpleNamespace(name=name)

    async def quarantine(self, who: Who, name: str, reason: str) -> SimpleNamespace:
        self.asked.append(("quarantine", name, reason))
        return SimpleNamespace(name=name)

    async def release(self, who: Who, name: str) -> SimpleNamespace:
        self.asked.append(("release", name))
        return SimpleNamespace(name=name)


async def test_bans_and_quarantine_are_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever decides about them checks the right; the answer quotes words harmlessly."""
    async with world(tmp_path) as w:
        own(w)
        moderation = FakeModeration()
        monkeypatch.setattr(type(w.bot), "moderation", moderation, raising=False)
        reply = await said(w, w.anna, "adapter ban", name="ink", reason="it is *stolen*")
        assert "`ink` may not be used any more: it is \\*stolen\\*" in reply
        assert "may be used again" in await said(w, w.anna, "adapter unban", name="ink", everywhere=True)
        assert "in quarantine" in await said(w, w.molly, "adapter quarantine", name="neon")
        assert "drawn with again" in await said(w, w.molly, "adapter quarantine", name="neon", release=True)
        assert moderation.asked == [
            ("ban", "ink", "it is *stolen*", False),
            ("unban", "ink", True),
            ("quarantine", "neon", "somebody who runs this bot is looking at it"),
            ("release", "neon"),
        ]


async def test_a_model_is_added_chosen_and_removed(tmp_path: Path) -> None:
    """Members read what it is and never where it is; an order can name it at once."""
    async with world(tmp_path / "data") as w:
        own(w)
        source = str(shutil.copytree(builtin_adapter("ink").parent / "model", tmp_path / "secret place"))
        assert "for adapters of built-in" in await said(w, w.molly, "model add", name="mine", source=source)
        listed = await said(w, w.alice, "model list")
        assert "`mine` · built-in" in listed
        assert "secret" not in listed
        await said(w, w.anna, "model use", name="mine")
        job = await w.drawn("a fox")
        assert job.request.model == "mine"
        assert "what is drawn with" in (await said(w, w.alice, "model list")).split("mine")[1]
        assert "default of 1 servers" in await said(w, w.molly, "model remove", name="mine")
        await said(w, w.anna, "settings server", reset="model")
        assert "is gone" in await said(w, w.molly, "model remove", name="mine")
        assert "no model called" in await said(w, w.alice, "imagine", prompt="a fox", model="mine")


async def test_models_are_added_only_by_those_who_run_the_bot(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for by in (w.alice, w.anna):
            assert "people who run this bot" in await said(w, by, "model add", name="a", source="b")
        own(w)
        assert "Hugging Face id" in await said(w, w.molly, "model add", name="a", source="b")


async def test_the_queue_of_a_server_is_for_its_moderators(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert "manage messages" in await said(w, w.alice, "admin queue")
        assert "Nothing of this server is unfinished." in await said(w, w.molly, "admin queue")
        await w.alice.slash(w.channel, "imagine", prompt="a fox")
        await w.dispatched()
        shown = await said(w, w.molly, "admin queue")
        assert f"<@{w.alice.id}>" in shown
        assert "`a fox`" in shown


async def test_the_line_is_paused_and_opened(tmp_path: Path) -> None:
    """What is in line waits, and who orders reads why; both acts are known to those who run the bot alone."""
    async with world(tmp_path) as w:
        assert "people who run this bot" in await said(w, w.anna, "admin drain")
        own(w)
        await said(w, w.molly, "admin drain", reason="a new card")
        assert "a new card" in await said(w, w.alice, "imagine", prompt="a fox")
        assert "Orders are refused now" in await said(w, w.molly, "admin queue")
        await said(w, w.molly, "admin resume")
        await w.drawn("a fox")
        assert "admin drain" not in await said(w, w.anna, "admin audit")
        assert "admin drain" in await said(w, w.molly, "admin audit", everywhere=True)


async def test_the_audit_turns_pages_for_those_who_may_see_it(tmp_path: Path) -> None:
    """The button works after a restart, and asks again who presses it."""
    async with world(tmp_path) as w:
        for steps in range(1, 18):
            await said(w, w.anna, "settings server", steps=steps)
        shown = await w.anna.slash(w.channel, "admin audit")
        message = shown.response.message
        assert f"<@{w.anna.id}> · settings" in texts(message)
        assert '"steps": 17' in texts(message)
        assert list(buttons(message)) == ["Older"]
        await w.restart()
        await w.anna.click(message, label="Older")
        older = shown.response.message
        assert texts(older).count(" · settings · ") == 2
        assert '"was": {}' in texts(older)
        assert buttons(older) == {}
        assert "manage this server" in await said(w, w.molly, "admin audit")
