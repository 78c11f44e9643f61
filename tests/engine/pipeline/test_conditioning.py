"""Prompts to embeddings: weights, layers, stages and both encoders, against the WebUI's rules and diffusers' own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from engine import BadRequest, PromptError, parse_prompt
from engine.adapters.embedding import Vocabulary
from engine.pipeline.conditioning import MAX_SCHEDULED, Conditioner, Embedding, Reading, alike
from engine.prompt import parse_negative

from . import webui


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def deep(builtin: Any) -> Any:
    """The built-in tokenizer before a text encoder of SD 1.x's layout with five layers, random."""
    return SimpleNamespace(tokenizer=builtin.tokenizer, text_encoder=text_encoder(CLIPTextModel, builtin, 32, 5))


@pytest.fixture(scope="module")
def xl(builtin: Any) -> Any:
    """SDXL's two encoders in small; the second tokenizer pads with another token than its end."""
    padding = copy.deepcopy(builtin.tokenizer)
    padding.pad_token = padding.convert_ids_to_tokens(0)
    return SimpleNamespace(
        tokenizer=builtin.tokenizer,
        text_encoder=text_encoder(CLIPTextModel, builtin, 32, 3),
        tokenizer_2=padding,
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, builtin, 48, 4),
    )


def text_encoder(kind: Any, builtin: Any, width: int, layers: int) -> Any:
    torch.manual_seed(width)
    tokenizer = builtin.tokenizer
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()


def encode(pipeline: Any, text: str, **how: Any) -> torch.Tensor:
    return first(pipeline, text, **how).hidden


def first(pipeline: Any, text: str, **how: Any) -> Embedding:
    return Conditioner(pipeline).schedule(parse_prompt(text), 1, Reading(**how))[0].parts[0][0]


@contextmanager
def counted(*models: Any) -> Iterator[list[int]]:
    """Inside, the list grows by one for each forward call."""
    calls: list[int] = []
    hooks = [model.register_forward_hook(lambda *_: calls.append(1)) for model in models]
    yield calls
    for hook in hooks:
        hook.remove()


# ------------------------------------------------------------------------------------------------ plain prompts


def test_a_plain_prompt_is_encoded_as_diffusers_does(builtin: Any) -> None:
    """Bit for bit."""
    theirs, _ = builtin.encode_prompt("a red flower on white", torch.device("cpu"), 1, False)
    assert torch.equal(encode(builtin, "a red flower on white"), theirs)


def test_more_than_75_tokens_make_a_second_chunk(builtin: Any) -> None:
    """Nothing is cut off."""
    assert encode(builtin, "red " * 75).shape[1] == 77
    assert encode(builtin, "red " * 76).shape[1] == 154


def test_break_starts_a_new_chunk(builtin: Any) -> None:
    """Both halves are encoded apart and joined; a BREAK at the end opens none."""
    both = encode(builtin, "a cat BREAK a boat")
    assert torch.equal(both, torch.cat([encode(builtin, "a cat"), encode(builtin, "a boat")], dim=1))
    assert torch.equal(encode(builtin, "a cat BREAK"), encode(builtin, "a cat"))


# ------------------------------------------------------------------------------------------------ weighting

