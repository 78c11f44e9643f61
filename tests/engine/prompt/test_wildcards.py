"""Wildcards and variants: what a seed makes of a prompt."""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest, PromptError
from engine.folders import Wildcards
from engine.prompt import expand, expanded, parse_prompt
from engine.types import MAX_SEED, Request

from .families import CHOICES, FAMILIES, FILES

BIRDS = {"bird": ("owl", "crow"), "place/sea": ("the sea",), "kind_of_bird": ("__bird__",)}

# prompt -> everything that seeds make of it
EXPANSIONS: dict[str, set[str]] = {
    "": {""},
    "a cat": {"a cat"},
    "{a|b}": {"a", "b"},
    "x{a|b}y": {"xay", "xby"},
    "{a|b|}": {"a", "b", ""},
    "{ a | b }": {" a ", " b "},
    "{a|{b|c}}": {"a", "b", "c"},
    "{{a|b}|c} d": {"a d", "b d", "c d"},
    "{a|b} {c|d}": {"a c", "a d", "b c", "b d"},
    # weights
    "{0::a|b}": {"b"},
    "{1::a|0::b|0::c}": {"a"},
    "{0.5::a|.5::b}": {"a", "b"},
    "{ 2::a|b}": {"a", "b"},
    "{a::b|c}": {"a::b", "c"},
    # counts
    "{2$$a|b}": {"a, b", "b, a"},
    "{1$$a|b}": {"a", "b"},
    "{0$$a|b}": {""},
    "{1-2$$a|b}": {"a", "b", "a, b", "b, a"},
    "{2-1$$a|b}": {"a", "b", "a, b", "b, a"},
    "{2$$ and $$a|b}": {"a and b", "b and a"},
    "{1$$a}": {"a"},
    "{2$$0::a|b|c}": {"b, c", "c, b"},
    # braces that choose nothing are text
    "{a}": {"{a}"},
    "{{a}}, {b}": {"{{a}}, {b}"},
    "{{a|b}}": {"{a}", "{b}"},
    "{a$$b}": {"{a$$b}"},
    "{a$$b|c}": {"a$$b", "c"},
    "{a|b": {"{a|b"},
    "a|b}": {"a|b}"},
    "{{a|b}": {"{a", "{b"},
    "$$ | {}": {"$$ | {}"},
    # escapes stay, for weighting to drop
    r"\{a|b\}": {r"\{a|b\}"},
    r"{a\|b|c}": {r"a\|b", "c"},
    r"{\{|\}}": {r"\{", r"\}"},
    # what others read is left to them
    "(a:1.2) [b|c] [d:e:5] {f|g} <lora:x:1>": {f"(a:1.2) [b|c] [d:e:5] {x} <lora:x:1>" for x in "fg"},
    "{<lora:a:1>|<lora:b:1>}": {"<lora:a:1>", "<lora:b:1>"},
    # wildcards
    "an __bird__": {"an owl", "an crow"},
    "__place/sea__": {"the sea"},
    "__kind_of_bird__!": {"owl!", "crow!"},
    "__bird____bird__": {a + b for a in BIRDS["bird"] for b in BIRDS["bird"]},
    "{__bird__|__place/sea__}": {"owl", "crow", "the sea"},
    "^__^, >__<, a__b, ____, __ bird__": {"^__^, >__<, a__b, ____, __ bird__"},
}


@pytest.mark.parametrize(("prompt", "expected"), EXPANSIONS.items())
def test_seeds_make_of_a_prompt_what_it_allows_and_nothing_else(prompt: str, expected: set[str]) -> None:
    assert {expand(prompt, seed, BIRDS) for seed in range(60)} == expected


def test_weights_are_odds() -> None:
    counts = Counter(expand("{3::a|b}", seed, {}) for seed in range(4000))
    assert counts["a"] == pytest.approx(3000, abs=120)  # four standard deviations
    lines = Counter(expand("__w__", seed, {"w": ("3::a", "b")}) for seed in range(4000))
    assert lines["a"] == pytest.approx(3000, abs=120)
    first = Counter(expand("{2$$3::a|b|b}", seed, {})[0] for seed in range(4000))
    assert first["a"] == pytest.approx(2400, abs=130)


def test_a_seed_always_chooses_the_same() -> None:
    """Across versions too: infotexts and histories hold seeds for years."""
    assert [expand("{a|b|c|d} __n__ {2$$x|y|z}", seed, {"n": tuple("0123456789")}) for seed in (0, 1, 2**32 - 1)] == [
        "d 7 y, x",
        "a 8 y, z",
        "c 2 y, z",
    ]


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("__brid__", "no wildcard __brid__ here. Did you mean __bird__"),
        ("__zzzz__", "no wildcard __zzzz__ here.$"),
        ("__../../etc/passwd__", "no wildcard"),
        ("__empty__", "__empty__ has no lines"),
        ("__a__", "in a circle: a → b → a"),
        ("__two__", "stand for more than 12000 characters"),
        ("{3$$a|b}", r"\{3\$\$…\} asks for 3 of 2 options"),
        ("{2$$0::a|b}", "asks for 2 of 2"),
        ("{0::a|0::b}", "add up to 0"),
        ("__long__" * 2, "more than 12000 characters"),
    ],
)
def test_what_cannot_be_expanded_is_refused_by_name(prompt: str, sentence: str) -> None:
    files: dict[str, tuple[str, ...]] = {"empty": (), "a": ("__b__",), "b": ("x __a__",), "long": ("x" * 5999,)}
    doubled = {f"t{i}": (f"__t{i + 1}__ __t{i + 1}__",) for i in range(30)}
    with pytest.raises(PromptError, match=sentence):
        expand(prompt, 1, BIRDS | files | doubled | {"two": ("__t0__",), "t30": ("",)})


