"""The prompt screen: whole words however they are dressed up, and never a part of another word."""

from __future__ import annotations

import random
import time

import pytest

from bot.orders import Words
from bot.orders.screen import Finding

WORDS = Words(blocked=("voldemort", "he who must not be named"), mature=("gore",))
BENIGN = """
a pegboard with tools | the town of Scunthorpe in the rain | a cockpit at night | an assassin on a roof | Essex fields
grape bass grass, classic embassy | a Dickens novel on a shelf | Middlesex county map | a cumulus cloud | a cucumber
shuttlecock and racket | peacock, cocktail bar | a therapist's office | an analyst | arsenal of a castle | Penistone
a child in a red raincoat | kids on a playground | children building a snowman | a baby asleep in a cradle
a schoolgirl with a bicycle | 1girl, solo, long hair, city lights | 2boys, armor | a young girl reading by the window
a teenager with headphones, lofi | a toddler with a balloon | a newborn foal | a kid goat on a rock | minor key, piano
a 7 year old oak | a 12-year-old boy scout | age of sail | a 16th century ship, 8k, 4k | aged 17 months, a puppy
a sextant on a chart | sextet of musicians | the sexagenarian painter | a unisex barber shop
asexual reproduction of algae | カロリーの低い食べ物
a transparent umbrella | a nudibranch in the sea | renude | a nakedness of trees, branches | explicitly modern design
eine Straße im Regen | ein Kind mit Drachen | kinder im Park | une fillette au parapluie | un enfant sur la plage
una niña con un perro | 雨の街 | 子供の遊び場 | 小学生が歩く | 一个小女孩和猫 | 山水画
서울의 밤 | アロエ | エロイカ交響曲の楽譜
a red flower <lora:ink:0.5> | (masterpiece:1.2), [best quality], {a|b} | a man in a suit
portrait of a woman in a red dress
""".replace("\n", "|").split("|")
NUDE = (
    *("nude", "NUDE", "a nude figure", "nude, standing", "nude_woman", "nude-art", "(nude:1.3)", "[nude]", "{nude}"),
    *("n(u)de", "n[ud]e", "nu:de (nude:0.5)", "ｎｕｄｅ", "ñude", "nüde", "nu\u200bde", "nu\u00adde", "nudе"),
    *("nud3", "n u d e", "n.u.d.e", "n-u-d-e", "n_u_d_e", "nuuuude", "𝓃𝓊𝒹𝑒", "ⓝⓤⓓⓔ", "s3x", "p0rn", "h€ntai hentai"),
    *("nackte frau", "desnuda", "裸体的女人", "全裸", "セックス"),
)
REFUSED = (
    *("a nude child", "sexy kids", "naked 12 year old", "nude, 15yo", "nude girl, age: 13", "erotic schoolgirl"),
    *("school girl, topless", "(little girl:1.2), (nude:1.2)", "n u d e  t e e n", "nud3 k1ds", "nudе сhild"),
    *("nacktes foto: nackte kinder", "niña desnuda", "petite fille, sexe", "萝莉，裸体", "小学生 全裸", "14歳 ヌード"),
    *("hentai, 8-year-old", "sexual content, underage", "ｎａｋｅｄ ｃｈｉｌｄ", "child AND nsfw", "child BREAK nude"),
    *("loli", "l0li", "l o l i", "lolicon art", "ロリ", "child porn", "child_porn", "kinderpornografie", "shotacon"),
)


@pytest.mark.parametrize("prompt", [text.strip() for text in BENIGN if text.strip()])
def test_what_is_fit_for_everybody_passes(prompt: str) -> None:
    assert WORDS.screened(prompt) is None


@pytest.mark.parametrize("prompt", NUDE)
def test_a_mature_word_is_found_however_it_is_dressed_up(prompt: str) -> None:
    found = WORDS.screened(prompt)
    assert found is not None
    assert found.rule == "mature"


@pytest.mark.parametrize("prompt", REFUSED)
def test_minors_with_anything_sexual_are_found_in_every_spelling_and_six_languages(prompt: str) -> None:
    found = WORDS.screened(prompt)
    assert found is not None
    assert found.rule in ("minors", "never")
    assert found.word == "", "what was found is not repeated"


@pytest.mark.parametrize("prompt", ["a child", "kids playing", "a 12 year old", "schoolgirl", "萝莉"])
def test_minors_with_what_makes_mature_pictures_anyway_are_found_too(prompt: str) -> None:
    assert WORDS.screened(prompt) is None
    assert WORDS.screened(prompt, mature=True) == Finding("minors")


def test_grown_ups_in_a_mature_prompt_are_no_minors() -> None:
    for prompt in ("nude, 30 year old woman", "1girl, nude, 18yo", "naked man aged 99", "nude, 1800 years old statue"):
        assert WORDS.screened(prompt, mature=True) == Finding("mature", WORDS.screened(prompt).word)  # type: ignore[union-attr]


@pytest.mark.parametrize("prompt", ["Voldemort", "v0ldemort", "he_who must not BE named", "vol(demort)"])
def test_the_owner_s_words_and_phrases_are_found_and_named(prompt: str) -> None:
    found = WORDS.screened(prompt)
    assert found is not None
    assert found.rule == "blocked"
    assert found.word in WORDS.blocked


@pytest.mark.parametrize("prompt", ["voldemortish", "he must be named", "drawn by Edward Gorey", "gorse in a gorge"])
def test_a_word_that_only_holds_one_of_the_owner_s_passes(prompt: str) -> None:
    assert WORDS.screened(prompt) is None


def test_the_gravest_thing_counts() -> None:
    assert WORDS.screened("nude voldemort") == Finding("blocked", "voldemort")
    assert WORDS.screened("loli voldemort") == Finding("never")
    assert WORDS.screened("gore") == Finding("mature", "gore")


@pytest.mark.parametrize(
    "unit", ["a ", "a1", ":", "(", ":1.", "n.u.", "n u  ", "ア", "x", "12 year ", "(((a:1.", "\u0301", "@", "$a", "裸"]
)
def test_the_time_it_takes_grows_with_the_text_and_no_faster(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        times = []
        for _ in range(5):
            began = time.perf_counter()
            WORDS.screened(text)
            times.append(time.perf_counter() - began)
        return min(times)

    assert seconds(6000) < 0.1
    assert seconds(24_000) < 12 * seconds(6000) + 0.01


def test_nothing_makes_it_fail() -> None:
    dice = random.Random(0)
    signs = "aбné1:()[]{}<>|_.*-@$! \n\t\u200b\u0301ア裸🌸\ud800"
    for _ in range(2000):
        WORDS.screened("".join(dice.choices(signs, k=dice.randint(0, 80))))