WEIGHTED = (
    "a (red:1.5) flower",
    "a [[red]] flower, (sky:0)",
    "(flower:-0.7) on ((white))",
    "a (cat BREAK a boat:1.3) on the sea",
    "BREAK (a:2) BREAK",
    "(red, " * 30 + "green, " * 40,
    "red " * 55 + ", " + "green " * 30,
    "red " * 54 + ", " + "(green:1.2) " * 30,
    "red " * 75 + ", green",
    "",
)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("text", WEIGHTED)
def test_weights_are_the_webuis(text: str, norm: bool, builtin: Any) -> None:
    """Against its rules in float64: chunks, comma backtrack, multiplied tokens, restored mean or none."""
    stages = [parse_prompt(text).at(1, 1)[0].segments]
    (expected,) = webui.conditionings(stages, builtin.tokenizer, last_layer(builtin), norm=norm)
    ours = encode(builtin, text, emphasis="Original" if norm else "No norm")[0].numpy()
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    "text",
    [
        "a [cat:(dog:1.4):2] on a boat",
        "a [(cat:1.2)|dog|[sun]] on a boat",
        "[a (cat:0.5):a boat BREAK a (red:1.5) house:3]",
        "[a:(b:1.3):3] [c:d:3] [e:f:2]",
    ],
)
def test_editing_restores_the_mean_over_all_its_texts(text: str, builtin: Any) -> None:
    """The WebUI encodes what a sub-prompt becomes over the steps as one batch: one mean, one number of chunks."""
    steps = 5
    (track,) = parse_prompt(text).tracks(steps)
    expected = webui.conditionings([stage for _, stage in track.stages], builtin.tokenizer, last_layer(builtin))
    schedule = Conditioner(builtin).schedule(parse_prompt(text), steps)
    assert [part.last_step for part in schedule] == [last for last, _ in track.stages]
    for part, theirs in zip(schedule, expected, strict=True):
        assert np.abs(part.parts[0][0].hidden[0].numpy() - theirs).max() <= 2e-6 * np.abs(theirs).max()


def last_layer(pipeline: Any) -> Any:
    return lambda ids: pipeline.text_encoder(torch.tensor([ids])).last_hidden_state[0].numpy()


def test_weights_are_rounded_once_in_half_precision(builtin: Any) -> None:
    """In float16 the weighted tokens are those of the same encoded tokens in float32, rounded."""
    half = SimpleNamespace(
        tokenizer=builtin.tokenizer, text_encoder=copy.deepcopy(builtin.text_encoder).to(torch.bfloat16)
    )
    plain = encode(half, "a red flower").double()
    weights = torch.ones(77, dtype=torch.float64)
    weights[2] = 1.3
    exact = plain * weights[:, None]
    exact *= plain.mean() / exact.mean()
    ours = encode(half, "a (red:1.3) flower")
    assert ours.dtype == torch.bfloat16
    assert (ours.double() - exact).abs().max() <= 2**-8 * exact.abs().max()


@pytest.mark.parametrize("digits", [30, 60, 400])
@pytest.mark.parametrize("emphasis", ["Original", "No norm"])
def test_weights_beyond_numbers_are_refused(digits: int, emphasis: str, builtin: Any) -> None:
    """Never a picture of NaN; large numbers that can be drawn with are."""
    text = f"(a:{'9' * digits}) b"
    if digits == 30:
        assert encode(builtin, text, emphasis=emphasis).isfinite().all()
    else:
        with pytest.raises(PromptError, match="too large"):
            encode(builtin, text, emphasis=emphasis)


# ------------------------------------------------------------------------------------------------ clip skip


@pytest.mark.parametrize("skip", [2, 3, 5])
def test_clip_skip_takes_an_earlier_layer_through_the_final_norm(skip: int, deep: Any) -> None:
    """As the WebUI counts: 2 is the last but one. (diffusers 0.42 cannot: it looks for transformers 4's layout.)"""
    (ids, _), *_ = webui.chunks([("a red flower", 1.0)], deep.tokenizer)
    states = deep.text_encoder(torch.tensor([ids]), output_hidden_states=True).hidden_states
    assert torch.equal(encode(deep, "a red flower", clip_skip=skip), deep.text_encoder.final_layer_norm(states[-skip]))


def test_a_clip_skip_of_more_than_there_are_layers_is_refused(builtin: Any) -> None:
    """The sentence says how many there are."""
    with pytest.raises(BadRequest, match="has 2 layers"):
        encode(builtin, "a", clip_skip=3)


def test_sd2_is_read_where_it_ends_whatever_the_clip_skip(builtin: Any) -> None:
    """Its encoder comes without the last layer, so its end is the layer before the last; the WebUI skips no more."""
    sd2 = SimpleNamespace(tokenizer=builtin.tokenizer, text_encoder=text_encoder(CLIPTextModel, builtin, 1024, 2))
    assert torch.equal(encode(sd2, "a cat", clip_skip=2), encode(sd2, "a cat"))