_PARTS = [*"{}|$_\\ ab(", "$$", "__bird__", "{a|b}", "{2$$", "2::", "__", r"\{"]
prompts = st.lists(st.sampled_from(_PARTS), max_size=25).map("".join)


@given(prompts, st.integers(0, MAX_SEED))
def test_every_prompt_expands_or_is_refused_with_a_sentence(prompt: str, seed: int) -> None:
    def outcome() -> str:
        try:
            return expand(prompt, seed, BIRDS)
        except PromptError as error:
            return f"refused: {error}"

    first = outcome()
    assert first == outcome()
    assert first.endswith(".") or not first.startswith("refused: ")


@given(st.lists(st.sampled_from(["{a|b}", "{2$$a|b|c}", "x", " ", "{", "__bird__", r"\{", r"\|"]), max_size=9))
def test_what_was_expanded_is_plain(parts: list[str]) -> None:
    """An infotext holds the expanded prompt; drawn again from there it is the same."""
    once = expand(" ".join(parts), 3, BIRDS)
    assert expand(once, 4, BIRDS) == once


def test_an_escaped_brace_reaches_the_text_encoder_without_its_backslash() -> None:
    (sub,) = parse_prompt(expand(r"\{a|b\}", 1, {})).at(1, 1)
    assert sub.segments == (("{a|b}", 1.0),)


def test_each_picture_of_a_request_draws_for_itself() -> None:
    request = Request(prompt="{a|b|c|d|e|f} cat", negative="{x|y} {x|y}", seed=MAX_SEED - 1, count=4)
    drawn = [expanded(request, i, {}) for i in range(4)]
    seeds = (MAX_SEED - 1, MAX_SEED, 0, 1)
    assert [one.prompt for one in drawn] == [expand(request.prompt, seed, {}) for seed in seeds]
    assert [one.negative for one in drawn] == [expand(request.negative, seed, {}) for seed in seeds]
    assert len({one.prompt for one in drawn}) > 1
    plain = Request(prompt="a {cat}", seed=1)
    assert expanded(plain, 0, {}) is plain


def test_a_prompt_that_becomes_too_long_is_refused() -> None:
    with pytest.raises(BadRequest, match="6000 is the most"):
        expanded(Request(prompt="__x__ __x__", seed=1), 0, {"x": ("y" * 4000,)})


def test_nesting_has_no_bottom() -> None:
    depth = 2000
    assert expand("{x|" * depth + "y" + "}" * depth, 5, {}) in ("x", "y")
    assert expand("{" * depth + "{a|b}" + "}" * depth, 5, {}).strip("{}") in ("a", "b")
    chain = {f"w{i}": (f"__w{i + 1}__",) for i in range(400)}
    assert expand("__w0__", 5, chain | {"w400": ("end",)}) == "end"


@pytest.mark.parametrize("family", [*FAMILIES, *CHOICES])
def test_expanding_takes_time_in_proportion_to_the_length(family: str) -> None:
    make = (FAMILIES | CHOICES)[family]
    short, long = (_seconds(make(length)) for length in (2000, 32_000))
    assert long < 16 * 5 * max(short, 0.0005)


def _seconds(prompt: str) -> float:
    """Processor time, without collections of everything else that this process holds."""
    times = []
    gc.disable()
    for seed in range(3):
        began = time.thread_time()
        with suppress(PromptError):  # a refusal must be quick too
            expand(prompt, seed, FILES)
        times.append(time.thread_time() - began)
    gc.enable()
    return min(times)


# ------------------------------------------------------------------------------------------------ files


def test_files_are_found_by_their_path_in_any_case(tmp_path: Path) -> None:
    """Comments, blank lines and the mark that Windows writes in front are no lines; the first folder wins."""
    (tmp_path / "one" / "Place").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "Place" / "Sea.txt").write_text("\ufeff# what\n\n  the sea  \r\na lake\n", encoding="utf-8")
    (tmp_path / "one" / "bird.txt").write_text("owl")
    (tmp_path / "two" / "bird.txt").write_text("crow")
    (tmp_path / "two" / "notes.md").write_text("no wildcard")
    files = Wildcards((tmp_path / "one", tmp_path / "two", tmp_path / "none"))
    assert dict(files) == {"place/sea": ("the sea", "a lake"), "bird": ("owl",)}
    assert expand("__BIRD__ on __place/sea__", 1, files) in ("owl on the sea", "owl on a lake")


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    """Neither dots, nor a full path, nor a link."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    home = tmp_path / "home"
    home.mkdir()
    (home / "link.txt").symlink_to(secret)
    (home / "linked").symlink_to(tmp_path)
    files = Wildcards((home,))
    for name in ("../secret", "link", "linked/secret", f"{tmp_path}/secret", "./../secret"):
        with pytest.raises(PromptError, match="no wildcard"):
            expand(f"__{name.replace('__', '_')}__", 1, files)
    assert len(files) == 0


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By the name that the prompt has for it."""
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(PromptError, match="__bad__ cannot be read as UTF-8"):
        expand("__bad__", 1, Wildcards((tmp_path,)))
