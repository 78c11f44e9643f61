"""What AUTOMATIC1111's WebUI 1.10 makes of segments, in float64 and straight from its rules, batch and all.

`encode(ids) -> (77, width)` is the text encoder; texts are the stages of one sub-prompt, each a tuple of segments.
Written apart from the engine: token by token into fixed arrays, no units, no lines, no cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Segments = Sequence[tuple[str, float]]


def chunks(segments: Segments, tokenizer: Any) -> list[tuple[list[int], list[float]]]:
    """(ids, weights) of 77 each."""
    comma = tokenizer(",", add_special_tokens=False).input_ids[0]
    done: list[tuple[list[int], list[float]]] = []
    ids: list[int] = []
    weights: list[float] = []
    last_comma = -1

    def flush() -> None:
        nonlocal ids, weights, last_comma
        spare = 75 - len(ids)
        whole = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * spare]
        done.append((whole, [1.0, *weights, *[1.0] * (spare + 1)]))
        ids, weights, last_comma = [], [], -1

    for text, weight in segments:
        if text == "BREAK" and weight == -1:
            flush()
            continue
        for token in tokenizer(text, add_special_tokens=False).input_ids:
            if token == comma:
                last_comma = len(ids)
            elif len(ids) == 75 and last_comma != -1 and 75 - last_comma <= 20:
                tail, heavy = ids[last_comma + 1 :], weights[last_comma + 1 :]
                ids, weights = ids[: last_comma + 1], weights[: last_comma + 1]
                flush()
                ids, weights = tail, heavy
            if len(ids) == 75:
                flush()
            ids.append(token)
            weights.append(weight)
    if ids or not done:
        flush()
    return done


def conditionings(
    texts: Sequence[Segments], tokenizer: Any, encode: Callable[[list[int]], np.ndarray], *, norm: bool = True
) -> list[np.ndarray]:
    """(77 * chunks, width) of each text; all texts go through the encoder as one batch."""
    lines = [chunks(text, tokenizer) for text in texts]
    columns = []
    for place in range(max(map(len, lines))):
        batch = [line[place] if place < len(line) else chunks([], tokenizer)[0] for line in lines]
        z = np.stack([encode(ids) for ids, _ in batch]).astype(np.float64)
        heavy = z * np.array([weights for _, weights in batch])[:, :, None]
        columns.append(heavy * (z.mean() / heavy.mean()) if norm else heavy)
    return list(np.concatenate(columns, axis=1))
