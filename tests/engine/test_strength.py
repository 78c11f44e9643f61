"""Strengths over the steps and by block: the WebUI's rules as numbers."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from engine import AdapterUse, BadRequest
from engine.adapters.spelling import ldm_name
from engine.adapters.table import key_table
from engine.strength import BLOCKS, LAYOUTS, PRESETS, Weights, block_of, blocks_of, in_force, shortest, value_at

from .layouts import sd15, sdxl

_INNER = re.compile(r"(input|output|middle)_blocks?\.(\d+)")


def original_block(name: str, up_attention: tuple[bool, ...]) -> str | None:
    """The block by the module's name in the original code, as sd-webui-lora-block-weight looks for it."""
    match = _INNER.match(ldm_name(name, 2, up_attention) or "")
    if match is None:
        return None
    return "MID" if match[1] == "middle" else f"{'IN' if match[1] == 'input' else 'OUT'}{int(match[2]):02}"


@pytest.mark.parametrize(
    ("layout", "attentions", "lora", "convolutions"),
    [(sd15, (False, True, True, True), 17, 26), (sdxl, (True, True, False), 12, 20)],
)
def test_every_layer_of_a_model_is_in_the_block_of_the_original_code(
    layout: Any, attentions: tuple[bool, ...], lora: int, convolutions: int
) -> None:
    """On the full-size layouts; the lists for LoRA name just the blocks with attention, the longer ones every block."""
    targets = {target.name: target for target in key_table(layout()).values()}
    found: dict[str, str | None] = {}
    for target in targets.values():
        block = block_of(target.component, target.module, 2)
        found[target.name] = None if block is None else BLOCKS[block]
        expected = original_block(target.module, attentions) if target.component == "unet" else "BASE"
        assert found[target.name] == expected, target.name
    with_attention = {block for name, block in found.items() if "attn" in name or name.startswith("text")}
    assert with_attention == set(LAYOUTS[lora])
    assert set(found.values()) - {None} == set(LAYOUTS[convolutions])
    outside = {name for name, block in found.items() if block is None}
    assert outside <= {f"unet.{name}" for name in ("conv_norm_out", "conv_out")} | {
        f"unet.{part}_embedding.linear_{i}" for part in ("time", "add") for i in (1, 2)
    }
    assert Counter(found.values())["IN00"] == 1


def test_lists_of_every_length_mean_the_blocks_they_name() -> None:
    """What a list does not name is 0, as in the extension; all at 1 is no list at all."""
    assert blocks_of([1] * 26) == ()
    for length, layout in LAYOUTS.items():
        numbered = blocks_of(range(-5, length - 5) if length < 15 else [i / 10 for i in range(length)])
        assert [BLOCKS[i] for i, weight in enumerate(numbered) if weight] == [
            block for i, block in enumerate(layout) if i != (5 if length < 15 else 0)
        ]
        assert blocks_of(shortest(numbered)) == numbered
    with pytest.raises(BadRequest, match="13 block weights; lists have 12, 17, 20, 26 numbers"):
        blocks_of([1] * 13)


