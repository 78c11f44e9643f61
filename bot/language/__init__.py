"""What members read, in their language. English is the text in the code; a translation is looked up by it.

Who is being answered is told by `answer_in`, or by `Languages.speak_to`, at the entry of every interaction and post;
it holds for the task that says it and for the tasks that this one starts. The translations are the files of
`bot/locales`, one a language; `python -m bot.language` keeps them in step with the code.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .catalog import NAME, Catalog, available, catalog_of

if TYPE_CHECKING:
    from ..orders import Who

__all__ = [
    "NAME",
    "Languages",
    "answer_in",
    "answering",
    "available",
    "named",
    "preferred",
    "said",
    "say",
    "say_many",
    "unsaid",
]

log = logging.getLogger(__name__)

Choice = Callable[["Who"], Awaitable[str | None]]
"""The locale that this person, or the place they are in, has chosen; None where neither has."""

_answering: ContextVar[str] = ContextVar("answering", default="")


def answer_in(locale: str) -> None:
    """From here on, this task answers somebody who reads `locale` ("zh-CN"), as far as it is translated."""
    _answering.set(locale)


def answering() -> str:
    """The locale that is being answered in: the one of the translation that is used, "en" without one."""
    catalog = _catalog()
    return "en" if catalog is None else catalog.locale


def say(text: str, /, **values: object) -> str:
    """`text` in the language of whoever is being answered, with `{name}` filled from `values`."""
    catalog = _catalog()
    translated = text if catalog is None else catalog.text(text)
    return translated.format(**values) if values else translated


def say_many(one: str, many: str, number: int, /, **values: object) -> str:
    """`one` for a single thing, `many` otherwise, by the rule of the language of whoever is being answered; `{n}` is
    the number.
    """
    catalog = _catalog()
    translated = (one if number == 1 else many) if catalog is None else catalog.text_of_many(one, many, number)
    return translated.format(n=number, **values)


def said(sentence: str) -> str:
    """A finished English sentence from below (an error, a note, a report) in the language of whoever is being answered.

    It is found by its pattern, and the sentences inside it too. What no translation knows stays English.
    """
    catalog = _catalog()
    return sentence if catalog is None else catalog.sentences.translated(sentence)


def unsaid(text: str) -> str:
    """`text` as it is, noted for translation: where it is written down before anybody is answered. `say` says it."""
    return text


def named(text: str, locale: str, context: str = "") -> str | None:
    """`text` as a command's list has it in that locale; None where there is no translation."""
    catalog = catalog_of(locale)
    return None if catalog is None else catalog.find(text, context)


def preferred(accepted: str) -> str:
    """The locale of a browser's Accept-Language ("zh-CN,zh;q=0.9,en;q=0.8") that comes first and is spoken here."""
    wishes = []
    for place, wish in enumerate(accepted[:1000].split(",")):
        locale, _, weight = wish.partition(";")
        share = re.fullmatch(r"q=(0(?:\.\d{1,3})?|1(?:\.0{1,3})?)", weight.strip() or "q=1")
        if share is not None and float(share[1]) > 0:
            wishes.append((-float(share[1]), place, locale.strip()))
    spoken = (locale for _, _, locale in sorted(wishes) if locale.partition("-")[0].lower() == "en" or _known(locale))
    return next(spoken, "")


def _known(locale: str) -> bool:
    return catalog_of(locale) is not None


def _catalog() -> Catalog | None:
    return catalog_of(_answering.get())


class Languages:
    """Who reads which language: what they or their server chose, else what their Discord speaks."""

    def __init__(self, choice: Choice | None = None) -> None:
        self.choice = choice

    async def of(self, who: Who) -> str:
        """The locale for this person, "" for English. A choice that cannot be read now does not count."""
        from ..orders.errors import StorageError

        try:
            chosen = await self.choice(who) if self.choice is not None else None
        except StorageError as error:
            log.warning("The language of member %d cannot be read: %s", who.member_id, error)
            chosen = None
        return chosen or who.locale

    async def speak_to(self, who: Who) -> None:
        """From here on, this task answers this person in their language."""
        answer_in(await self.of(who))
