"""Grids: axes as people type them, cells as plain requests."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import AdapterUse, Axis, BadRequest, Grid, Request, read_axis
from engine.grid import described


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("seed: 1, 2,5", "seed", (1, 2, 5)),
        ("seed: 1-4", "seed", (1, 2, 3, 4)),
        ("seed: 1-5 (+2)", "seed", (1, 3, 5)),
        ("steps: 10-40 [4]", "steps", (10, 20, 30, 40)),
        ("steps: 1-10 [4]", "steps", (1, 4, 7, 10)),
        ("Steps : 20, 30 - 32, 50", "steps", (20, 30, 31, 32, 50)),
        ("steps: 3-1", "steps", (3, 2, 1)),
        ("cfg: 2-3 (+0.5)", "cfg", (2.0, 2.5, 3.0)),
        ("cfg: 3-2 (-0.5)", "cfg", (3.0, 2.5, 2.0)),
        ("strength: 0-1 [5]", "strength", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("weight ink: -1-1", "weight ink", (-1.0, 0.0, 1.0)),
        ("WEIGHT My Style: 0.5", "weight My Style", (0.5,)),
        ("sampler: DDIM, DPM++ 2M", "sampler", ("DDIM", "DPM++ 2M")),
        ("adapter: none, ink:0.5", "adapter", ("none", "ink:0.5")),
        ('prompt: red, "blue, dark", green', "prompt", ("red", "blue, dark", "green")),
        ("vae: , mse", "vae", ("", "mse")),
    ],
)
def test_an_axis_is_read_as_the_webui_reads_it(text: str, kind: str, values: tuple[Any, ...]) -> None:
    """Lists, ranges, steps of a range, numbers of values, quotes."""
    assert read_axis(text) == Axis(kind, values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1, 2", "what it runs over"),
        ("stepps: 1", "cannot run over 'stepps'.*weight NAME, adapter, seed"),
        ("weight: 1", "cannot run over 'weight'"),
        ("steps: 1.5", "whole number"),
        ("steps: ten", "'ten'"),
        ("steps: 1,,2", "''"),
        ("seed: 1-30", "30 values; 25 is the most"),
        ("seed: 1-100 [30]", "30 values"),
        ("cfg: 1-2 (+0)", "steps of 0"),
        ("cfg: " + "9" * 400, "write a number"),
        ("seed: 1, 1", "comes twice"),
        ("seed: 1-2 [2], 2", "comes twice"),
        ("seed:", "seed has 0"),
    ],
)
def test_an_axis_that_cannot_be_read_is_refused_with_what_to_do(text: str, words: str) -> None:
    """And never takes longer than it may: numbers have few digits."""
    with pytest.raises(BadRequest, match=words):
        read_axis(text)


@pytest.mark.parametrize("values", [(), ("a",), (True,), (float("nan"),), (float("inf"),), (1.5,), tuple(range(26))])
def test_values_of_a_script_are_checked_like_those_of_a_member(values: tuple[Any, ...]) -> None:
    """An Axis made by hand is as good as one that was read."""
    with pytest.raises(BadRequest):
        Axis("seed", values)


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_an_axis_is_written_as_it_is_read(values: list[str]) -> None:
    """str and read_axis are inverses, whatever signs the values hold."""
    axis = Axis("prompt", tuple(values))
    assert read_axis(str(axis)) == axis


def test_cells_come_row_by_row_and_are_plain_requests() -> None:
    """Columns are x, rows are y, everything else is the request's."""
    request = Request(prompt="a", seed=3, steps=9, grid=Grid(Axis("cfg", (1, 2)), Axis("seed", (5, 6, 7))))
    assert request.grid is not None
    cells = request.grid.cells(request)
    assert [(cell.seed, cell.cfg) for cell in cells] == [(5, 1), (5, 2), (6, 1), (6, 2), (7, 1), (7, 2)]
    assert cells[0] == Request(prompt="a", seed=5, steps=9, cfg=1.0)
    assert len(request.grid) == 6


def cells(request: dict[str, Any], *axes: Axis, **grid: Any) -> tuple[Request, ...]:
    made = Grid(*axes, **grid)
    return made.cells(Request(prompt="a red flower", **request))


def test_a_weight_axis_changes_the_adapter_where_it_stands_in_the_mix() -> None:
    """Its place and hash stay; text encoder and UNet follow alike."""
    mix = (AdapterUse("Ink", 1.0, 0.2, "ab"), AdapterUse("light"))
    (half,) = cells({"adapters": mix}, Axis("weight ink", (0.5,)))
    assert half.adapters == (AdapterUse("Ink", 0.5, None, "ab"), AdapterUse("light"))


