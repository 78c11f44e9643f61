"""Prompts to embeddings: chunks, weights, and diffusers' own result where nothing special is asked."""

from __future__ import annotations

from typing import Any

import torch

from engine import parse_prompt
from engine.pipeline.conditioning import BACKTRACK, CHUNK, Conditioner, chunked, framed, matched


def encode(pipeline: Any, text: str) -> torch.Tensor:
    with torch.inference_mode():
        return Conditioner(pipeline).schedule(parse_prompt(text), 1)[0].parts[0][0].hidden


def test_a_plain_prompt_is_encoded_as_diffusers_does(builtin: Any) -> None:
    """Bit for bit."""
    with torch.inference_mode():
        theirs, _ = builtin.encode_prompt("a red flower on white", torch.device("cpu"), 1, False)
    assert torch.equal(encode(builtin, "a red flower on white"), theirs)


def test_more_than_75_tokens_make_a_second_chunk(builtin: Any) -> None:
    """Nothing is cut off."""
    assert encode(builtin, "red " * 75).shape[1] == 77
    assert encode(builtin, "red " * 76).shape[1] == 154


def test_break_starts_a_new_chunk(builtin: Any) -> None:
    """Both halves are encoded apart and joined."""
    both = encode(builtin, "a cat BREAK a boat")
    assert torch.equal(both, torch.cat([encode(builtin, "a cat"), encode(builtin, "a boat")], dim=1))


def test_a_full_chunk_is_broken_at_a_comma_at_most_twenty_tokens_back() -> None:
    """The words after the comma stay together in the next chunk."""
    comma, word = 7, 1
    near = [[(word, 1.0)] * (CHUNK - 5) + [(comma, 1.0)] + [(word, 1.0)] * 10]
    assert [len(chunk) for chunk in chunked(near, comma)] == [CHUNK - 4, 10]
    far = [[(word, 1.0)] * (CHUNK - BACKTRACK - 5) + [(comma, 1.0)] + [(word, 1.0)] * 40]
    assert [len(chunk) for chunk in chunked(far, comma)] == [CHUNK, 16]


def test_frames_are_77_long_and_weigh_one(builtin: Any) -> None:
    """Start, chunk, end and padding."""
    ids, weights = framed([(5, 1.5)], builtin.tokenizer)
    assert len(ids) == len(weights) == 77
    assert (ids[1], weights[0], weights[1], weights[2]) == (5, 1.0, 1.5, 1.0)


def test_weights_multiply_tokens_and_the_mean_is_restored(builtin: Any) -> None:
    """(flower:1.5) moves its own token against the others; the chunk's mean stays."""
    plain, weighted = encode(builtin, "a red flower"), encode(builtin, "a red (flower:1.5)")
    ratio = (weighted / plain)[0, :, 0]
    assert torch.allclose(ratio[3] / ratio[1], torch.tensor(1.5), atol=1e-4)
    assert torch.allclose(plain.mean(), weighted.mean(), atol=1e-5)


def test_shorter_prompts_are_filled_with_the_empty_prompt(builtin: Any) -> None:
    """So that prompts of different length go through the UNet together."""
    with torch.inference_mode():
        known = Conditioner(builtin)
        short, long, empty = (known.encode(parse_prompt(text).at(1, 1)[0]) for text in ("a cat", "red " * 100, ""))
    filled = matched([short, long], empty)
    assert filled[0].hidden.shape == filled[1].hidden.shape
    assert torch.equal(filled[0].hidden[:, 77:], empty.hidden)


def test_equal_texts_are_encoded_once(builtin: Any) -> None:
    """A schedule that comes back to a text costs nothing the second time."""
    known = Conditioner(builtin)
    parts = known.schedule(parse_prompt("[a cat|a boat]"), 4)
    assert parts[0].parts[0][0] is parts[2].parts[0][0]
