"""Prompts as the UNet sees them: chunks encoded, weighted and joined, for every step.

Rules of AUTOMATIC1111's WebUI 1.10 (shared/reference/lora_formats.md §3.2):
- Clip skip n takes the n-th last hidden layer through the final layer norm. It counts for SD 1.x alone: SD 2 and SDXL
  are always read one layer before the last, SDXL without that norm (SD 2's encoder comes without its last layer).
- A weight multiplies the encoded token. "Original" then restores the mean: of each chunk by its place, over all the
  texts that prompt editing makes of one sub-prompt, as the WebUI encodes those together; "No norm" does not.
- A text of fewer chunks than others of its sub-prompt is filled up with empty chunks, a sub-prompt of fewer than others
  of the picture with its own last vector; a negative prompt of another length goes through the UNet by itself.
  SDXL's pooled vector is the first chunk's.
- An empty negative prompt is zero for SDXL.
A prompt of one chunk without weights gives bit for bit what diffusers' own encode_prompt gives. Unlike the WebUI,
weighting is computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch

from ..adapters.embedding import Inversion, Vocabulary
from ..adapters.family import family_of_width
from ..errors import NO_NUMBERS, BadRequest, PictureBroken, PromptError
from ..prompt import ParsedPrompt, Track
from ..residency import Residency
from .chunks import Chunk, Lexicon, chunks_of, empty_chunk

CACHE = 128 << 20  # bytes of encoded chunks that are kept
MAX_SCHEDULED = 480  # chunks of all the texts that editing makes of one prompt


@dataclass(frozen=True, slots=True)
class Embedding:
    """`hidden` (1, 77 * chunks, width); `pooled` (1, width of text_encoder_2) for SDXL, else None.

    `named` holds (name, hash) of the textual inversions in the text.
    """

    hidden: torch.Tensor
    pooled: torch.Tensor | None = None
    named: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What to draw until `last_step` (1-based, inclusive): embeddings with their AND weights."""

    last_step: int
    parts: tuple[tuple[Embedding, float], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How prompts are read. `clip_skip` and `emphasis` are the request's; `mix` tells apart what adapters make of the
    text encoders (Mixer.text_mix); `vocabulary` are the embeddings that may be named.
    """

    clip_skip: int = 1
    emphasis: str = "Original"
    mix: Hashable = ()
    vocabulary: Vocabulary = field(default_factory=Vocabulary)


PLAIN = Reading()


class Conditioner:
    """Encodes prompts with a pipeline's text encoders, as long as that pipeline is there.

    Encoded chunks are kept up to `budget` bytes, the latest used, by what decides them and nothing else: tokens,
    embeddings, layer, and the mix in the text encoders. Weights, emphasis, seeds and UNet weights change nothing.
    """

    def __init__(self, pipeline: Any, budget: int = CACHE) -> None:
        self._coders = [_Coder("text_encoder", pipeline.text_encoder, pipeline.tokenizer)]
        second = getattr(pipeline, "text_encoder_2", None)
        if second is not None:
            self._coders.append(_Coder("text_encoder_2", second, pipeline.tokenizer_2))
        self._widths = {coder.part: coder.width for coder in self._coders}
        self._double = second is not None
        self._skips = not self._double and family_of_width(self._coders[0].width) != "SD 2"
        self._encoded: Residency[Hashable, _Encoded] = Residency(budget)
        self._lexicon: tuple[frozenset[str], Lexicon] = (frozenset(), Lexicon())

    def schedule(
        self, parsed: ParsedPrompt, steps: int, reading: Reading = PLAIN, *, earlier: int = 0
    ) -> tuple[Conditioning, ...]:
        """What is in force up to which step, in order; the last ends at `steps`. `earlier` as for a ParsedPrompt.

        Raises PromptError (too many chunks, weights too large), BadRequest (clip skip), AdapterError (an embedding).
        """
        tracks = parsed.tracks(steps, earlier)
        chunks = self._chunked(tracks, reading)
        zero = self._double and not parsed.divided and not parsed.text
        parts = [(track, self._embedded(track, chunks, reading, zero)) for track in tracks]
        ends = sorted({last for track in tracks for last, _ in track.stages})
        return tuple(
            Conditioning(last, _even([(of[track.at(last)], track.weight) for track, of in parts])) for last in ends
        )

    def forget(self) -> None:
        """No encoded chunk is kept; the next prompt is encoded again."""
        self._encoded.clear()

    def empty(self, reading: Reading = PLAIN) -> Embedding:
        """The empty prompt's embedding, one chunk."""
        chunks = [empty_chunk(coder.tokenizer) for coder in self._coders]
        encoded = [self._encode(*pair, reading) for pair in zip(self._coders, chunks, strict=True)]
        return Embedding(torch.cat([one.hidden for one in encoded], dim=-1), encoded[-1].pooled)

    def _chunked(self, tracks: Sequence[Track], reading: Reading) -> _Chunked:
        """Every text as chunks, a list for each text encoder."""
        names = reading.vocabulary.names
        if names != self._lexicon[0]:
            self._lexicon = (names, Lexicon(names, self._coders[0].tokenizer))

        @cache
        def find(name: str) -> Inversion:
            return reading.vocabulary.find(name, self._widths)

        known: _Chunked = {}
        total = 0
        for text in (text for track in tracks for _, text in track.stages):
            if text not in known:
                known[text] = [chunks_of(text, coder.tokenizer, self._lexicon[1], find) for coder in self._coders]
                if len({len(chunks) for chunks in known[text]}) > 1:
                    raise ValueError(f"the two text encoders see another number of tokens: {text}")
                total += len(known[text][0])
                if total > MAX_SCHEDULED:
                    raise PromptError(
                        f"Over its steps the prompt needs more than {MAX_SCHEDULED} chunks of 75 tokens; "
                        "make it shorter, or let fewer parts take turns."
                    )
        return known

    def _embedded(self, track: Track, chunks: _Chunked, reading: Reading, zero: bool) -> dict[Segments, Embedding]:
        """The embedding of every text of a sub-prompt, all of one length."""
        texts = [text for _, text in track.stages]
        joined: dict[Segments, list[torch.Tensor]] = {text: [] for text in texts}
        pooled: dict[Segments, torch.Tensor | None] = {}
        for index, coder in enumerate(self._coders):
            lines = {text: chunks[text][index] for text in joined}
            hidden, pooled = self._weighted(coder, texts, lines, reading)
            for text, one in hidden.items():
                joined[text].append(one)
        found = {}
        for text, hiddens in joined.items():
            inside = {i.name: i.short for line in chunks[text] for chunk in line for _, i in chunk.vectors}
            embedding = Embedding(torch.cat(hiddens, dim=-1), pooled[text], tuple(inside.items()))
            found[text] = _zero(embedding) if zero else embedding
        return found

    def _weighted(
        self, coder: _Coder, texts: Sequence[Segments], lines: dict[Segments, list[Chunk]], reading: Reading
    ) -> tuple[dict[Segments, torch.Tensor], dict[Segments, torch.Tensor | None]]:
        """(hidden, pooled) of each text. `texts` has one as often as it is a stage: it counts so often in the mean."""
        longest = max(map(len, lines.values()))
        hidden: dict[Segments, list[torch.Tensor]] = {text: [] for text in lines}
        pooled: dict[Segments, torch.Tensor | None] = {}
        for place in range(longest):
            column = {
                text: line[place] if place < len(line) else empty_chunk(coder.tokenizer) for text, line in lines.items()
            }
            encoded = {text: self._encode(coder, chunk, reading) for text, chunk in column.items()}
            if place == 0:
                pooled = {text: one.pooled for text, one in encoded.items()}
            for text, one in _emphasised(texts, column, encoded, reading.emphasis).items():
                hidden[text].append(one)
        return {text: torch.cat(parts, dim=1) for text, parts in hidden.items()}, pooled

    def _encode(self, coder: _Coder, chunk: Chunk, reading: Reading) -> _Encoded:
        skip = reading.clip_skip if self._skips else 1
        vectors = tuple((place, inversion.digest) for place, inversion in chunk.vectors)
        key = (coder.part, chunk.ids, vectors, skip, reading.mix)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = coder.encode(chunk, skip, penultimate=self._double)
            if not bool(encoded.hidden.isfinite().all()):  # nor may it be kept: the next one would get it too
                raise PictureBroken(NO_NUMBERS, step=1)
            self._encoded.admit(key, encoded, encoded.nbytes)
        return encoded


Segments = tuple[tuple[str, float], ...]
_Chunked = dict[Segments, list[list[Chunk]]]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A chunk behind the text encoder: `hidden` (1, 77, width), not yet weighted."""

    hidden: torch.Tensor
    pooled: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        return self.hidden.nbytes + (0 if self.pooled is None else self.pooled.nbytes)


@dataclass(frozen=True, slots=True)
class _Coder:
    """One text encoder with its tokenizer."""

    part: str
    model: Any
    tokenizer: Any

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    def encode(self, chunk: Chunk, skip: int, *, penultimate: bool) -> _Encoded:
        """The chunk's hidden states `skip - 1` layers before the last; SDXL's are `penultimate` and keep the pooled."""
        layers = int(self.model.config.num_hidden_layers)
        if skip > layers:
            raise BadRequest(f"A clip skip of {skip}: the text encoder of this base model has {layers} layers.")
        ids = torch.tensor([chunk.ids], device=self.model.device)
        with _injected(self.model, [(place, inversion.vectors[self.part]) for place, inversion in chunk.vectors]):
            output = self.model(ids, output_hidden_states=penultimate or skip > 1)
        if penultimate:
            return _Encoded(output.hidden_states[-2], output[0] if self.part == "text_encoder_2" else None)
        if skip == 1:
            return _Encoded(output.last_hidden_state, None)
        norm = getattr(self.model, "text_model", self.model).final_layer_norm
        return _Encoded(norm(output.hidden_states[-skip]), None)


@contextmanager
def _injected(model: Any, vectors: Sequence[tuple[int, torch.Tensor]]) -> Iterator[None]:
    """Inside, the encoder reads these rows instead of its own token embeddings from these places on."""

    def replaced(_module: Any, _args: Any, output: torch.Tensor) -> torch.Tensor:
        output = output.clone()
        for place, rows in vectors:
            output[:, place : place + len(rows)] = rows.to(output)
        return output

    if not vectors:
        yield
        return
    hook = model.get_input_embeddings().register_forward_hook(replaced)
    try:
        yield
    finally:
        hook.remove()


def _emphasised(
    texts: Sequence[Segments], column: dict[Segments, Chunk], encoded: dict[Segments, _Encoded], emphasis: str
) -> dict[Segments, torch.Tensor]:
    """The chunks of one column with their weights; the very same tensors where nothing weighs other than 1."""
    plain = {text: one.hidden for text, one in encoded.items()}
    if all(weight == 1.0 for chunk in column.values() for weight in chunk.weights):
        return plain
    before = {text: hidden.float() for text, hidden in plain.items()}
    after = {text: hidden * _column(column[text].weights, hidden) for text, hidden in before.items()}
    if emphasis == "Original":
        ratio = _mean(before, texts) / _mean(after, texts)
        after = {text: hidden * ratio for text, hidden in after.items()}
    weighted = {text: hidden.to(plain[text].dtype) for text, hidden in after.items()}
    if not all(bool(torch.isfinite(hidden).all()) for hidden in weighted.values()):
        raise PromptError("The weights of the prompt are too large to draw with; 0 to 2 is usual.")
    return weighted


def _column(weights: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(weights, dtype=like.dtype, device=like.device)[None, :, None]


def _mean(hidden: dict[Segments, torch.Tensor], texts: Sequence[Segments]) -> torch.Tensor:
    """The mean over all texts; the chunks are of one size, so it is the mean of their means."""
    means = {text: one.mean() for text, one in hidden.items()}
    return torch.stack([means[text] for text in texts]).mean()


def _even(parts: Sequence[tuple[Embedding, float]]) -> tuple[tuple[Embedding, float], ...]:
    """All of one length: what is shorter repeats its last vector, as the WebUI fills the sub-prompts of a picture."""
    longest = max(embedding.hidden.shape[1] for embedding, _ in parts)
    return tuple((_repeated(embedding, longest), weight) for embedding, weight in parts)


def _repeated(embedding: Embedding, length: int) -> Embedding:
    missing = length - embedding.hidden.shape[1]
    if not missing:
        return embedding
    return replace(embedding, hidden=torch.cat([embedding.hidden, embedding.hidden[:, -1:].expand(-1, missing, -1)], 1))


def _zero(embedding: Embedding) -> Embedding:
    assert embedding.pooled is not None  # only SDXL's are zeroed
    return replace(embedding, hidden=torch.zeros_like(embedding.hidden), pooled=torch.zeros_like(embedding.pooled))


def named(schedule: Iterable[Conditioning]) -> dict[str, str]:
    """What an infotext says of the textual inversions in these prompts: name -> hash."""
    embeddings = (embedding for stage in schedule for embedding, _ in stage.parts)
    return {name: short for embedding in embeddings for name, short in embedding.named}


def alike(embeddings: Sequence[Embedding]) -> list[list[int]]:
    """The places of these embeddings, those of one length together."""
    groups: dict[int, list[int]] = {}
    for place, embedding in enumerate(embeddings):
        groups.setdefault(embedding.hidden.shape[1], []).append(place)
    return list(groups.values())
