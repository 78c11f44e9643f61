"""What a request costs, and how its progress is counted."""

from __future__ import annotations

import pytest

from engine import Axis, Grid, Hires, Progress, Request, cost
from engine.work import Meter, Pass, passes

ONE = Request(prompt="a", steps=10, width=128, height=128)


def test_cost_grows_with_steps_pixels_and_pictures() -> None:
    """Twice of any of them is twice the work."""
    for more in ({"steps": 20}, {"width": 256}, {"height": 256}, {"count": 2}):
        fields = {"steps": 10, "width": 128, "height": 128} | more
        assert cost(Request(prompt="a", **fields)) == pytest.approx(2 * cost(ONE))  # type: ignore[arg-type]


def test_a_grid_costs_what_its_cells_cost() -> None:
    """So that who orders sixteen pictures at once waits like one who orders them one by one."""
    grid = Request(prompt="a", width=128, height=128, grid=Grid(Axis("steps", (10, 30)), Axis("seed", (1, 2))))
    assert cost(grid) == pytest.approx(8 * cost(ONE))


def test_hires_fix_costs_its_second_pass_at_its_size() -> None:
    """Four times the pixels, as many steps unless it says otherwise, none at strength 0."""
    for hires, times in ((Hires(2.0), 5), (Hires(2.0, steps=5), 3), (Hires(2.0, strength=0), 1)):
        asked = Request(prompt="a", steps=10, width=128, height=128, hires=hires)
        assert cost(asked) == pytest.approx(times * cost(ONE))


def test_a_picture_that_is_changed_a_little_costs_a_little() -> None:
    """Strength leaves steps out."""
    asked = Request(prompt="a", steps=10, width=128, height=128, image=b"x", strength=0.5)
    assert cost(asked) == pytest.approx(cost(ONE) / 2)


def test_progress_runs_from_one_to_the_end_over_all_passes() -> None:
    """Also where a sampler makes two steps of one."""
    seen: list[Progress] = []
    request = Request(prompt="a", steps=3, width=128, height=128, hires=Hires(2.0, steps=2))
    meter = Meter(request, seen.append)
    for one, real in zip(passes(request), (5, 2), strict=True):
        meter.begin(one)
        for step in range(1, real + 1):
            meter.tell(step, real, None)
    assert passes(request) == (Pass(3, 128 * 128), Pass(2, 256 * 256))
    assert [progress.step for progress in seen] == [0, 1, 1, 2, 3, 4, 5]
    assert {progress.steps for progress in seen} == {5}
