"""What holds for every prompt."""

from __future__ import annotations

import json
import time
import timeit
from dataclasses import asdict, replace
from itertools import count, groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import PromptError
from engine.prompt import BREAK, parse_negative, parse_prompt, tagged, untagged, written
from engine.types import AdapterUse, Request

from .families import FAMILIES

_PARTS = [*"()[]:|\\<> ab1.", "BREAK", " AND ", "[a:b:3]", "[a|b]", ":1.3)", "<lora:ink:0.5>", "<lo", "ra:x>", "<a:b>"]
prompts = st.lists(st.sampled_from(_PARTS), max_size=30).map("".join) | st.text(max_size=60)
weights = st.floats(-10, 10, allow_nan=False)
names = st.text(max_size=12).map(lambda text: f"n{text}n").filter(lambda name: not set(name) & set(":>"))


places = st.lists(st.floats(0, 1), min_size=1, max_size=4, unique=True) | st.lists(
    st.floats(0, 150), min_size=1, max_size=4, unique=True
)
curves = st.just(()) | places.flatmap(lambda at: st.tuples(*[st.tuples(weights, st.just(place)) for place in at]))
steps = st.none() | st.integers(0, 150) | st.floats(0, 1)


@st.composite
def uses(draw: st.DrawFn, name: str) -> AdapterUse:
    start, stop = draw(steps), draw(steps)
    if start is not None and stop is not None and start >= stop:
        start = None
    length = draw(st.sampled_from((0, 12, 17, 20, 26)))
    return AdapterUse(
        name,
        draw(weights),
        draw(st.none() | weights),
        curve=draw(curves),
        te_curve=draw(curves),
        hires=draw(curves),
        hires_te=draw(curves),
        blocks=draw(st.tuples(*[weights] * length)),
        rank=draw(st.none() | st.integers(1, 300)),
        start=start,
        stop=stop,
    )


@st.composite
def mixes(draw: st.DrawFn) -> tuple[AdapterUse, ...]:
    chosen = draw(st.lists(names, max_size=4, unique_by=str.casefold))
    return tuple(draw(uses(name)) for name in chosen)


@given(prompts, st.integers(1, 12))
def test_every_prompt_means_something_at_every_step(prompt: str, steps: int) -> None:
    for parsed in (parse_prompt(prompt), parse_negative(prompt)):
        schedule = parsed.schedule(steps)
        assert schedule[-1][0] == steps
        for step in range(1, steps + 1):
            subs = parsed.at(step, steps)
            assert subs == next(found for last, found in schedule if step <= last)
            assert all(sub.segments for sub in subs)


@given(prompts, st.integers(1, 12))
def test_a_schedule_goes_forward_and_only_square_brackets_make_stages(prompt: str, steps: int) -> None:
    schedule = parse_prompt(prompt).schedule(steps)
    assert [last for last, _ in schedule] == sorted({last for last, _ in schedule})
    assert len(schedule) == 1 or "[" in prompt


@given(prompts)
def test_neighbouring_segments_differ_in_weight(prompt: str) -> None:
    for sub in parse_prompt(prompt).at(1, 10):
        runs = groupby(sub.segments, key=lambda segment: segment[1])
        assert len(list(runs)) == len(sub.segments)


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\:<"), max_size=80).filter(lambda t: not _special(t)))
def test_text_without_signs_is_kept_letter_by_letter(text: str) -> None:
    parsed = parse_prompt(text)
    assert parsed.text == text
    assert "".join(segment for segment, _ in parsed.at(1, 10)[0].segments) == text.rstrip()


def _special(text: str) -> bool:
    return "AND" in text or "BREAK" in text


@given(prompts)
def test_tags_leave_nothing_behind(prompt: str) -> None:
    text = parse_prompt(prompt).text
    assert parse_prompt(text).adapters == ()
    assert parse_prompt(text).text == text


@given(prompts)
def test_untagged_twice_is_untagged_once(prompt: str) -> None:
    try:
        once = untagged(Request(prompt=prompt))
    except PromptError:
        return
    assert untagged(once) is once


@settings(max_examples=50)
@given(uses("ink"))
def test_a_use_is_read_as_it_was_written(use: AdapterUse) -> None:
    parsed = parse_prompt(written(use))
    assert parsed.errors == ()
    assert parsed.adapters == (use,)


@settings(max_examples=50)
@given(uses("ink"))
def test_a_use_in_its_one_form_stays_in_it(use: AdapterUse) -> None:
    fields = json.loads(json.dumps(asdict(use)))
    assert AdapterUse(**fields) == use
    assert hash(AdapterUse(**fields)) == hash(use)


@settings(max_examples=50)
@given(prompts, mixes())
def test_untagged_undoes_tagged(prompt: str, adapters: tuple[AdapterUse, ...]) -> None:
    request = Request(prompt=parse_prompt(prompt).text, adapters=adapters)
    back = untagged(replace(request, prompt=tagged(request), adapters=()))
    assert back.adapters == adapters
    assert back.prompt.strip(" ") == request.prompt.strip(" ")


def test_a_request_without_tags_stays_the_very_same() -> None:
    request = Request(prompt="a (cat:1.2)", adapters=(AdapterUse("ink", 0.5), AdapterUse("ink", 0.2)))
    assert untagged(request) is request


