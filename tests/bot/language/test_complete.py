"""Nothing that members read is left untranslated: every text is found, and every language has all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.language import NAME
from bot.language.__main__ import texts
from bot.language.catalog import FOLDER, available, is_translated, placeholders, read_messages, wrong_placeholders
from bot.language.extraction import ROOT, Text, sentences, spoken, template
from bot.views.translator import CommandTranslator, listed
from tests.bot.worlds import world
from tests.wire import definitions

LANGUAGES = sorted(path.stem for path in FOLDER.glob("*.po"))
FILES = [
    path
    for folder in ("bot/cogs", "bot/views", "bot/replies.py")
    for path in ([ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py")))
]
ALLOWED = {  # text that is no language, or that members never read; each with its reason
    "bot/cogs/metadata.py": {"Read metadata": "a command's name, which the translator finds"},
    "bot/cogs/report.py": {"Report": "the same"},
    "bot/cogs/options.py": {
        "sampler: DDIM, Euler a": "what is typed as an axis, and is read as it stands",
        "prompt: red, blue, green": "the same",
        "weight \ufffc: 0-1 [5]": "the same",
        "adapter: none, \ufffc": "the same",
    },
    "bot/views/attachments.py": {"Discord": "a name"},
    "bot/views/offers.py": {
        "/lora add source:\ufffc": "what is typed",
        "upload": "an origin's key",
        "watch folder": "the same",
    },
    "bot/views/lists.py": {"sha256": "what the field calls it", "AutoV3": "what the field calls it"},
    "bot/views/text.py": {"LRE RLE LRO RLO PDF LRI RLI FSI PDI": "classes of signs"},
}
SILENT = {
    "re.compile",
    "TypeVar",
    "rf",
    "getattr",
    "hasattr",
    "isinstance",
    "app_commands.describe",
    "app_commands.rename",
}
KEYWORDS = {"template", "custom_id", "name", "description", "filename", "exc_info", "extras"}
_WORDS = re.compile(r"[^\W\d_]{2,}[,:;.!?]? ['\"(]?[^\W\d_]|^[A-Z][^\W\d_]+[….!?]?$|[^\W\d_]{3,} ?$|^ ?[^\W\d_]{3,} ")


def unsaid_texts(source: str) -> list[str]:
    """Literals that look like words for members and go past `say`."""
    return [text for text in _texts(ast.parse(source)) if _WORDS.search(text) and not _is_technical(text)]


def _is_technical(text: str) -> bool:
    return bool(re.fullmatch(r"[a-z0-9_./:*+-]*|[A-Z0-9_]+|image/\w+|\.\w+", text))


def _texts(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()) | ast.Raise() | ast.Assert() | ast.Compare():
                continue
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body) | ast.ClassDef(body=body):
                for statement in body:
                    yield from _texts(ast.Module([statement], []))
                continue
            case ast.Call(func=function) if _is_quiet(ast.unparse(function)):
                continue
            case ast.Call(args=args, keywords=keywords):
                loud = [keyword.value for keyword in keywords if keyword.arg not in KEYWORDS]
                yield from _texts(ast.Tuple([child.func, *args, *loud], ast.Load()))
                continue
            case ast.AnnAssign(value=value):
                yield from _texts(ast.Tuple([value] if value else [], ast.Load()))
                continue
        text = template(child)
        if text is None:
            yield from _texts(child)
        else:
            yield re.sub(r"\{\d+\}", "\ufffc", text)
            for inner in ast.walk(child):
                if isinstance(inner, ast.FormattedValue):
                    yield from _texts(inner)


def _is_quiet(function: str) -> bool:
    return function in {"say", "say_many", "unsaid"} or function in SILENT or function.startswith(("log.", "re."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_members_read_nothing_that_was_not_said(path: Path) -> None:
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), {})
    assert [text for text in unsaid_texts(path.read_text("utf-8")) if text not in allowed] == []


@pytest.mark.parametrize(
    "source",
    [
        'note("Deleted.")',
        'ui.Button(label="Again")',
        'ui.TextDisplay(f"{n} waiting")',
        'Card(_text(f"seed {seed}"))',
        'MORE = "There are more."',
        'facts = {"trigger words": 1}',
        'super().__init__(title="Weights")',
        'await channel.send("Hello there")',
        "x = f\"{say('a')} and more\"",
        'x = "a cat" if True else say("a dog")',
        'options = [Option(placeholder="Open one…")]',
    ],
)
def test_the_rule_finds_what_goes_past(source: str) -> None:
    assert unsaid_texts(source)


@pytest.mark.parametrize(
    "source",
    [
        'note(say("Deleted."))',
        'log.info("This is for the log")',
        'raise BadRequest("This is found by the sentences.")',
        'ui.Button(custom_id=f"loom:{verb}:x y")',
        '@app_commands.command(description="Makes pictures.")\nasync def imagine(): "Docs of it."',
        'x = f"- {code(name, 60)} · {value}"',
        'IMAGE_TYPES = ("image/png", "image/jpeg")',
    ],
)
def test_the_rule_lets_pass_what_is_said_or_never_read(source: str) -> None:
    assert unsaid_texts(source) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_said_can_be_found(path: Path) -> None:
    """A text to say is written out, for the collection reads the code; one that is a value was noted by `unsaid`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"say", "say_many", "unsaid"}:
            assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp), ast.unparse(node)


