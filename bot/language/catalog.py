"""The translations into one language, as read from `bot/locales`: gettext's files, named by Discord's locales."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from gettext import c2py
from io import BytesIO
from pathlib import Path
from string import Formatter

from babel import Locale, UnknownLocaleError
from babel.messages.catalog import Catalog as Messages
from babel.messages.pofile import PoFileError, read_po

from .sentences import Sentences

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent.parent / "locales"
NAME = "name"  # the context of names of commands and options, which have rules of their own

Key = tuple[str, str]  # context ("" mostly), English
Strings = str | tuple[str, ...] | list[str] | None  # one, or the forms of many, as Babel has them


class CatalogUnreadable(Exception):
    """A file of translations cannot be used; the sentence names it and says why."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """`locale` as Discord writes it. Only translations with the placeholders of their English are in here."""

    locale: str
    texts: Mapping[Key, str]
    forms: Mapping[Key, tuple[str, ...]] = field(default_factory=dict)
    form: Callable[[int], int] = lambda number: int(number != 1)
    sentences: Sentences = field(default_factory=lambda: Sentences({}))

    def find(self, text: str, context: str = "") -> str | None:
        return self.texts.get((context, text))

    def text(self, text: str) -> str:
        return self.texts.get(("", text), text)

    def text_of_many(self, one: str, many: str, number: int) -> str:
        """The form that the language has for this number of things."""
        forms = self.forms.get(("", one))
        return forms[self.form(number)] if forms is not None else (one if number == 1 else many)


def read_catalog(path: Path) -> Catalog:
    """The translations of one file, for the locale that it is named by. Raises CatalogUnreadable."""
    try:
        messages = read_messages(path)
        form = c2py(messages.plural_expr)
    except (OSError, ValueError, PoFileError, UnknownLocaleError) as error:
        raise CatalogUnreadable(f"The translations of {path.name} cannot be read: {error}") from error
    texts: dict[Key, str] = {}
    forms: dict[Key, tuple[str, ...]] = {}
    for message in messages:
        if not message.id or message.fuzzy or not is_translated(message.string):
            continue
        if wrong := wrong_placeholders(message.id, message.string):
            log.error("%s: %r is not used, for its placeholders differ: %s", path.name, message.string, wrong)
        elif isinstance(message.id, str):
            texts[message.context or "", message.id] = str(message.string)
        else:
            forms[message.context or "", message.id[0]] = tuple(_forms(message.string))
    said = {text: translation for (context, text), translation in texts.items() if not context}
    return Catalog(path.stem, texts, forms, form, Sentences(said))


def read_messages(path: Path) -> Messages:
    """The file as Babel has it. Raises what `read_catalog` catches."""
    return read_po(BytesIO(path.read_bytes()), locale=Locale.parse(path.stem, sep="-"), abort_invalid=True)


def is_translated(string: Strings) -> bool:
    return bool(string) if string is None or isinstance(string, str) else bool(string) and all(string)


def wrong_placeholders(english: Strings, string: Strings) -> str:
    """What is amiss with the placeholders of a translation; "" where they are those of the English.

    A form of many may leave the number away, as `one` does.
    """
    own = placeholders(_forms(english)[-1])
    for text in _forms(string):
        theirs = placeholders(text)
        if theirs is None or own is None:
            return f"{text!r} has a brace without its other half" if theirs is None else ""
        if theirs - own or own - theirs - ({"n"} if not isinstance(english, str) else set()):
            return f"{sorted(theirs)} instead of {sorted(own)}"
    return ""


def _forms(strings: Strings) -> Sequence[str]:
    return (strings or "",) if strings is None or isinstance(strings, str) else strings


def placeholders(text: str) -> set[str] | None:
    """What stands in braces, formats too, since those count on the value; None where str.format cannot read it."""
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError:
        return None
    return {
        f"{name}{(conversion and '!' + conversion) or ''}{(form and ':' + form) or ''}"
        for _, name, form, conversion in parts
    }


@cache
def available(folder: Path = FOLDER) -> Mapping[str, Catalog]:
    """Every language there is beside English, by locale. A file that cannot be used is logged and left out."""
    found = {}
    for path in sorted(folder.glob("*.po")):
        try:
            found[path.stem] = read_catalog(path)
        except CatalogUnreadable as error:
            log.error("%s", error)
    return found


@lru_cache(maxsize=256)  # browsers may ask for anything
def catalog_of(locale: str) -> Catalog | None:
    """The translations for a locale, or for another of its language; None for English and where there are none."""
    catalogs = available()
    wanted = locale.casefold()
    language = wanted.partition("-")[0]
    own = [catalog for name, catalog in catalogs.items() if name.casefold() == wanted]
    near = [catalog for name, catalog in catalogs.items() if name.partition("-")[0] == language != "en"]
    return next(iter([*own, *near]), None)
