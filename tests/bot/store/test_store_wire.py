"""Requests on their way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.store.wire import from_json, to_json
from engine import NOISES, SAMPLERS, SCHEDULES, UPSCALERS, AdapterUse, Axis, Grid, Hires, Request

weights = st.floats(-10, 10)
sides = st.none() | st.integers(8, 256).map(lambda eighth: eighth * 8)
curves = st.lists(st.tuples(weights, st.floats(0, 1)), max_size=3, unique_by=lambda point: point[1]).map(tuple)
uses = st.builds(
    AdapterUse,
    st.text(max_size=20),
    weights,
    st.none() | weights,
    st.sampled_from(["", "ab" * 32]),
    curve=curves,
    te_curve=curves,
    hires=curves,
    hires_te=curves,
    blocks=st.sampled_from([(), (0.5,) * 12, (0.0,) * 17]),
    rank=st.none() | st.integers(1, 64),
    start=st.none() | st.floats(0, 0.5),
    stop=st.none() | st.integers(1, 150),
)
axes = st.one_of(
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(lambda seeds: Axis("seed", tuple(seeds))),
    st.lists(weights, min_size=1, max_size=4, unique=True).map(lambda ws: Axis("weight ink", tuple(ws))),
)
grids = st.builds(Grid, axes, st.none() | st.just(Axis("sampler", SAMPLERS[:2])), keep=st.booleans())
hires = st.builds(Hires, st.floats(1.1, 2), st.floats(0, 1), st.integers(0, 150), st.sampled_from(UPSCALERS))
sent = st.tuples(st.none(), st.none()) | st.tuples(st.binary(max_size=50), st.none() | st.binary(max_size=50))
plain = st.builds(
    Request,
    prompt=st.text(max_size=50),
    negative=st.text(max_size=50),
    adapters=st.lists(uses, max_size=3).map(tuple),
    model=st.text(max_size=10),
    width=sides,
    height=sides,
    steps=st.integers(1, 150),
    cfg=st.none() | st.floats(0, 50),
    sampler=st.sampled_from(SAMPLERS),
    seed=st.none() | st.integers(0, 2**32 - 1),
    count=st.integers(1, 4),
    strength=st.floats(0, 1),
    schedule=st.sampled_from(["", *SCHEDULES]),
    eta=st.none() | st.floats(0, 1),
    ensd=st.integers(0, 2**32 - 1),
    noise=st.sampled_from(NOISES),
    variation_seed=st.none() | st.integers(0, 2**32 - 1),
    variation_strength=st.floats(0, 1),
    cfg_rescale=st.floats(0, 1),
    known=st.lists(uses, max_size=2).map(tuple),
    notes=st.lists(st.text(max_size=20), max_size=2).map(tuple),
    vae=st.text(max_size=10),
    clip_skip=st.integers(1, 12),
    mask_blur=st.integers(0, 64),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """With a picture, a mask, hires fix or a grid, as far as they go together."""
    request = draw(plain)
    image, mask = draw(sent)
    second = draw(st.none() | hires) if mask is None and max(request.width or 0, request.height or 0) <= 1024 else None
    grid = draw(st.none() | grids) if request.count == 1 else None
    return replace(request, image=image, mask=mask, hires=second, grid=grid)


@given(requests())
def test_a_request_survives_json(request: Request) -> None:
    """To JSON text and back is the identity; picture bytes go beside it."""
    assert from_json(json.loads(json.dumps(to_json(request))), request.image, request.mask) == request


def test_a_sheet_of_an_older_version_knows_the_files_of_its_axes() -> None:
    """They were the grid's then."""
    request = Request(prompt="a", known=(AdapterUse("ink", sha256="ab"),), grid=Grid(Axis("weight ink", (0.5,))))
    fields = json.loads(json.dumps(to_json(request)))
    fields["grid"]["adapters"] = fields.pop("known")
    assert from_json(fields) == request


def test_a_job_stored_under_an_older_samplers_name_is_still_read() -> None:
    """The name that held the schedule is taken apart."""
    stored = to_json(Request(prompt="a")) | {"sampler": "DPM++ 2M SDE Karras"}
    assert from_json(stored) == Request(prompt="a", sampler="DPM++ 2M SDE", schedule="Karras")


def test_a_row_of_before_is_read() -> None:
    """Uses that were written when they had a name, weights and a hash alone."""
    old = {"name": "ink", "weight": 0.5, "te_weight": 0.5, "sha256": "ab" * 32}
    request = from_json({"prompt": "a", "adapters": [old]})
    assert request == Request(prompt="a", adapters=(AdapterUse("ink", 0.5, sha256="ab" * 32),))


def test_an_unknown_field_is_refused() -> None:
    """A field from a later version is an error and not silently lost."""
    with pytest.raises(TypeError, match="wings"):
        from_json(to_json(Request(prompt="a")) | {"wings": 2})