# ------------------------------------------------------------------------------------------------ SDXL


def test_sdxl_joins_both_encoders_one_layer_before_the_last_without_norm(xl: Any) -> None:
    """Each with its own padding; pooled is the second's projection. Clip skip changes nothing, as in the WebUI."""
    found = first(xl, "a red flower")
    parts = []
    for tokenizer, model in ((xl.tokenizer, xl.text_encoder), (xl.tokenizer_2, xl.text_encoder_2)):
        ids = tokenizer("a red flower", padding="max_length", max_length=77, return_tensors="pt").input_ids
        parts.append(model(ids, output_hidden_states=True))
    assert torch.equal(found.hidden, torch.cat([part.hidden_states[-2] for part in parts], dim=-1))
    assert found.pooled is not None
    assert torch.equal(found.pooled, parts[1].text_embeds)
    assert torch.equal(first(xl, "a red flower", clip_skip=2).hidden, found.hidden)


def test_sdxl_weighs_each_encoder_by_itself(xl: Any) -> None:
    """Each restores its own mean, and pooled is the first chunk's, never weighted."""
    text = "a (red:1.4) flower BREAK on (white:0.6)"
    stages = [parse_prompt(text).at(1, 1)[0].segments]
    pairs = ((xl.tokenizer, xl.text_encoder), (xl.tokenizer_2, xl.text_encoder_2))
    expected = [webui.conditionings(stages, *read)[0] for read in [(t, before_last(m)) for t, m in pairs]]
    found = first(xl, text)
    assert np.abs(found.hidden[0].numpy() - np.concatenate(expected, axis=-1)).max() <= 1e-5
    assert found.pooled is not None
    assert torch.equal(found.pooled, first(xl, "a red flower").pooled)


def before_last(model: Any) -> Any:
    return lambda ids: model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-2][0].numpy()


def test_an_empty_negative_prompt_is_zero_for_sdxl_alone(xl: Any, builtin: Any) -> None:
    """As the WebUI and diffusers have it; a positive one, or a space, is encoded."""
    (zero, _) = Conditioner(xl).schedule(parse_negative(""), 1)[0].parts[0]
    assert not zero.hidden.any()
    assert zero.pooled is not None
    assert not zero.pooled.any()
    assert first(xl, "").hidden.any()
    assert Conditioner(xl).schedule(parse_negative(" "), 1)[0].parts[0][0].hidden.any()
    assert Conditioner(builtin).schedule(parse_negative(""), 1)[0].parts[0][0].hidden.any()


# ------------------------------------------------------------------------------------------------ lengths


def test_the_parts_of_a_picture_are_as_long_as_the_longest(builtin: Any) -> None:
    """What AND joins is filled up with its own last vector, as in the WebUI."""
    (short, one), (long, two) = Conditioner(builtin).schedule(parse_prompt(f"a AND {'red ' * 80}:2"), 1)[0].parts
    assert (one, two) == (1.0, 2.0)
    assert short.hidden.shape == long.hidden.shape
    assert torch.equal(short.hidden[:, 77:], short.hidden[:, 76:77].expand(-1, 77, -1))


def test_prompts_of_one_length_are_put_together(builtin: Any) -> None:
    """What differs in length stays apart; nothing is filled up."""
    embeddings = [first(builtin, text) for text in ("a cat", "red " * 100, "", "a BREAK b")]
    assert alike(embeddings) == [[0, 2], [1, 3]]
    assert torch.equal(Conditioner(builtin).empty().hidden, embeddings[2].hidden)


