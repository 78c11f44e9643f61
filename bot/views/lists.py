"""Answers that are lists of facts: the queue, the adapters, one adapter."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..language import say
from ..orders import CatalogEntry, Queue
from .cards import Card
from .text import code, lines, safe

PROMPT_SHOWN = 80
WORDS_SHOWN = 4


def queue(line: Queue) -> Card:
    waiting = "Nothing waits" if line.waiting == 0 else f"{line.waiting} waiting"
    mine = []
    for job, ticket in line.mine:
        about = "" if ticket.wait is None else f", about {max(1, round(ticket.wait))} s"
        mine.append(f"- place {ticket.place}{about}: {code(job.request.prompt, PROMPT_SHOWN)}")
    left = "" if line.left is None else f" You may order {line.left:.0f} s more of drawing today."
    head = f"{waiting}, {line.running} running.{left}"
    return Card(ui.TextDisplay(lines([head, *mine], "And more of yours.")))


def adapters(entries: Sequence[CatalogEntry], search: str) -> Card:
    if not entries:
        wanted = say(" with {needle}", needle=code(search, 50)) if search.strip() else ""
        return Card(ui.TextDisplay(say("There are no adapters{wanted} that you can use here.", wanted=wanted)))
    facts = ((code(entry.name, 60), safe(entry.info.family, 40), _words(entry)) for entry in entries)
    more = say("There are more: write a part of the name after `search`, or send `/lora browse`.")
    return Card(ui.TextDisplay(lines((f"- {' · '.join(filter(None, each))}" for each in facts), more)))


def _words(entry: CatalogEntry) -> str:
    return " ".join(code(word, 40) for word in (entry.chosen or entry.info.triggers)[:WORDS_SHOWN])