def test_tags_add_to_the_adapters_listed() -> None:
    listed = (AdapterUse("Ink", 0.5, sha256="ab"), AdapterUse("light", 0.3))
    request = untagged(Request(prompt="a cat <lora:ink:0.2:0.1> <lora:neon:1>", adapters=listed))
    assert request.prompt == "a cat"
    assert request.adapters == (AdapterUse("Ink", 0.6, 0.7, sha256="ab"), *listed[1:], AdapterUse("neon"))


def test_a_bad_tag_is_noted_and_the_others_are_moved() -> None:
    request = untagged(Request(prompt="a <lora:a:x> <lora:b:y> <lora:c>"))
    assert (request.prompt, request.adapters) == ("a", (AdapterUse("c"),))
    assert [note.split(" is left out")[0] for note in request.notes] == [
        "<lora:a:x> at character 3",
        "<lora:b:y> at character 14",
    ]


def test_notes_are_kept_and_bounded() -> None:
    once = untagged(Request(prompt="a <lora:a:x>"))
    twice = untagged(replace(once, prompt="b <lora:b:y>"))
    assert [note[:10] for note in twice.notes] == ["<lora:a:x>", "<lora:b:y>"]
    many = untagged(Request(prompt="<lora:a:x>" * 600))
    assert len(many.notes) == 20
    assert many.notes[-1] == "581 more tags are left out."


@pytest.mark.parametrize(
    ("tag", "why"), [("<lora:ink:6>", "between -10 and 10"), ("<lora:ink:1:start=5>", "asked for twice")]
)
def test_a_tag_that_does_not_add_to_what_is_listed_is_noted(tag: str, why: str) -> None:
    request = untagged(Request(prompt=tag, adapters=(AdapterUse("ink", 6.0),)))
    assert request.adapters == (AdapterUse("ink", 6.0),)
    assert len(request.notes) == 1
    assert why in request.notes[0]


def test_too_many_parts_are_still_refused() -> None:
    with pytest.raises(PromptError, match="16 is the most"):
        untagged(Request(prompt=" AND ".join("a" * 17) + "<lora:ink>"))


def test_tagged_writes_what_people_write() -> None:
    mix = (AdapterUse("MoXinV1", 0.5), AdapterUse("light_and_shadow"), AdapterUse("ink", 0.8, 0.4))
    request = Request(prompt="a cat", adapters=mix)
    assert tagged(request) == "a cat <lora:MoXinV1:0.5> <lora:light_and_shadow:1> <lora:ink:0.4:0.8>"
    for tag in (
        "<lora:a:0@0,1@0.5>",
        "<lora:a:1:0.5:dyn=4:hr=2>",
        "<lora:a:1:hrte=0.5:hrunet=0.25>",
        "<lora:a:1:lbw=1,0,0,0,0,0,0,0,0,0,0,0.5:start=5:stop=10>",
        "<lora:a:1:lbw=1,0,0,0,0,0,0,1,0,0,0,0,0,0,0,0,0.5:stop=0.4>",
    ):
        assert written(parse_prompt(tag).adapters[0]) == tag


def test_a_prompt_that_would_swallow_its_tags_comes_after_them() -> None:
    request = Request(prompt="a <lora:open", adapters=(AdapterUse("ink", 0.5),))
    assert tagged(request) == "<lora:ink:0.5> a <lora:open"


def test_weights_stay_finite() -> None:
    for prompt in ("(" * 2999 + "a" + ":9)" * 1000, "(" * 9000 + "a", "(a:" + "9" * 400 + ")", "a:" + "9" * 400):
        for sub in parse_prompt(prompt).at(1, 10):
            assert abs(sub.weight) <= 1e6
            assert all(abs(weight) < float("inf") for _, weight in sub.segments)


def test_nesting_has_no_bottom() -> None:
    for depth in (50, 2000):
        (sub,) = parse_prompt("(" * depth + "a" + ")" * depth).at(1, 10)
        ((text, weight),) = sub.segments
        assert text == "a"
        assert weight == pytest.approx(1.1**depth)
    (sub,) = parse_prompt("[" * 2000 + "a" + ":b:5]" * 2000).at(6, 10)
    assert sub.segments == (("b", 1.0),)


def test_deep_nesting_weighs_each_piece_by_the_brackets_around_it() -> None:
    depth = 300
    (sub,) = parse_prompt("".join(f"({i} " for i in range(depth)) + "[x" + ":1.1)" * depth + "]").at(1, 10)
    expected = [pytest.approx(1.1 ** (i + 1)) for i in range(depth)] + [pytest.approx(1.1 ** (depth - 1))]
    assert [weight for _, weight in sub.segments] == expected


def test_a_break_is_what_the_package_says_it_is() -> None:
    assert parse_prompt("a BREAK b").at(1, 1)[0].segments[1] == BREAK


_salt = count()


def _seconds(prompt: str) -> float:
    """Processor time to read a prompt, with a number in front so that no cache knows it."""

    def read() -> None:
        parse_prompt(f"{next(_salt)} {prompt}").schedule(4)

    return min(timeit.repeat(read, number=1, repeat=3, timer=time.thread_time))


@pytest.mark.parametrize("family", FAMILIES)
def test_time_grows_with_the_length_and_not_with_its_square(family: str) -> None:
    short, long = (_seconds(FAMILIES[family](length)) for length in (2000, 32_000))
    assert long < 16 * 5 * max(short, 0.0005)