def test_what_is_said_gets_what_it_needs() -> None:
    """The values that are given are the placeholders of the text, for every text that is written out."""
    for path in (ROOT / "bot").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="say"), args=[ast.Constant(value=str(text))], keywords=given):
                    names = {keyword.arg for keyword in given}
                case ast.Call(
                    func=ast.Name(id="say_many"),
                    args=[ast.Constant(), ast.Constant(value=str(text)), _],
                    keywords=given,
                ):
                    names = {"n", *(keyword.arg for keyword in given)}
                case _:
                    continue
            wanted = {field.partition(":")[0].partition("!")[0] for field in placeholders(text) or ()}
            assert None in names or wanted <= names, text


def test_only_forms_are_modals() -> None:
    """What a form answers is in the language of whoever sends it, which `Form` sees to."""
    found = [
        path.name
        for path in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Modal") for base in node.bases)
    ]
    assert found == ["forms.py"]


def test_there_is_chinese() -> None:
    assert "zh-CN" in LANGUAGES


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_every_text_is_translated(locale: str) -> None:
    """`python -m bot.language missing LOCALE` lists what this finds, and `fill` takes the translations."""
    messages = read_messages(FOLDER / f"{locale}.po")
    wanted = await texts()
    for text in wanted:
        identity: Any = (text.english, text.many) if text.many else text.english
        message = messages.get(identity, text.context or None)
        assert message is not None, f"{text} is new: python -m bot.language update"
        assert is_translated(message.string), text
        assert not message.fuzzy, text
        assert wrong_placeholders(message.id, message.string) == ""
    assert len(messages) == len(wanted), "there are texts that are gone: python -m bot.language update"


@pytest.mark.parametrize("locale", LANGUAGES)
async def test_discord_takes_the_commands_in_every_language(locale: str, tmp_path: Path) -> None:
    """All of them are there, by the rules of names and lengths, and none is called like its neighbour."""
    async with world(tmp_path) as w:
        payload = await listed(w.bot.tree, CommandTranslator())
    definitions.check(payload)
    for thing in _things(payload):
        names = thing["name_localizations"]
        assert locale in names, thing["name"]
        if "description" in thing:
            assert 1 <= len(thing["description_localizations"][locale]) <= 100
        options = thing.get("options", ())
        own = [option["name_localizations"][locale] for option in options]
        assert len(set(own)) == len(own)
    tops = [(command.get("type", 1), command["name_localizations"][locale]) for command in payload]
    assert len(set(tops)) == len(tops)


def _things(things: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for thing in things:
        yield thing
        yield from _things(thing.get("options", []))


async def test_the_bot_tells_discord_about_every_language(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        told = [entry for entry in w.env.http_requests if entry.method == "PUT" and "commands" in entry.path]
        assert told
        names = {command["name"]: command["name_localizations"]["zh-CN"] for command in told[-1].json}
    assert names["imagine"] == "画图"


def test_names_are_found_apart_from_words() -> None:
    """The option `seed` and the word "seed" may be translated differently."""
    assert available()["zh-CN"].find("clip_skip", NAME) == "clip跳过层"
    assert available()["zh-CN"].find("clip_skip") is None


def test_sentences_are_collected_with_numbers_for_values() -> None:
    source = '''
def f(name, more):
    """A docstring is no sentence."""
    log.info("Neither is the log.")
    if not name:
        raise ValueError("Nor is what only programmers see.")
    hint = f" Did you mean {more}?"
    raise Missing(f"There is no {name[:3]!r} here{' at all' if more else ''}." + hint)
'''
    assert list(sentences(ast.parse(source))) == ["Did you mean {0}?", "There is no {0} here{1}.{2}", "at all"]


def test_what_is_said_is_collected_as_it_stands() -> None:
    source = 'from ..language import say\nsay("a {b}", b=1)\nsay_many("{n} c", "{n} cs", 2)\nX = unsaid("d")'
    assert set(spoken(ast.parse(source))) == {Text("a {b}"), Text("{n} c", "{n} cs"), Text("d")}
    assert list(spoken(ast.parse('say("ok    done")'))) == []
