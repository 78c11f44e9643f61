"""Which words are said to whom: the language asked for, another of its kind, or English."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from bot import language
from bot.language import Languages, answer_in, answering, preferred, said, say, say_many
from bot.language.__main__ import fill, main, missing, updated, write
from bot.language.catalog import Catalog, CatalogUnreadable, available, catalog_of, read_catalog
from bot.language.extraction import Text
from bot.orders import StorageBusy, Who

POLISH = """
msgid ""
msgstr ""
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);\\n"

msgid "{n} step"
msgid_plural "{n} steps"
msgstr[0] "{n} krok"
msgstr[1] "{n} kroki"
msgstr[2] "{n} kroków"

msgid "seed {seed}"
msgstr "ziarno {seed}"

msgctxt "name"
msgid "seed"
msgstr "ziarno"

msgid "There is no {0} here."
msgstr "Nie ma tu {0}."
"""


@pytest.fixture
def polish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A third language, dropped as a file and asked for."""
    (tmp_path / "pl.po").write_text(POLISH, encoding="utf-8")
    catalogs = {**available(), **available(tmp_path)}
    monkeypatch.setattr("bot.language.catalog.available", lambda: catalogs)
    catalog_of.cache_clear()
    monkeypatch.setattr(language, "catalog_of", catalog_of.__wrapped__)
    answer_in("pl")
    return catalogs["pl"]


def test_a_file_is_a_language(polish: Catalog) -> None:
    assert say("seed {seed}", seed=7) == "ziarno 7"
    assert said("There is no ink here.") == "Nie ma tu ink."
    assert language.named("seed", "pl", language.NAME) == "ziarno"
    assert answering() == "pl"


@pytest.mark.parametrize(("number", "text"), [(1, "1 krok"), (2, "2 kroki"), (5, "5 kroków"), (22, "22 kroki")])
def test_many_things_are_counted_by_the_rule_of_the_language(polish: Catalog, number: int, text: str) -> None:
    assert say_many("{n} step", "{n} steps", number) == text


def test_what_is_not_translated_is_english(polish: Catalog) -> None:
    assert say("Delete") == "Delete"
    assert say_many("{n} cat", "{n} cats", 1) == "1 cat"
    assert say_many("{n} cat", "{n} cats", 2) == "2 cats"
    assert said("Something else.") == "Something else."


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("zh-CN", "删除"),
        ("zh-TW", "删除"),
        ("zh-cn", "删除"),
        ("zh", "删除"),
        ("en-US", "Delete"),
        ("ja", "Delete"),
        ("", "Delete"),
    ],
)
def test_a_language_stands_for_the_others_of_its_kind(locale: str, text: str) -> None:
    answer_in(locale)
    assert say("Delete") == text


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("de,zh-TW;q=0.5", "zh-TW"),
        ("en-US,zh-CN;q=0.9", "en-US"),
        ("zh;q=0.1, en;q=0.2", "en"),
        ("zh;q=0", ""),
        ("de", ""),
        ("", ""),
        (";;,=,q=1,zh;q=nan", ""),
    ],
)
def test_a_browser_says_what_its_reader_likes_best(accepted: str, locale: str) -> None:
    assert preferred(accepted) == locale


async def test_tasks_speak_to_their_own_members() -> None:
    async def one(locale: str) -> str:
        answer_in(locale)
        await asyncio.sleep(0)
        return say("Delete")

    assert await asyncio.gather(one("zh-CN"), one("en-US"), one("zh-CN")) == ["删除", "Delete", "删除"]


async def test_what_somebody_chose_counts_before_what_their_discord_speaks() -> None:
    chosen: dict[int, str] = {1: "zh-CN", 2: "en-US"}

    async def choice(who: Who) -> str | None:
        return chosen.get(who.member_id)

    languages = Languages(choice)
    assert await languages.of(Who(1, "a", None, 5, locale="en-US")) == "zh-CN"
    assert await languages.of(Who(2, "b", None, 5, locale="zh-CN")) == "en-US"
    assert await languages.of(Who(3, "c", None, 5, locale="zh-CN")) == "zh-CN"