def test_a_prompt_cannot_ask_for_any_number_of_chunks(builtin: Any) -> None:
    """80 for one text, 480 for all that editing makes of it; nothing is encoded before that is known."""
    assert encode(builtin, "BREAK " * 79 + "a").shape[1] == 80 * 77
    with counted(builtin.text_encoder) as calls:
        with pytest.raises(PromptError, match="more than 80 chunks"):
            encode(builtin, "BREAK " * 1000)
        turns = "".join(f"[{'|'.join(f'{i}{j}' + ' red' * 65 for j in range(i))}]" for i in (7, 8, 9, 11))
        with pytest.raises(PromptError, match=f"more than {MAX_SCHEDULED} chunks"):
            Conditioner(builtin).schedule(parse_prompt(turns), 150)
    assert not calls


def test_what_people_write_in_6000_characters_fits(builtin: Any) -> None:
    """Words, digits, and letters far apart stay below the limit."""
    for text in ("red flower, " * 500, "1" * 5999, "a " * 2999):
        assert encode(builtin, text).shape[1] <= 80 * 77


# ------------------------------------------------------------------------------------------------ cache


def test_nothing_is_encoded_twice(builtin: Any) -> None:
    """Not over steps, nor over requests; neither weights nor emphasis nor other chunks change what a chunk is."""
    known = Conditioner(builtin)
    with counted(builtin.text_encoder) as calls:
        parts = known.schedule(parse_prompt("[a cat|a boat]"), 4)
        assert len(calls) == 2
        assert parts[0].parts[0][0] is parts[2].parts[0][0]
        for text in ("a cat", "(a cat:1.5)", "a boat BREAK a cat", "[a boat:a cat:0.5]"):
            known.schedule(parse_prompt(text), 20, Reading(emphasis="No norm"))
        assert len(calls) == 2
        known.schedule(parse_prompt("a cat, a boat"), 4)
        assert len(calls) == 3


def test_the_second_pass_has_its_own_stages_and_encodes_only_what_is_new(builtin: Any) -> None:
    """What the first pass said is known; in hires fix t counts on, so c has its turn there alone."""
    known, edited = Conditioner(builtin), parse_prompt("[a cat:[a boat:a tree:1.5]:0.5]")
    with counted(builtin.text_encoder) as calls:
        first = known.schedule(edited, 4)
        assert len(calls) == 2
        second = known.schedule(edited, 6, earlier=4)
        assert len(calls) == 3
    assert [part.last_step for part in first] == [2, 4]
    assert [part.last_step for part in second] == [3, 6]
    assert torch.equal(first[1].parts[0][0].hidden, second[0].parts[0][0].hidden)
    negative = known.schedule(parse_negative("[a cat|a boat]"), 3, earlier=4)
    assert [part.last_step for part in negative] == [1, 2, 3]


def test_another_layer_or_mix_is_encoded_anew(builtin: Any) -> None:
    """And the old one is still known afterwards."""
    known, cat = Conditioner(builtin), parse_prompt("a cat")
    readings = [Reading(), Reading(clip_skip=2), Reading(mix=(("ab", 0.5),)), Reading(mix=(("ab", 0.6),))]
    with counted(builtin.text_encoder) as calls:
        for reading in readings * 2:
            known.schedule(cat, 1, reading)
        assert len(calls) == 4


def test_names_that_a_prompt_does_not_hold_change_nothing(builtin: Any) -> None:
    """Embeddings in force are part of what is known only where they stand in the text."""
    known = Conditioner(builtin)
    with counted(builtin.text_encoder) as calls:
        known.schedule(parse_prompt("a cat"), 1)
        known.schedule(parse_prompt("a cat"), 1, Reading(vocabulary=Vocabulary({"unused": ()})))
        assert len(calls) == 1


def test_the_cache_is_bounded_by_bytes(builtin: Any) -> None:
    """The least recently used goes first; what is drawn now is always there."""
    size = 77 * 96 * 4
    known = Conditioner(builtin, budget=2 * size)
    with counted(builtin.text_encoder) as calls:
        for text in ("a", "b", "a", "c", "a", "b"):
            known.schedule(parse_prompt(text), 1)
        assert len(calls) == 4
    assert known._encoded.total <= 2 * size
