"""How long the slowest prompts take to read: `python -m tests.bench.prompts`. Milliseconds of processor time.

Each family of tests/engine/prompt/families.py at 6,000 and 12,000 characters (the bot lets 6,000 through):
`parse` is a prompt's tags and its schedule over 20 steps, `expand` its wildcards and variants, `match` its tokens as
chunks with embeddings in force whose names are made to be found late. "grows" is the time at 12,000 over that at 6,000.
Exits 1 where one takes 20 ms at 6,000 characters, or three times as long for twice as many (bar B21).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import torch
from transformers import AutoTokenizer

from engine import PromptError
from engine.adapters.embedding import Inversion
from engine.config import BUILTIN_FOLDER
from engine.pipeline.chunks import Lexicon, chunks_of
from engine.prompt import expand, parse_prompt
from tests.engine.prompt.families import CHOICES, FAMILIES, FILES, NAMES, TOKENS

LENGTHS = (6000, 12_000)
ROUNDS = 5
SLOW, GROWTH = 20.0, 3.0  # milliseconds; times for a prompt twice as long
_salt = count()


def main() -> int:
    tokenizer = AutoTokenizer.from_pretrained(BUILTIN_FOLDER / "model" / "tokenizer")
    lexicon = Lexicon(NAMES, tokenizer)

    def found(_name: str) -> Inversion:
        return Inversion("", {"text_encoder": torch.zeros(1, 96)}, "", "")

    acts: dict[str, Callable[[str], object]] = {
        "parse": lambda text: parse_prompt(f"{next(_salt)}{text}").tracks(20),  # no cache knows it
        "expand": lambda text: expand(text, 1, FILES),
        "match": lambda text: chunks_of([(text, 1.0)], tokenizer, lexicon, found),
    }
    worst, fastest_growth = dict.fromkeys(acts, 0.0), 0.0
    print(f"{'family':42}" + "".join(f"{act:>9}  grows" for act in acts))
    for family, make in (FAMILIES | CHOICES | TOKENS).items():
        line = f"{family:42}"
        for name, act in acts.items():
            middle, long = (milliseconds(act, make(length)) for length in LENGTHS)
            grows = long / middle if middle > 0.5 else 0.0  # what is faster is measured too coarsely
            worst[name], fastest_growth = max(worst[name], middle), max(fastest_growth, grows)
            line += f"{middle:9.2f} {grows:6.1f}"
        print(line)
    print(f"{'slowest at 6,000 characters':42}" + "".join(f"{one:9.2f}       " for one in worst.values()))
    return 0 if max(worst.values()) < SLOW and fastest_growth < GROWTH else 1


def milliseconds(act: Callable[[str], object], text: str) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        with suppress(PromptError):  # refused, and how soon
            act(text)
        best = min(best, time.thread_time() - began)
    return best * 1e3


if __name__ == "__main__":
    sys.exit(main())
