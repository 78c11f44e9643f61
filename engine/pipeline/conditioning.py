"""Prompts as the text encoders see them: weighted tokens in chunks of 75, encoded and joined.

Rules of AUTOMATIC1111's WebUI (shared/reference/lora_formats.md §3.2): BREAK ends a chunk, a chunk that overflows is
broken at a comma at most 20 tokens back, weights multiply the encoded tokens and the chunk's mean is then restored.
A prompt of one chunk without weights gives bit for bit what diffusers' own encode_prompt gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..prompt import ParsedPrompt, SubPrompt

CHUNK = 75
BACKTRACK = 20
Token = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Embedding:
    """`hidden` (1, 77 * chunks, width); `pooled` (1, width of text_encoder_2) for SDXL, else None."""

    hidden: torch.Tensor
    pooled: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What to draw until `last_step` (1-based, inclusive): embeddings with their AND weights."""

    last_step: int
    parts: tuple[tuple[Embedding, float], ...]


class Conditioner:
    """Encodes prompts with a pipeline's text encoders. Each distinct text is encoded once per instance."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._known: dict[tuple[tuple[str, float], ...], Embedding] = {}

    def schedule(self, parsed: ParsedPrompt, steps: int) -> tuple[Conditioning, ...]:
        return tuple(
            Conditioning(last, tuple((self.encode(sub), sub.weight) for sub in parts))
            for last, parts in parsed.schedule(steps)
        )

    def encode(self, prompt: SubPrompt) -> Embedding:
        key = prompt.segments
        if key not in self._known:
            self._known[key] = self._encode(prompt)
        return self._known[key]

    def _encode(self, prompt: SubPrompt) -> Embedding:
        pipeline = self._pipeline
        if getattr(pipeline, "text_encoder_2", None) is None:
            return Embedding(self._hidden(prompt, pipeline.tokenizer, pipeline.text_encoder, layer=None)[0])
        first, _ = self._hidden(prompt, pipeline.tokenizer, pipeline.text_encoder, layer=-2)
        second, pooled = self._hidden(prompt, pipeline.tokenizer_2, pipeline.text_encoder_2, layer=-2)
        if first.shape[1] != second.shape[1]:
            raise ValueError(f"the two text encoders see {first.shape[1]} and {second.shape[1]} tokens")
        return Embedding(torch.cat([first, second], dim=-1), pooled)

    def _hidden(
        self, prompt: SubPrompt, tokenizer: Any, encoder: Any, layer: int | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        encoded: list[torch.Tensor] = []
        pooled: torch.Tensor | None = None
        for chunk in chunked(tokens_of(prompt, tokenizer), _comma(tokenizer)):
            ids, weights = framed(chunk, tokenizer)
            output = encoder(torch.tensor([ids], device=encoder.device), output_hidden_states=layer is not None)
            hidden = output.last_hidden_state if layer is None else output.hidden_states[layer]
            if pooled is None:
                pooled = output[0]
            encoded.append(_weighted(hidden, weights))
        assert pooled is not None  # chunked() gives at least one chunk
        return torch.cat(encoded, dim=1), pooled


def tokens_of(prompt: SubPrompt, tokenizer: Any) -> list[list[Token]]:
    """Weighted tokens, one list for each part between BREAKs."""
    parts: list[list[Token]] = [[]]
    for text, weight in prompt.segments:
        if (text, weight) == ("BREAK", -1.0):
            parts.append([])
        else:
            ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
            parts[-1] += [(token, weight) for token in ids]
    return parts


def chunked(parts: Sequence[Sequence[Token]], comma: int | None) -> list[list[Token]]:
    """Lists of at most CHUNK tokens, at least one. A part never shares a chunk with the next."""
    chunks: list[list[Token]] = []
    for part in parts:
        current: list[Token] = []
        last_comma = -1
        for token in part:
            if len(current) == CHUNK:
                keep = last_comma + 1 if last_comma >= 0 and CHUNK - last_comma - 1 <= BACKTRACK else CHUNK
                chunks.append(current[:keep])
                current, last_comma = current[keep:], -1
            current.append(token)
            if token[0] == comma:
                last_comma = len(current) - 1
        chunks.append(current)
    return chunks


def framed(chunk: Sequence[Token], tokenizer: Any) -> tuple[list[int], list[float]]:
    """77 ids and weights: start, the chunk, end, padding. Frame and padding weigh 1."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), end]
    ids += [pad] * (CHUNK + 2 - len(ids))
    weights = [1.0, *(weight for _, weight in chunk)]
    weights += [1.0] * (CHUNK + 2 - len(weights))
    return ids, weights


def matched(embeddings: Sequence[Embedding], empty: Embedding) -> list[Embedding]:
    """All with the same number of chunks: shorter ones are filled up with the empty prompt's."""
    longest = max(embedding.hidden.shape[1] for embedding in embeddings)
    return [_filled(embedding, empty, longest) for embedding in embeddings]


def _filled(embedding: Embedding, empty: Embedding, length: int) -> Embedding:
    missing = (length - embedding.hidden.shape[1]) // empty.hidden.shape[1]
    if not missing:
        return embedding
    return Embedding(torch.cat([embedding.hidden, *[empty.hidden] * missing], dim=1), embedding.pooled)


def _weighted(hidden: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    if all(weight == 1.0 for weight in weights):
        return hidden
    scaled = hidden * torch.tensor(weights, dtype=hidden.dtype, device=hidden.device)[None, :, None]
    restored: torch.Tensor = scaled * (hidden.mean() / scaled.mean())
    return restored


def _comma(tokenizer: Any) -> int | None:
    ids = tokenizer(",", add_special_tokens=False).input_ids
    return int(ids[0]) if ids else None
