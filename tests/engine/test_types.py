"""The values of the seam: frozen, and no bad value gets in."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import engine
from engine import SAMPLERS, SCHEDULES, AdapterUse, BadRequest, Failed, Request
from engine.types import MAX_SEED, alone, seeded


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("width", 100, "100 pixels"),
        ("width", 56, "56 pixels"),
        ("height", 4096, "4096 pixels"),
        ("steps", 0, "0 steps"),
        ("steps", 151, "151 steps"),
        ("count", 5, "5 pictures"),
        ("cfg", -1.0, "cfg of -1"),
        ("seed", -1, "Seed -1"),
        ("seed", 2**32, "Seed 4294967296"),
        ("strength", 1.5, "strength of 1.5"),
        ("sampler", "Magic", "'Magic'"),
        ("sampler", "Magic Karras", "'Magic Karras'"),
        ("schedule", "Magic", "'Magic'"),
        ("noise", "GPU", "'GPU'"),
        ("eta", 1.5, "eta of 1.5"),
        ("ensd", -1, "delta of -1"),
        ("variation_seed", -1, "Variation seed -1"),
        ("variation_strength", 1.5, "strength of 1.5"),
        ("cfg_rescale", -0.5, "rescale of -0.5"),
        ("prompt", "x" * 6001, "6001 characters"),
        ("negative", "x" * 6001, "negative prompt"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(field: str, value: Any, named: str) -> None:
    """Discord's own limits are only the client's; the request checks them again."""
    with pytest.raises(BadRequest, match=named):
        Request(**{"prompt": "x", field: value})


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_schedule_behind_its_sampler_is_taken_apart(sampler: str, schedule: str) -> None:
    """The WebUI's names before 1.9, of which some begin alike: "DPM++ 2M SDE Karras"."""
    request = Request(prompt="x", sampler=f"{sampler} {schedule}")
    assert (request.sampler, request.schedule) == (sampler, schedule)
    assert request == Request(prompt="x", sampler=sampler, schedule=schedule)
    assert request == Request(prompt="x", sampler=f"{sampler} {schedule}", schedule=schedule)


def test_two_schedules_at_once_are_refused() -> None:
    """One in the sampler's name and another beside it."""
    with pytest.raises(BadRequest, match=r"Karras in its name.*Simple"):
        Request(prompt="x", sampler="Euler Karras", schedule="Simple")


def test_a_request_is_given_the_seeds_that_it_lacks() -> None:
    """And keeps those that it has; a variation seed only where it varies."""
    numbers = iter((5, 6))
    assert seeded(Request(prompt="x", variation_strength=0.1), lambda: next(numbers)) == Request(
        prompt="x", seed=5, variation_seed=6, variation_strength=0.1
    )
    full = Request(prompt="x", seed=1, variation_seed=2, variation_strength=0.1)
    assert seeded(full, lambda: 9) == full
    assert seeded(Request(prompt="x", seed=1), lambda: 9).variation_seed is None


def test_a_picture_of_a_batch_is_a_request_of_its_own() -> None:
    """Seeds count up and begin anew at the end; of variations it is the variation's seed."""
    batch = Request(prompt="x", seed=MAX_SEED, count=3)
    assert alone(batch, 1) == Request(prompt="x", seed=0)
    varied = Request(prompt="x", seed=7, variation_seed=2, variation_strength=0.1, count=3)
    assert alone(varied, 2) == Request(prompt="x", seed=7, variation_seed=4, variation_strength=0.1)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 11.0, -10.5])
def test_a_weight_that_is_no_weight_is_refused(weight: float) -> None:
    """NaN would make every picture black."""
    with pytest.raises(BadRequest, match="ink"):
        AdapterUse("ink", weight)


def test_every_value_of_the_seam_is_frozen() -> None:
    """Nothing mutable crosses between threads."""
    values = [v for v in vars(engine.types).values() if dataclasses.is_dataclass(v) and isinstance(v, type)]
    assert len(values) > 10
    assert all(v.__dataclass_params__.frozen for v in values)


def test_a_failure_comes_out_as_the_error_it_was() -> None:
    """The error's class and sentence survive the way over the seam."""
    error = Failed("job", 1, "AdapterNotFound", "No adapter is called x.").exception()
    assert isinstance(error, engine.AdapterNotFound)
    assert str(error) == "No adapter is called x."


def test_the_error_tree_in_the_docstring_is_the_error_tree() -> None:
    """Every error class is drawn, and nothing is drawn that does not exist."""
    drawn = {
        word
        for line in (engine.errors.__doc__ or "").splitlines()[2:]
        for word in line.replace("│", " ").split()[:2]
        if word[:1].isupper()
    }
    drawn |= {line.split("── ")[1].split()[0] for line in (engine.errors.__doc__ or "").splitlines() if "── " in line}
    exists = {
        name for name, value in vars(engine.errors).items() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert exists <= drawn
    assert set(engine.errors.ERRORS) == exists - {"Cancelled"}
