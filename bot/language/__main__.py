"""The translator's desk: `python -m bot.language COMMAND`.

  update            brings every file of bot/locales in step with the code: new texts empty, gone ones removed
  new LOCALE        makes the file of one more language; LOCALE as Discord writes it, such as ja or pt-BR
  missing LOCALE    prints what is not translated, as JSON: a list of {"english", "many", "context", "text"}
  fill LOCALE FILE  takes such a list with its "text" filled in (a list of forms where there is a "many"); - is stdin

A translation keeps the placeholders of its text: {name}, {0}. Texts with the context "name" are names of commands and
options: lower case, without spaces, at most 32 characters. Descriptions have at most 100. Restart the bot afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from babel import Locale
from babel.messages.catalog import Catalog as Messages
from babel.messages.pofile import write_po

from .catalog import FOLDER, is_translated, read_messages, wrong_placeholders
from .extraction import Text, texts_of_code


async def texts() -> dict[Text, list[str]]:
    """Every text that a complete translation holds, and where it comes from."""
    from .. import create_bot
    from ..client import EXTENSIONS
    from ..config import BotConfig, Data
    from ..views.translator import listed_texts

    found = texts_of_code()
    with TemporaryDirectory() as folder:
        bot = create_bot(BotConfig(data=Data(folder=Path(folder))))
        async with bot:
            for extension in EXTENSIONS:
                await bot.load_extension(extension)
            for english, context in sorted(await listed_texts(bot.tree)):
                found.setdefault(Text(english, context=context), []).append("commands")
    return found


def updated(path: Path, wanted: dict[Text, list[str]]) -> Messages:
    """The translations of a file, which need not exist, in step with the texts that are wanted."""
    locale = Locale.parse(path.stem, sep="-")
    old = read_messages(path) if path.is_file() else Messages(locale)
    new = Messages(locale)
    for text, places in sorted(wanted.items(), key=lambda item: (item[1][0], item[0])):
        known = old.get(_id(text), text.context or None)
        string = known.string if known is not None and known.id == _id(text) else ""
        new.add(_id(text), string, locations=[(place, 0) for place in places], context=text.context or None)
    if path.is_file():
        new.header_comment = old.header_comment
        new.mime_headers = old.mime_headers  # its rule for forms of many
    else:
        new.header_comment = f"# Loraloom in {locale.english_name}."
    return new


def write(path: Path, messages: Messages) -> None:
    """The file holds the messages, always in the same order and without the time, so that changes can be read."""
    comment = (messages.header_comment or "").strip()
    plural = f"nplurals={messages.num_plurals}; plural={messages.plural_expr};"
    fields = f"Language: {path.stem}", "Content-Type: text/plain; charset=utf-8", f"Plural-Forms: {plural}"
    head = "\n".join([comment, 'msgid ""', 'msgstr ""', *(f'"{field}\\n"' for field in fields)])
    with path.open("wb") as file:
        file.write(f"{head}\n\n".encode())
        write_po(file, messages, width=120, omit_header=True, include_lineno=False)


def missing(messages: Messages) -> list[dict[str, Any]]:
    """What is not translated yet, or cannot be used as it is."""
    found = []
    for message in messages:
        if message.id and (
            not is_translated(message.string) or message.fuzzy or wrong_placeholders(message.id, message.string)
        ):
            one, many = message.id if not isinstance(message.id, str) else (message.id, "")
            found.append({"english": one, "many": many, "context": message.context or "", "text": ""})
    return found


def fill(messages: Messages, translations: Sequence[dict[str, Any]]) -> list[str]:
    """The translations are in; a complaint for each that is not, and why."""
    complaints = []
    for given in translations:
        english, many = given["english"], given.get("many", "")
        text: Any = given["text"]
        identity: Any = (english, many) if many else english
        message = messages.get(identity, given.get("context") or None)
        if message is None or message.id != identity:
            complaints.append(f"{english!r} is no text of the bot any more.")
        elif many and (isinstance(text, str) or len(text) != messages.num_plurals):
            complaints.append(f"{english!r} has {messages.num_plurals} forms in this language: give a list of so many.")
        elif wrong := wrong_placeholders(identity, text):
            complaints.append(f"{english!r}: {wrong}")
        elif is_translated(text):
            message.string = tuple(text) if many else text
            message.flags.discard("fuzzy")
    return complaints


def _id(text: Text) -> str | tuple[str, str]:
    return (text.english, text.many) if text.many else text.english


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where something was not taken."""
    parser = argparse.ArgumentParser(
        prog="python -m bot.language", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("update", "new", "missing", "fill"))
    parser.add_argument("locale", nargs="?")
    parser.add_argument("file", nargs="?")
    asked = parser.parse_args(arguments)
    if (asked.locale is None) != (asked.command == "update") or (asked.file is None) == (asked.command == "fill"):
        parser.error("new, missing and fill want a LOCALE, and fill alone a FILE")
    wanted = asyncio.run(texts())
    if asked.command == "update":
        for path in sorted(FOLDER.glob("*.po")):
            messages = updated(path, wanted)
            write(path, messages)
            print(f"{path.stem}: {len(messages)} texts, {len(missing(messages))} not translated")
        return 0
    path = FOLDER / f"{asked.locale}.po"
    messages = updated(path, wanted)
    if asked.command == "missing":
        print(json.dumps(missing(messages), ensure_ascii=False, indent=1))
        return 0
    complaints = fill(messages, _given(asked.file)) if asked.command == "fill" else []
    write(path, messages)
    print("\n".join([*complaints, f"{len(missing(messages))} of {len(messages)} texts are not translated"]))
    return 1 if complaints else 0


def _given(file: str) -> list[dict[str, Any]]:
    text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    translations: list[dict[str, Any]] = json.loads(text)
    return translations


if __name__ == "__main__":
    sys.exit(main())
