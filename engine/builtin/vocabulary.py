"""The words of the built-in model: a CLIP byte-pair vocabulary trained on the captions.

The token order is CLIP's own: 256 bytes, 256 bytes that end a word, merges, start, end. Every word of a caption is one
token; any other text falls apart into bytes, so no prompt is out of vocabulary.
"""

from __future__ import annotations

import collections
import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from .scenes import draw
from .styles import TRIGGERS

QUALITY = ("masterpiece", "best quality", "highly detailed", "illustration", "simple", "flat", "beautiful", "cute")
FLAWS = ("blurry", "low quality", "worst quality", "ugly", "bad art", "text", "watermark")
PROMPT_WORDS = """
    ink painting style neon night light warm shadow masterpiece best quality highly detailed
    illustration picture of photo drawing simple flat blurry low worst ugly bad text watermark , .
    sky sea flowers flower trees houses with without an the in by at to and or is many big tiny dark
    bright colorful beautiful cute art three four
""".split()
START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path) -> None:
    """Leaves vocab.json, merges.txt and the two config files of a CLIPTokenizer in `folder`."""
    words = _counted_words()
    merges = _merges(words)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet)]
    tokens += dict.fromkeys(left + right for left, right in merges if left + right not in set(tokens))
    tokens += [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "errors": "replace"}
    _write(folder / "vocab.json", json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    _write(folder / "merges.txt", "\n".join(["#version: 0.2", *(f"{left} {right}" for left, right in merges)]) + "\n")
    _write(folder / "tokenizer_config.json", json.dumps(config | special | {"add_prefix_space": False}, indent=1))
    _write(folder / "special_tokens_map.json", json.dumps(special, indent=1))


def _counted_words() -> collections.Counter[str]:
    rng = random.Random(7)
    words: collections.Counter[str] = collections.Counter()
    for _ in range(6000):
        words.update(draw(rng).caption.split())
    for word in (*PROMPT_WORDS, *TRIGGERS.values()):
        words[word] += 300
    return words


def _merges(words: collections.Counter[str]) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END, continuing_subword_prefix=""))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END],
        show_progress=False,
    )
    tokenizer.train_from_iterator((word for word, count in words.items() for _ in range(min(count, 50))), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(pair[0], pair[1]) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in merges]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
