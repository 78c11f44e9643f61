"""In one channel everybody is answered in their own language, whatever is answered and whenever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simcord

from bot.orders import JobState, Who
from bot.views.forms import Form
from tests.bot.worlds import World, buttons, items, texts, world

Speak = Callable[[Any, str], None]


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> Speak:
    """Says which language somebody's Discord speaks; SimCord's speaks American."""
    locales: dict[int, str] = {}
    built = simcord.interactions.base_payload

    def payload(backend: Any, *, user_id: int, **rest: Any) -> Any:
        record, sent = built(backend, user_id=user_id, **rest)
        sent["locale"] = locales.get(user_id, "en-US")
        return record, sent

    monkeypatch.setattr(simcord.interactions, "base_payload", payload)

    def speak(actor: Any, locale: str) -> None:
        locales[actor.id] = locale

    return speak


async def drawn(w: World, actor: Any, **options: Any) -> Any:
    """The card of the finished job."""
    number = len(w.fleet.attempts) + 1
    await actor.slash(w.channel, "imagine", prompt="a red flower", **options)
    job_id = await w.dispatched(number)
    await w.fleet.finish(job_id)
    assert (await w.ended(job_id)).state is JobState.POSTED
    return w.channel.last_message


async def test_two_members_two_languages_one_channel(tmp_path: Path, speak: Speak) -> None:
    """The first answer, and the result that the poster shows later."""
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        first = await w.bob.slash(w.channel, "imagine", prompt="a red flower")
        assert "已排队，第 1 位" in texts(first.response.message)
        assert list(buttons(first.response.message)) == ["取消"]
        await w.fleet.finish(await w.dispatched())
        await w.ended(w.fleet.attempts[0].job)
        chinese = w.channel.last_message
        english = await drawn(w, w.alice)
        assert list(buttons(chinese)) == ["再来一次", "换种子", "删除"]
        assert "步" in texts(chinese)
        assert list(buttons(english)) == ["Again", "Vary seed", "Delete"]
        assert "20 steps" in texts(english)
        assert not any("\u4e00" <= sign <= "\u9fff" for sign in texts(english))


async def test_a_result_is_in_the_askers_language_after_a_restart(tmp_path: Path, speak: Speak) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        await w.bob.slash(w.channel, "imagine", prompt="a red flower")
        job_id = await w.dispatched()
        await w.restart()
        assert await w.dispatched() == job_id
        await w.fleet.finish(job_id)
        await w.ended(job_id)
        assert "再来一次" in buttons(w.channel.last_message)


async def test_a_failure_that_was_stored_in_english_is_shown_in_the_askers_language(
    tmp_path: Path, speak: Speak
) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        await w.bob.slash(w.channel, "imagine", prompt="x")
        job_id = await w.dispatched()
        await w.fleet.fail(job_id, "The VAE 'x' has 4 channels of latents; this base model has 16.")
        job = await w.ended(job_id)
        assert job.sentence.startswith("The VAE")
        assert "潜空间通道" in texts(w.channel.last_message)


async def test_errors_are_translated_with_what_they_quote(tmp_path: Path, speak: Speak) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        chinese = await w.bob.slash(w.channel, "lora info", adapter="inc")
        english = await w.alice.slash(w.channel, "lora info", adapter="inc")
    assert chinese.response.content == "这里没有名为 'inc' 的 LoRA。你是想找 ink 吗？"
    assert english.response.content == "There is no adapter called 'inc' here. Did you mean ink?"


async def test_notes_of_the_prompt_are_translated(tmp_path: Path, speak: Speak) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        shown = await w.bob.slash(w.channel, "imagine", prompt="a flower <lora:nobody:1>")
        assert "已略去：这里没有名为 'nobody' 的 LoRA。" in texts(shown.response.message)


async def test_forms_and_their_errors_speak_too(tmp_path: Path, speak: Speak) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        card = await drawn(w, w.bob, lora="ink")
        shown = await w.bob.click(card, label="权重…")
        assert (shown.modal or {})["title"] == "权重"
        refused = await w.bob.submit_modal(shown, {"weight-0": "much"})
        assert "必须是数字" in refused.response.content


async def test_lists_speak_too(tmp_path: Path, speak: Speak) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        await drawn(w, w.bob)
        history = await w.bob.slash(w.channel, "history")
        assert "你的图片，第 1 页，共 1 页" in texts(history.response.message)
        menu = next(item for item in items(history.response.message) if hasattr(item, "placeholder"))
        assert menu.placeholder == "打开一张…"
        assert "没有等待的任务" in texts((await w.bob.slash(w.channel, "queue")).response.message)
        assert "触发词" in texts((await w.bob.slash(w.channel, "lora info", adapter="ink")).response.message)


async def test_whoever_presses_is_answered_in_their_language_on_the_card_of_another(
    tmp_path: Path, speak: Speak
) -> None:
    async with world(tmp_path) as w:
        speak(w.bob, "zh-CN")
        card = await drawn(w, w.alice)
        refused = await w.bob.click(card, label="Delete")
        assert "属于下单的人" in refused.followups[0].content


async def test_a_chosen_language_counts_before_discords(tmp_path: Path, speak: Speak) -> None:
    """What the settings say reaches commands, buttons and the poster alike."""
    async with world(tmp_path) as w:

        async def choice(who: Who) -> str | None:
            return "zh-CN" if who.member_id == w.alice.id else None

        w.bot.languages.choice = choice
        card = await drawn(w, w.alice)
        assert "再来一次" in buttons(card)
        again = await w.alice.click(card, label="再来一次")
        assert "已排队" in texts(again.response.message)


def test_a_form_cannot_do_without_its_language() -> None:
    """discord.py asks this before `on_submit`; there is no other way in."""
    assert "interaction_check" in vars(Form)