def test_an_adapter_that_the_mix_lacks_joins_it_by_what_is_known_of_it() -> None:
    """By its hash where the request knows one, by its name else; "none" is the mix as it is."""
    none, ink, neon = cells({"known": (AdapterUse("INK", sha256="ab"),)}, Axis("adapter", ("none", "ink:0.5", "neon")))
    assert none.adapters == ()
    assert ink.adapters == (AdapterUse("INK", 0.5, sha256="ab"),)
    assert neon.adapters == (AdapterUse("neon"),)


def test_a_prompt_axis_searches_its_first_value_and_puts_the_others_there() -> None:
    """As the WebUI's Prompt S/R."""
    drawn = cells({"negative": "red fog"}, Axis("prompt", ("red", "blue")))
    assert [(cell.prompt, cell.negative) for cell in drawn] == [
        ("a red flower", "red fog"),
        ("a blue flower", "blue fog"),
    ]


def test_a_prompt_axis_replaces_words_in_tags_too() -> None:
    """The plot of weights that everybody makes; the other axis finds the adapter in its place in the mix."""
    request = Request(prompt="a cat <lora:ink:0.5>", known=(AdapterUse("ink", sha256="ab"),))
    drawn = Grid(Axis("prompt", ("ink:0.5", "ink:1", "neon:1"))).cells(request)
    assert [cell.prompt for cell in drawn] == ["a cat"] * 3
    assert [cell.adapters for cell in drawn] == [
        (AdapterUse("ink", 0.5, sha256="ab"),),
        (AdapterUse("ink", 1.0, sha256="ab"),),
        (AdapterUse("neon", 1.0),),
    ]
    for axes in permutations((Axis("prompt", ("cat", "dog")), Axis("weight ink", (0.1,)))):
        assert {cell.adapters for cell in Grid(*axes).cells(request)} == {(AdapterUse("ink", 0.1, sha256="ab"),)}


def test_tags_that_are_left_to_chance_stay_for_each_picture() -> None:
    (cell,) = Grid(Axis("seed", (1,))).cells(Request(prompt="a {<lora:ink:1>|cat}"))
    assert (cell.prompt, cell.adapters) == ("a {<lora:ink:1>|cat}", ())


@pytest.mark.parametrize(
    ("fields", "grid", "words"),
    [
        ({}, (Axis("prompt", ("green", "blue")),), "'green'.*does not stand in the prompt"),
        ({}, (Axis("steps", (0,)),), "0 steps"),
        ({}, (Axis("sampler", ("Magic",)),), "'Magic'"),
        ({}, (Axis("weight ink", (11.0,)),), "weight of ink is 11"),
        ({}, (Axis("adapter", ("ink:x",)),), "ink:0.5"),
        ({"count": 2}, (Axis("seed", (1,)),), "one picture a cell"),
    ],
)
def test_a_request_with_a_cell_that_cannot_be_is_refused_at_once(
    fields: dict[str, Any], grid: tuple[Axis, ...], words: str
) -> None:
    """Before anything is recorded or drawn."""
    with pytest.raises(BadRequest, match=words):
        Request(prompt="a red flower", grid=Grid(*grid), **fields)


def test_a_grid_has_two_different_axes_and_a_bounded_number_of_cells() -> None:
    """Bounds as for everything."""
    with pytest.raises(BadRequest, match="Both axes run over seed"):
        Grid(Axis("seed", (1,)), Axis("seed", (2,)))
    with pytest.raises(BadRequest, match="121 cells; 100 is the most"):
        Grid(Axis("seed", tuple(range(11))), Axis("steps", tuple(range(1, 12))))


def test_names_of_the_axes_are_known_so_that_they_can_be_looked_up() -> None:
    """Each once, in any case; "none" is none."""
    grid = Grid(Axis("weight Ink", (1.0,)), Axis("adapter", ("none", "ink:0.3", "neon")))
    assert grid.names == ("Ink", "neon")


def test_labels_say_what_the_value_is_of() -> None:
    """Names and prompts speak for themselves."""
    assert read_axis("seed: 1-2").labels == ("seed 1", "seed 2")
    assert read_axis("weight ink: 0-1 [3]").labels == ("ink 0", "ink 0.5", "ink 1")
    assert read_axis("sampler: Euler a").labels == ("Euler a",)
    assert read_axis("clip skip: 2").labels == ("clip skip 2",)


def test_the_infotext_says_the_axes_in_the_webuis_words() -> None:
    """Values in quotes, quotes in them doubled."""
    text = described(Grid(Axis("cfg", (1, 2.5)), Axis("prompt", ("a", 'b "c", d'))))
    assert text.startswith('Script: X/Y/Z plot, X Type: cfg, X Values: "1, 2.5", Y Type: prompt, Y Values: "a, ')
    assert text.count('"') % 2 == 0
