"""What may be drawn and shown where: the words of a prompt, adapters not fit for everybody, adapters of real people.

The same rules are asked when something is ordered, when it begins, and when it is shown, each time of the place as it
is then: a channel may have ceased to be for adults while its picture was drawn.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from engine import BadRequest, PromptError, Request, Wildcards, parse_prompt, seeded, unfolded

from .errors import ContentRefused
from .screen import Finding, Words
from .settings import Settings
from .values import CatalogEntry, Who

MOST_TEXT = 300_000  # characters, which takes a tenth of a second
MINORS = "This is not drawn anywhere, for anybody: it puts minors together with sexual content."
WITHHELD = (
    "This was drawn, and it is not fit for everybody, so it is not shown here. /history opens it in an age-restricted "
    "channel."
)
NOT_SHOWN = "This is not fit for everybody, so it is shown only in an age-restricted channel."
REAL = "This came out not fit for everybody, and it shows a real person, so it is shown to nobody."
OFF = "This is not fit for everybody, and such pictures are not shown here."


class SettingsOf(Protocol):
    """Where settings are kept."""

    async def of(self, who: Who) -> Settings:
        """What is in force for this person in this place, of all levels together."""
        ...


class Unset:
    """Nobody has chosen anything."""

    async def of(self, who: Who) -> Settings:
        return Settings()


class Content:
    """A `Rule` of the gate. Where nobody chose, mature pictures are for age-restricted places, and real people off."""

    def __init__(
        self, words: Words | None = None, settings: SettingsOf | None = None, wildcards: Sequence[Path] = ()
    ) -> None:
        """`wildcards` are the folders of which a prompt may take lines."""
        self._words = words or Words()
        self._settings = settings or Unset()
        self._wildcards = tuple(wildcards)

    async def __call__(self, request: Request, entries: Sequence[CatalogEntry], who: Who) -> None:
        """Returns where this person may have this drawn in this place. Raises ContentRefused, which names the rule."""
        settings = await self._settings.of(who)
        nsfw = next((entry for entry in entries if entry.nsfw), None)
        for found in await self._findings(request, mature=nsfw is not None):
            if found.rule in ("never", "minors"):
                raise ContentRefused(MINORS)
            if found.rule == "blocked":
                raise ContentRefused(f"{found.word!r} is not drawn here; say it in other words.")
            _require_mature(repr(found.word), settings, who)
            _require_nobody(entries)
        if nsfw is not None:
            _require_mature(nsfw.public_name, settings, who)
            _require_nobody(entries)
        person = next((entry for entry in entries if entry.real_person), None)
        if person is not None and not settings.real_people:
            raise ContentRefused(f"{person.public_name} shows a real person; such adapters are not drawn with here.")

    async def mature(self, request: Request, entries: Sequence[CatalogEntry]) -> bool:
        """Whether what is drawn is not for everybody, as far as that can be told beforehand."""
        if any(entry.nsfw for entry in entries):
            return True
        return bool(await self._findings(request))

    async def objection(self, entries: Sequence[CatalogEntry], who: Who, *, drawn: bool = False) -> str:
        """Why a mature picture made with these may not be shown to this person in this place now; "" where it may.

        `drawn`: it is shown for the first time.
        """
        if any(entry.real_person for entry in entries):
            return REAL
        if not who.adult:
            return WITHHELD if drawn else NOT_SHOWN
        return OFF if (await self._settings.of(who)).mature is False else ""

    async def _findings(self, request: Request, *, mature: bool = False) -> Sequence[Finding]:
        """What there is in any text that is drawn, each finding once. Raises ContentRefused where they are too many."""

        def look() -> Sequence[Finding]:
            found = (self._words.screened(text, mature=mature) for text in _texts(request, Wildcards(self._wildcards)))
            return tuple(dict.fromkeys(one for one in found if one is not None))

        return await asyncio.to_thread(look)


def _texts(request: Request, wildcards: Wildcards) -> Iterable[str]:
    """Every text that says what to draw: the prompt as written, and what variants, wildcards and editing make of it.

    What a negative prompt names is kept out, and is no reason to refuse.
    """
    texts = {request.prompt: None}
    with contextlib.suppress(PromptError, BadRequest):  # the engine will refuse it in its own words
        for one in unfolded(seeded(request, lambda: 0), wildcards):
            texts[one.prompt] = None
            parsed = parse_prompt(one.prompt)
            texts |= dict.fromkeys(parsed.texts(one.steps))
            if one.hires is not None:  # its second pass goes on with the editing, in stages of its own
                texts |= dict.fromkeys(parsed.texts(one.hires.steps or one.steps, one.steps))
            if sum(map(len, texts)) > MOST_TEXT:
                raise ContentRefused("This prompt stands for too many different texts to look through; shorten it.")
    return texts


def _require_mature(what: str, settings: Settings, who: Who) -> None:
    if settings.mature is False:
        raise ContentRefused(f"{what} makes pictures that are not fit for everybody, and those are not made here.")
    if not who.adult:
        raise ContentRefused(
            f"{what} makes pictures that are not fit for everybody; those are made in age-restricted channels only."
        )


def _require_nobody(entries: Sequence[CatalogEntry]) -> None:
    person = next((entry for entry in entries if entry.real_person), None)
    if person is not None:
        name = person.public_name
        raise ContentRefused(f"{name} shows a real person, who is drawn only so that it is for everybody.")
