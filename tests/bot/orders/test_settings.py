"""What the levels make together, for any levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.orders import Bounds, Level, SettingRefused, Settings
from bot.orders.settings import LIMITS, NAMES, NOTHING, from_json, in_force, to_json
from engine import SAMPLERS, BadRequest, Request

MODELS, FILES = ("a", "b", "c"), ("1" * 64, "2" * 64, "3" * 64)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


def some(names: tuple[str, ...]) -> st.SearchStrategy[object]:
    return maybe(st.lists(st.sampled_from(names), unique=True).map(tuple))


@st.composite
def levels(draw: st.DrawFn) -> Settings:
    size = draw(maybe(st.sampled_from(((512, 512), (512, 768)))))
    width, height = size or (None, None)  # type: ignore[misc]
    values = {
        "model": maybe(st.sampled_from(MODELS)),
        "negative": maybe(st.sampled_from(("", "blurry"))),
        "steps": maybe(st.integers(1, 150)),
        "cfg": maybe(st.floats(0, 50)),
        "sampler": maybe(st.sampled_from(SAMPLERS)),
        "models": some(MODELS),
        "adapters": some(FILES),
        "jobs_per_member": maybe(st.integers(1, 1000)),
        "seconds_per_day": maybe(st.integers(1, 86400)),
        "mature": maybe(st.booleans()),
        "real_people": maybe(st.booleans()),
        "language": maybe(st.sampled_from(("en-US", "zh-CN"))),
    }
    return Settings(width=width, height=height, **{name: draw(value) for name, value in values.items()})  # type: ignore[arg-type]


def allows_no_more(narrow: object, wide: object) -> bool:
    """Whether whatever the one limit lets through, the other does."""
    if wide is None or narrow is None:
        return wide is None
    if isinstance(wide, tuple):
        return set(narrow) <= set(wide)  # type: ignore[call-overload]
    return narrow <= wide  # type: ignore[operator]


chains = st.lists(levels(), min_size=1, max_size=4).map(lambda said: list(zip(Level, said, strict=False)))


@given(chains)
def test_a_narrower_level_never_widens_a_limit(chain: list[tuple[Level, Settings]]) -> None:
    """Whatever it says, no limit of the levels before it allows more."""
    before, after = in_force(chain[:-1]).settings, in_force(chain).settings
    for name in LIMITS:
        assert allows_no_more(getattr(after, name), getattr(before, name)), name


@given(chains)
def test_a_level_that_says_something_about_a_limit_is_kept_to(chain: list[tuple[Level, Settings]]) -> None:
    """The limit in force allows no more than any level that speaks of it."""
    result = in_force(chain).settings
    for _, said in chain:
        for name in LIMITS:
            assert getattr(said, name) is None or allows_no_more(getattr(result, name), getattr(said, name)), name


@given(chains)
def test_a_default_is_as_the_narrowest_level_has_it(chain: list[tuple[Level, Settings]]) -> None:
    """And comes from that level; the model is checked by the next test."""
    result = in_force(chain)
    for name in ("negative", "size", "steps", "cfg", "sampler", "language"):
        said = [(getattr(one, name), level) for level, one in chain if getattr(one, name) is not None]
        value, level = said[-1] if said else (None, None)
        assert (getattr(result.settings, name), result.sources.get(name)) == (value, level)


@given(chains)
def test_the_default_model_is_one_that_may_be_used(chain: list[tuple[Level, Settings]]) -> None:
    """Where any may; and it is somebody's wish where such a wish is allowed."""
    result = in_force(chain).settings
    wishes = [said.model for _, said in chain if said.model is not None]
    if result.models:
        assert result.model in result.models
        allowed = [wish for wish in wishes if wish in result.models]
        assert not allowed or result.model == allowed[-1]
    elif wishes:
        assert result.model == wishes[-1]


@given(chains, st.integers(0, 4))
def test_a_level_that_says_nothing_changes_nothing(chain: list[tuple[Level, Settings]], place: int) -> None:
    """Wherever it stands, and it is nobody's source."""
    with_nothing = [*chain[:place], (Level.MEMBER, NOTHING), *chain[place:]]
    assert in_force(with_nothing) == in_force(chain)


@given(chains)
def test_the_source_of_a_setting_says_it(chain: list[tuple[Level, Settings]]) -> None:
    """Every setting in force comes from a level that speaks of it, and none that is not in force has a source."""
    result = in_force(chain)
    by_level = dict(chain)
    for name in NAMES:
        if name in result.sources and name != "model":
            assert name in by_level[result.sources[name]].said
        assert (getattr(result.settings, name) is None) == (name not in result.sources)


@given(levels())
def test_json_holds_a_level_without_loss(level: Settings) -> None:
    assert from_json(to_json(level)) == level


@given(levels(), levels())
def test_saying_and_resetting_are_inverses(level: Settings, change: Settings) -> None:
    """Of what the level did not say before."""
    new = change.without(level.said)
    assert new.over(level).without(new.said) == level


@given(levels())
def test_a_request_has_what_was_given_and_the_rest_from_the_settings(level: Settings) -> None:
    """What neither says is the engine's own default."""
    request = level.request("a fox", steps=7, size=(64, 128), seed=3)
    assert (request.steps, request.width, request.height, request.seed, request.count) == (7, 64, 128, 3, 1)
    usual = Request(prompt="a fox")
    for name in ("model", "negative", "cfg", "sampler"):
        said = getattr(level, name)
        assert getattr(request, name) == (getattr(usual, name) if said is None else said)


def test_an_empty_negative_prompt_given_is_given() -> None:
    """It is not "not given", and so is a cfg of 0."""
    request = Settings(negative="blurry", cfg=9).request("a fox", negative="", cfg=0.0)
    assert (request.negative, request.cfg) == ("", 0.0)


def test_bounds_within_settings_are_no_wider() -> None:
    bounds = Bounds(per_member=5, per_guild=7, seconds=100, role_seconds={1: None})
    assert Settings(jobs_per_member=9, seconds_per_day=60).within(bounds) == Bounds(5, 7, None, 60)
    assert Settings(jobs_per_member=2).within(bounds).per_member == 2


@pytest.mark.parametrize(
    ("level", "error"),
    [
        (Settings(steps=0), BadRequest),
        (Settings(cfg=51.0), BadRequest),
        (Settings(width=100, height=100), BadRequest),
        (Settings(negative="x" * 6001), BadRequest),
        (Settings(sampler="DPM++ 9M"), BadRequest),
        (Settings(sampler="DPM++ 2M Karras"), SettingRefused),
        (Settings(jobs_per_member=0), SettingRefused),
        (Settings(seconds_per_day=86401), SettingRefused),
        (Settings(language="klingon!"), SettingRefused),
    ],
)
def test_a_value_that_no_order_could_have_is_refused(level: Settings, error: type[Exception]) -> None:
    with pytest.raises(error):
        level.checked()


@given(levels())
def test_what_may_be_said_passes(level: Settings) -> None:
    assert level.checked() is level
