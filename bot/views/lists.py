"""Answers that are lists of facts: the adapters."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..language import say, unsaid
from ..orders import CatalogEntry
from .cards import Card
from .text import code, lines, safe

WORDS_SHOWN = 4
MORE = unsaid("There are more: write a part of the name after `search`, or send `/lora browse`.")


def adapters(entries: Sequence[CatalogEntry], search: str) -> Card:
    if not entries:
        if not search.strip():
            return Card(ui.TextDisplay(say("There are no adapters that you can use here.")))
        searched = code(search, 50)
        return Card(ui.TextDisplay(say("There are no adapters with {part} that you can use here.", part=searched)))
    facts = ((code(entry.name, 60), safe(entry.info.family, 40), _words(entry)) for entry in entries)
    return Card(ui.TextDisplay(lines((f"- {' · '.join(filter(None, each))}" for each in facts), say(MORE))))


def _words(entry: CatalogEntry) -> str:
    return " ".join(code(word, 40) for word in (entry.chosen or entry.info.triggers)[:WORDS_SHOWN])
