"""/grid: the question, the sheet, and its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.orders import JobState, TooLate
from bot.views.grid import MOST, Question, Questions
from engine import AdapterUse, Axis, Request
from tests.bot.worlds import World, buttons, texts, world

AXES = {"x": "weight ink: 0-1 [3]", "y": "seed: 1-2"}


async def sheet(w: World, **options: Any) -> str:
    """The id of alice's grid, drawn and posted."""
    number = len(w.fleet.attempts) + 1
    asked = await w.alice.slash(w.channel, "grid", prompt="a red flower", **(options or AXES))
    await w.alice.click(asked.response.message, label="Draw it")
    job_id = await w.dispatched(number)
    await w.fleet.finish(job_id)
    assert (await w.ended(job_id)).state is JobState.POSTED
    return job_id


async def test_nothing_is_ordered_before_the_price_is_agreed_to(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        asked = await w.alice.slash(w.channel, "grid", prompt="a red flower", **AXES)
        said = texts(asked.response.message)
        assert asked.response.ephemeral
        assert "3 × 2 cells, 6 pictures" in said
        assert "`weight ink: 0, 0.5, 1`" in said
        assert "0 of the 10" in said
        assert list(buttons(asked.response.message)) == ["Draw it", "Cancel"]
        assert w.fleet.attempts == []
        await w.alice.click(asked.response.message, label="Cancel")
        assert "Not ordered." in texts(asked.response.message)
        assert w.channel.history(viewer=w.bob) == []


async def test_the_price_knows_how_long_pictures_take_here(tmp_path: Path) -> None:
    """Once one was drawn: as many times as long as there are cells of that size."""
    async with world(tmp_path) as w:
        await w.drawn("x", size="512x512")  # 1.5 s
        asked = await w.alice.slash(w.channel, "grid", prompt="x", size="512x512", **AXES)
        assert "about 9 s" in texts(asked.response.message)


async def test_a_sheet_is_one_job_with_one_post(tmp_path: Path) -> None:
    """Its adapters found in the catalog by content, wherever an axis names them."""
    async with world(tmp_path) as w:
        await sheet(w)
        (attempt,) = w.fleet.attempts
        grid = attempt.request.grid
        assert grid is not None
        assert (grid.x, grid.y) == (Axis("weight ink", (0, 0.5, 1)), Axis("seed", (1, 2)))
        assert [(use.name, len(use.sha256)) for use in attempt.request.known] == [("ink", 64)]
        message = w.channel.last_message
        assert "6 cells over `weight ink: 0, 0.5, 1 × seed: 1, 2`" in texts(message)
        assert list(buttons(message)) == ["Again", "Vary seed", "Cell…", "Delete"]
        assert len(w.channel.history(viewer=w.bob)) == 1


async def test_a_question_is_answered_once_and_by_nobody_else(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        asked = await w.alice.slash(w.channel, "grid", prompt="x", **AXES)
        number = next(iter(w.bot.questions._open))
        with pytest.raises(TooLate):
            w.bot.questions.take(number, w.bob.id)
        await w.alice.click(asked.response.message, label="Draw it")
        assert len(w.bot.questions._open) == 0
        await w.dispatched()
        with pytest.raises(TooLate):
            w.bot.questions.take(number, w.alice.id)


async def test_a_question_from_before_a_restart_says_that_it_is_too_old(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        asked = await w.alice.slash(w.channel, "grid", prompt="x", **AXES)
        await w.restart()
        answer = await w.alice.click(asked.response.message, label="Draw it")
        assert "Send /grid again" in answer.response.content
        assert w.fleet.attempts == []


async def test_a_cell_is_ordered_as_a_picture_of_its_own(tmp_path: Path) -> None:
    """The plain request of that cell, also after a restart."""
    async with world(tmp_path) as w:
        await sheet(w)
        await w.restart()
        form = await w.alice.click(w.channel.last_message, label="Cell…")
        await w.alice.submit_modal(form, {"cell-x": ["1"], "cell-y": ["1"]})
        await w.dispatched()
        request = w.fleet.attempts[0].request
    assert request.grid is None
    assert (request.prompt, request.seed) == ("a red flower", 2)
    assert request.adapters == (AdapterUse("ink", 0.5, sha256=request.adapters[0].sha256),)
    assert len(request.adapters[0].sha256) == 64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x": "stepps: 1, 2"}, "cannot run over"),
        ({"x": "seed: 1-3", "y": "seed: 4"}, "Both axes"),
        ({"x": "weight nobody: 0-1"}, "no adapter called"),
        ({"x": "seed: 1-7", "y": "steps: 1-7"}, "49 cells; 36 is the most here"),
        ({"x": "steps: 0, 5"}, "0 steps"),
        ({"x": "prompt: blue, red"}, "does not stand in the prompt"),
    ],
)
async def test_a_grid_that_cannot_be_drawn_is_refused_before_any_question(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async with world(tmp_path) as w:
        result = await w.alice.slash(w.channel, "grid", prompt="x", **options)
        assert result.response.ephemeral
        assert words in result.response.content
        assert len(w.bot.questions._open) == 0


async def test_axes_are_offered_while_typing(tmp_path: Path) -> None:
    """The adapters first; what is offered can be read."""
    async with world(tmp_path) as w:
        offered = await w.alice.autocomplete(w.channel, "grid", "x", "", prompt="x")
        names = [choice["value"] for choice in offered]
        assert names[0].startswith("weight ")
        assert "seed: 1-4" in names
        found = await w.alice.autocomplete(w.channel, "grid", "x", "weight ne", prompt="x")
        assert [choice["value"] for choice in found] == ["weight neon: 0-1 [5]"]
        assert [choice["value"] for choice in await w.alice.autocomplete(w.channel, "grid", "y", "st", prompt="x")]


def test_open_questions_are_bounded() -> None:
    """A bot that runs for months does not grow with questions that nobody answered."""

    class Asked:
        class user:
            id = 1

    questions = Questions()
    numbers = [questions.add(Question(Asked(), Request(prompt="x"))) for _ in range(MOST + 1)]  # type: ignore[arg-type]
    assert len(questions._open) == MOST
    with pytest.raises(TooLate):
        questions.take(numbers[0], 1)
    assert questions.take(numbers[-1], 1)
