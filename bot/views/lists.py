"""Answers that are lists of facts: the queue, the adapters, one adapter."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..language import say, unsaid
from ..orders import CatalogEntry, Job, Queue, Ticket
from .cards import Card
from .text import code, lines, safe

PROMPT_SHOWN = 80
WORDS_SHOWN = 4
MORE = unsaid("There are more: write a part of the name after `search`, or send `/lora browse`.")


def queue(line: Queue) -> Card:
    head = [
        say("{waiting} waiting, {running} running.", waiting=line.waiting, running=line.running)
        if line.waiting
        else say("Nothing waits, {running} running.", running=line.running)
    ]
    if line.left is not None:
        head.append(say("You may order {seconds:.0f} s more of drawing today.", seconds=line.left))
    mine = [_waiting(job, ticket) for job, ticket in line.mine]
    return Card(ui.TextDisplay(lines([" ".join(head), *mine], say("And more of yours."))))


def _waiting(job: Job, ticket: Ticket) -> str:
    prompt = code(job.request.prompt, PROMPT_SHOWN)
    if ticket.wait is None:
        return "- " + say("place {place}: {prompt}", place=ticket.place, prompt=prompt)
    seconds = max(1, round(ticket.wait))
    return "- " + say("place {place}, about {seconds} s: {prompt}", place=ticket.place, seconds=seconds, prompt=prompt)


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
