"""The golden table: what each prompt means, rule by rule."""

from __future__ import annotations

import pytest

from engine.prompt import parse_negative, parse_prompt
from engine.types import AdapterUse

from .golden import BAD_TAGS, CONJUNCTION, EDITED_SEGMENTS, EDITING, HIRES, TAGS, WEIGHTING, Segments, Stages


def test_the_table_holds_more_than_120_prompts() -> None:
    assert len([*BAD_TAGS, *CONJUNCTION, *EDITED_SEGMENTS, *EDITING, *TAGS, *WEIGHTING]) > 200


@pytest.mark.parametrize(("prompt", "segments"), WEIGHTING.items())
def test_brackets_weigh_text(prompt: str, segments: Segments) -> None:
    parsed = parse_prompt(prompt)
    assert (parsed.text, parsed.adapters, parsed.errors) == (prompt, (), ())
    (sub,) = parsed.at(1, 10)
    assert (sub.weight, sub.segments) == (1.0, segments)


@pytest.mark.parametrize(("prompt", "stages"), EDITING.items())
def test_edits_and_turns_choose_the_text_of_a_step(prompt: str, stages: Stages) -> None:
    assert texts_of(prompt, 10) == list(stages)


@pytest.mark.parametrize(("prompt", "stages"), HIRES.items())
def test_in_the_second_pass_steps_go_on_counting_and_fractions_begin_at_one(prompt: str, stages: Stages) -> None:
    assert texts_of(prompt, 8, earlier=10) == list(stages)


def texts_of(prompt: str, steps: int, earlier: int = 0) -> list[tuple[int, str]]:
    schedule = parse_prompt(prompt).schedule(steps, earlier)
    return [(last, "".join(text for text, _ in sub.segments)) for last, (sub,) in schedule]


@pytest.mark.parametrize(("prompt", "stages"), EDITED_SEGMENTS.items())
def test_text_is_weighed_after_it_is_edited(prompt: str, stages: tuple[tuple[int, Segments], ...]) -> None:
    assert [(last, sub.segments) for last, (sub,) in parse_prompt(prompt).schedule(10)] == list(stages)


@pytest.mark.parametrize(("prompt", "parts"), CONJUNCTION.items())
def test_and_divides_a_prompt_into_weighted_parts(prompt: str, parts: tuple[tuple[float, str], ...]) -> None:
    assert [(sub.weight, sub.segments) for sub in parse_prompt(prompt).at(1, 10)] == [
        (weight, ((text, 1.0),)) for weight, text in parts
    ]


@pytest.mark.parametrize(("prompt", "expected"), TAGS.items())
def test_tags_become_adapters(prompt: str, expected: tuple[str, tuple[AdapterUse, ...]]) -> None:
    parsed = parse_prompt(prompt)
    assert (parsed.text, parsed.adapters) == expected
    assert parsed.errors == ()


@pytest.mark.parametrize(("prompt", "expected"), BAD_TAGS.items())
def test_a_bad_tag_is_named_and_the_others_stay_on(
    prompt: str, expected: tuple[str, tuple[AdapterUse, ...], str]
) -> None:
    parsed = parse_prompt(prompt)
    text, adapters, reason = expected
    assert (parsed.text, parsed.adapters) == (text, adapters)
    (error,) = parsed.errors
    assert reason in error
    assert " at character " in error


def test_every_bad_tag_has_its_own_sentence() -> None:
    parsed = parse_prompt("<lora:a:x> b <hypernet:c> <lora:d:0.5>")
    assert [error.split(" is left out")[0] for error in parsed.errors] == [
        "<lora:a:x> at character 1",
        "<hypernet:c> at character 14",
    ]
    assert parsed.adapters == (AdapterUse("d", 0.5),)


def test_a_long_tag_is_quoted_in_part() -> None:
    (error,) = parse_prompt(f"<lora:{'a' * 500}:x>").errors
    assert len(error) < 160


def test_more_parts_than_a_machine_can_draw_are_an_error() -> None:
    assert parse_prompt(" AND ".join("a" * 16)).errors == ()
    assert parse_prompt(" AND ".join("a" * 17)).errors == ("AND joins 17 prompts; 16 is the most.",)


def test_parts_keep_their_own_schedule() -> None:
    schedule = parse_prompt("[a:b:3] AND [c:d:6]:2").schedule(10)
    assert [(last, [sub.segments[0][0] for sub in subs]) for last, subs in schedule] == [
        (3, ["a", " c"]),
        (6, ["b", " c"]),
        (10, ["b", " d"]),
    ]


def test_and_divides_before_edits_are_read() -> None:
    first, second = parse_prompt("[a AND b:5]").at(1, 10)
    assert (first.segments, second.segments) == ((("a", 1 / 1.1),), ((" b:5]", 1.0),))


def test_a_step_outside_of_the_picture_is_the_nearest_one() -> None:
    parsed = parse_prompt("[a:b:3]")
    assert parsed.at(0, 10) == parsed.at(1, 10)
    assert parsed.at(11, 10) == parsed.at(10, 10)


def test_a_negative_prompt_has_no_tags_and_no_parts() -> None:
    (sub,) = parse_negative("(a) <lora:ink:1> AND [b:c:5]:2").at(1, 10)
    assert sub.weight == 1.0
    assert sub.segments == (("a", 1.1), (" <lora:ink:1> AND b:2", 1.0))