def test_presets_are_those_of_the_extension() -> None:
    """Written out from its source, BASE first."""
    assert PRESETS["MIDD"] == (1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0)
    assert PRESETS["INS"] == (1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert PRESETS["IND"] == (1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert PRESETS["INALL"] == (1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert PRESETS["OUTD"] == (1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0)
    assert PRESETS["OUTS"] == (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
    assert PRESETS["OUTALL"] == (1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    assert all(len(preset) == 17 for preset in PRESETS.values())


def test_block_weights_multiply_and_base_is_the_text_encoders() -> None:
    weights = Weights(0.5, 2.0, blocks_of([0.25, *[0] * 10, 3]))
    assert weights.of("text_encoder", 0) == 0.5
    assert weights.of("unet", BLOCKS.index("OUT05")) == 1.5
    assert weights.of("unet", BLOCKS.index("IN00")) == 0
    assert weights.of("unet", None) == 0.5  # time embedding, last convolution


def test_a_curve_goes_straight_from_point_to_point() -> None:
    """With 12 steps the WebUI's counter is 0, 0, 1, … 10 during the steps; fractions are of steps - 2."""
    curve = ((0.0, 0.0), (1.0, 0.5), (0.5, 1.0))
    assert [value_at(curve, step, 12) for step in range(1, 13)] == pytest.approx(
        [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 0.9, 0.8, 0.7, 0.6, 0.5]
    )
    steps = ((0.0, 5.0), (1.0, 6.0))
    assert [value_at(steps, step, 12) for step in range(1, 13)] == [0] * 7 + [1] * 5
    assert value_at(((0.25, 0.5), (1.0, 1.0)), 1, 12) == 0.25
    for few in (0, 1, 2):
        assert value_at(curve, max(1, few), few) == 0


@pytest.mark.parametrize(
    ("start", "stop", "on"),
    [
        (None, None, range(1, 11)),
        (4, None, range(5, 11)),
        (None, 4, range(1, 5)),
        (4, 8, range(5, 9)),
        (1, None, range(1, 11)),
        (None, 1, range(0)),
        (0.4, 0.8, range(5, 9)),
        (99, None, range(0)),
    ],
)
def test_a_use_is_in_force_between_its_steps(start: float | None, stop: float | None, on: range) -> None:
    """Like `[:a:4]` and `[a::8]`; a start of 1 is from the beginning."""
    assert [step for step in range(1, 11) if in_force(start, stop, step, 10)] == list(on)


def test_the_weights_of_a_step() -> None:
    """The text encoders' are those of the first step, whatever the UNet's do; a second pass has its own."""
    use = AdapterUse("a", te_weight=0.5, curve=((0, 0), (1, 1)), hires=((2, 0),), stop=10, rank=4)
    assert use.at(1, 12) == Weights(0, 0.5, (), 4)
    assert use.at(7, 12) == Weights(0.5, 0.5, (), 4)
    assert use.at(11, 12).unet == 0
    assert use.at(7, 12, hires=True) == Weights(2, 0.5, (), 4)
    both = AdapterUse("a", curve=((0.25, 0), (1, 1)), hires_te=((0.75, 0),))
    assert both.at(12, 12) == Weights(1, 0.25)
    assert both.at(12, 12, hires=True) == Weights(1, 0.75)


def test_equal_uses_are_equal_values() -> None:
    """Whatever way they were asked for."""
    assert AdapterUse("a", 0.5, 0.5) == AdapterUse("a", 0.5) == AdapterUse("a", curve=((0.5, 0.3),))
    assert AdapterUse("a", 9, curve=[[1, 1], [0, 0]]) == AdapterUse("a", curve=((0.0, 0.0), (1.0, 1.0)))  # type: ignore[arg-type]
    assert AdapterUse("a", te_curve=((0, 0), (1, 1)), curve=((0, 0), (1, 1))).te_curve == ()
    assert AdapterUse("a", 0.5, hires=((0.5, 0.9),)) == AdapterUse("a", 0.5)
    assert AdapterUse("a", curve=((0, 0), (1, 1)), te_curve=((0, 0),)).te_weight == 0
    assert AdapterUse("a", 0.5).plain
    assert not AdapterUse("a", 0.5, stop=5).plain


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"curve": ((11, 0),)}, "A weight is 11"),
        ({"curve": ((1, float("nan")),)}, "places are fractions"),
        ({"curve": [(1, i) for i in range(40)]}, "32 is the most"),
        ({"blocks": (1, 2)}, "2 block weights"),
        ({"rank": 0}, "0 ranks"),
        ({"start": float("inf")}, "whole numbers"),
        ({"start": 5, "stop": 5}, "the start must come first"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_adapters_name(fields: Any, why: str) -> None:
    with pytest.raises(BadRequest, match=f"ink: .*{why}"):
        AdapterUse("ink", **fields)


def test_weights_add_up_point_by_point() -> None:
    rising, falling = AdapterUse("a", curve=((0, 0), (1, 1))), AdapterUse("a", curve=((1, 0), (0, 1)))
    assert rising.plus(falling) == AdapterUse("a", curve=((1, 0), (1, 1)))
    assert AdapterUse("a", 1, 0.5, hires=((1, 0),), hires_te=((1, 0),)).plus(
        AdapterUse("a", 0.5, hires=((2, 0),), hires_te=((0.25, 0),))
    ) == AdapterUse("a", 1.5, 1.0, hires=((3, 0),), hires_te=((1.25, 0),))
    with pytest.raises(BadRequest, match="asked for twice"):
        rising.plus(AdapterUse("a", 0.5))
    assert AdapterUse("a", stop=3, curve=((0, 0), (1, 1))).weighing(0.3) == AdapterUse("a", 0.3, stop=3)
