"""Finished sentences are taken apart by their patterns, put together in another language, and never made worse."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.language.catalog import available
from bot.language.extraction import texts_of_code
from bot.language.sentences import Sentences

PATTERNS = sorted({text.english for text in texts_of_code() if re.search(r"\{\d+\}", text.english)})
ENGLISH = Sentences({text: text for text in PATTERNS})
CHINESE = available()["zh-CN"].sentences
VALUES = st.lists(
    st.text(max_size=40) | st.sampled_from(["ink", "SDXL", "it names no adapter.", "{0}", ". ", ", "]),
    min_size=6,
    max_size=6,
)


def filled(text: str, values: list[str]) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: values[int(match[1])], text)


def test_there_are_patterns_to_try() -> None:
    """The properties below would hold of none."""
    assert len(PATTERNS) > 250


@given(st.sampled_from(PATTERNS), VALUES)
def test_whatever_is_put_in_nothing_is_raised(text: str, values: list[str]) -> None:
    CHINESE.translated(filled(text, values))


@given(st.sampled_from(PATTERNS), VALUES)
def test_without_translations_a_sentence_is_itself(text: str, values: list[str]) -> None:
    sentence = filled(text, values)
    assert Sentences({}).translated(sentence) == sentence


@given(st.sampled_from(PATTERNS), VALUES)
def test_translated_into_english_a_sentence_is_itself(text: str, values: list[str]) -> None:
    """Taking apart and putting together are inverse, whichever pattern matched."""
    sentence = filled(text, values)
    assert ENGLISH.translated(sentence) == sentence


@given(st.text())
def test_translated_into_english_any_text_is_itself(text: str) -> None:
    assert ENGLISH.translated(text) == text


@pytest.mark.parametrize("text", PATTERNS)
def test_every_pattern_is_found_and_its_values_are_kept(text: str) -> None:
    """Values that resemble nothing come out as they went in, and no English word of the pattern is left."""
    values = [f"⟨{number}⟩" for number in range(6)]
    said = CHINESE.translated(filled(text, values))
    assert sorted(re.findall(r"⟨\d⟩", said)) == sorted(re.findall(r"⟨\d⟩", filled(text, values)))
    assert said != filled(text, values)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("There is no adapter called 'inc' here. Did you mean ink?", "这里没有名为 'inc' 的 LoRA。你是想找 ink 吗？"),
        ("The mask has 9000 x 10 pixels; 4096 x 4096 is the most.", "蒙版有 9000 x 10 像素；最多 4096 x 4096。"),
        ("The negative prompt has 7000 characters; 6000 is the most.", "负面提示词有 7000 个字符；最多 6000 个。"),
        ("ink: 3 of 204 layers", "ink：已应用 204 层中的 3 层"),
        ("a, b: 3 of 204 layers", "a, b：已应用 204 层中的 3 层"),
        ("<lora:x> is left out: There is no adapter called 'x' here.", "<lora:x> 已略去：这里没有名为 'x' 的 LoRA。"),
        ("ink: 2.5 is not a number.", "ink: 2.5 不是数字。"),
        ("Nobody has translated this.", "Nobody has translated this."),
        ("'Cancelled.' is no address. Nobody knows.", "'Cancelled.' 不是地址。Nobody knows."),
    ],
)
def test_sentences_within_sentences(sentence: str, said: str) -> None:
    assert CHINESE.translated(sentence) == said


def test_a_report_is_translated_part_by_part() -> None:
    report = (
        "ink: 3 of 204 layers, embeddings a, b, "
        "2 keys ignored (the same as x; a bundled embedding of an unknown form), 4 keys unknown, "
        "a dynamic rank of 4 does nothing to 2 of them, which are no plain LoRA"
    )
    said = CHINESE.translated(report)
    assert said == (
        "ink：已应用 204 层中的 3 层, Embedding a, b, 忽略了 2 个键（与 x 相同; 附带的 Embedding 形式未知）, "
        "4 个键未知, 动态秩 4 对其中 2 层不起作用，因为它们不是普通 LoRA"
    )


@pytest.mark.parametrize(
    "text",
    [
        "There is no adapter called " + "'x' here." * 2000,
        "a, " * 5000,
        "x: " * 5000,
        "Layer " * 5000,
        "has the shape " * 3000 + ".",
        ". ".join(["There is no adapter called x here"] * 1000),
        "(" * 20000,
    ],
)
def test_hostile_texts_take_no_longer_than_their_length(text: str) -> None:
    """Four times the text may take ten times as long, which is much noise, but not sixteen, which is the square."""

    def seconds(text: str) -> float:
        tries = []
        for _ in range(3):
            start = time.perf_counter()
            CHINESE.translated(text)
            tries.append(time.perf_counter() - start)
        return min(tries)

    assert seconds(text) < 0.02 + 10 * seconds(text[: len(text) // 4])


def test_an_ordinary_sentence_takes_less_than_a_millisecond() -> None:
    sentence = "There is no adapter called 'inc' here. Did you mean ink or inky?"
    start = time.perf_counter()
    for _ in range(100):
        CHINESE.translated(sentence)
    assert (time.perf_counter() - start) / 100 < 0.001
