"""Answers that are lists of facts: the queue, the adapters, one adapter."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..language import said, say, say_many, unsaid
from ..orders import CatalogEntry, Job, Queue, Ticket
from .cards import Card
from .text import code, lines, safe

PROMPT_SHOWN = 80
TRIGGERS_SHOWN = 12
MORE = unsaid("There are more: write a part of the name after `search`.")


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
        return Card(
            ui.TextDisplay(
                say("There are no adapters with {part} in their names that you can use here.", part=searched)
            )
        )
    facts = ((code(entry.name, 60), _family(entry), _triggers(entry, 4)) for entry in entries)
    return Card(ui.TextDisplay(lines((f"- {' · '.join(filter(None, each))}" for each in facts), say(MORE))))


def adapter(entry: CatalogEntry) -> Card:
    info = entry.info
    modules = ", ".join(say("{n} in {part}", n=count, part=part) for part, count in info.modules.items())
    facts = {
        say("fits"): _family(entry) or safe(say(" or ").join(info.fits), 80),
        say("trigger words"): _triggers(entry, TRIGGERS_SHOWN),
        say("format"): safe(info.format, 100),
        say("rank"): ", ".join(map(str, info.ranks[:8])),
        say("alpha"): ", ".join(f"{alpha:g}" for alpha in info.alphas[:8]),
        say("layers"): safe(modules, 200),
        say("size"): f"{info.size / 1024:.0f} KB" if info.size < 1 << 20 else f"{info.size / (1 << 20):.1f} MB",
        say("title"): safe(info.title, 200),
        say("made by"): safe(info.author, 100) or (say("comes with the bot") if entry.owner_id is None else ""),
        say("licence"): safe(info.license, 100),
        say("trained"): safe(", ".join(f"{what} {text}" for what, text in info.trained.items()), 400),
        say("note"): safe("; ".join(map(said, info.notes)), 200),
        say("used"): say_many("{n} time", "{n} times", entry.uses),
        "sha256": code(info.sha256[:12], 12),
        "AutoV3": code(info.autov3, 12),
    }
    told = [code(entry.name, 60), *(f"{name}: {value}" for name, value in facts.items() if value)]
    hint = say("Write {tag} in a prompt.", tag=code(f"<lora:{entry.name}:0.8>", 90))
    return Card(ui.TextDisplay("\n".join([*told, f"-# {hint}"])))


def _family(entry: CatalogEntry) -> str:
    return safe(entry.info.family, 40)


def _triggers(entry: CatalogEntry, most: int) -> str:
    return " ".join(code(word, 40) for word in entry.info.triggers[:most])