async def test_a_choice_that_cannot_be_read_leaves_nobody_without_an_answer() -> None:
    async def choice(who: Who) -> str | None:
        raise StorageBusy("The bot's memory is busy; try again in a moment.")

    assert await Languages(choice).of(Who(1, "a", None, 5, locale="zh-CN")) == "zh-CN"


@pytest.mark.parametrize("text", ["ziarno {sed}", "ziarno", "ziarno {seed:.9f}", "ziarno {seed", "{seed} {0}"])
def test_a_translation_with_other_placeholders_is_not_used(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It could say nothing, or fail while somebody waits; the log names it, and English is said."""
    path = tmp_path / "pl.po"
    path.write_text(POLISH.replace("ziarno {seed}", text), encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        assert read_catalog(path).text("seed {seed}") == "seed {seed}"
    assert "pl.po" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [("xx-yy-zz.po", POLISH), ("pl.po", "msgid nothing"), ("pl.po", POLISH.replace("n==1 ?", "import os"))],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_are(
    name: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "cs.po").write_text(POLISH, encoding="utf-8")
    with pytest.raises(CatalogUnreadable, match=name):
        read_catalog(tmp_path / name)
    assert list(available(tmp_path)) == ["cs"]
    assert name in caplog.text


WANTED = {
    Text("seed {seed}"): ["a.py"],
    Text("{n} step", "{n} steps"): ["a.py"],
    Text("seed", context="name"): ["b.py"],
}


def test_a_file_keeps_step_with_the_code(tmp_path: Path) -> None:
    """New texts are in it and empty, gone ones are out, and what was translated is as it was."""
    path = tmp_path / "pl.po"
    path.write_text(POLISH, encoding="utf-8")
    messages = updated(path, {**WANTED, Text("Delete"): ["c.py"]})
    write(path, messages)
    catalog = read_catalog(path)
    assert catalog.text_of_many("{n} step", "{n} steps", 3) == "{n} kroki"
    assert catalog.find("seed", "name") == "ziarno"
    assert catalog.find("There is no {0} here.") is None
    assert [text["english"] for text in missing(updated(path, {**WANTED, Text("Delete"): ["c.py"]}))] == ["Delete"]
    before = path.read_bytes()
    write(path, updated(path, {**WANTED, Text("Delete"): ["c.py"]}))
    assert path.read_bytes() == before


def test_what_is_missing_can_be_filled_in(tmp_path: Path) -> None:
    """`missing` and `fill` are inverse: after both nothing is missing."""
    path = tmp_path / "ja.po"
    messages = updated(path, WANTED)
    given = missing(messages)
    assert len(given) == 3
    words = {"seed {seed}": "シード {seed}", "{n} step": ["{n} ステップ"], "seed": "シード"}
    assert fill(messages, [{**text, "text": words[text["english"]]} for text in given]) == []
    assert missing(messages) == []
    write(path, messages)
    assert missing(updated(path, WANTED)) == []
    assert read_catalog(path).text_of_many("{n} step", "{n} steps", 1) == "{n} ステップ"


@pytest.mark.parametrize(
    "given",
    [
        {"english": "no such text", "text": "x"},
        {"english": "seed {seed}", "text": "シード"},
        {"english": "{n} step", "many": "{n} steps", "text": ["{n} a", "{n} b"]},
        {"english": "{n} step", "many": "{n} steps", "text": "{n} a"},
    ],
)
def test_what_does_not_fit_is_not_filled_in(given: dict[str, object], tmp_path: Path) -> None:
    messages = updated(tmp_path / "ja.po", WANTED)
    assert len(fill(messages, [given])) == 1
    assert len(missing(messages)) == 3


def test_the_command_line_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["update", "ja"], ["missing"], ["fill", "ja"], ["missing", "ja", "file"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert "want a LOCALE" in capsys.readouterr().err
