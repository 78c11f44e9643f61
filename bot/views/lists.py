"""Answers that are lists of facts: the queue, the adapters, one adapter."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..orders import CatalogEntry, Queue
from .cards import Card
from .text import code, lines, safe

PROMPT_SHOWN = 80
TRIGGERS_SHOWN = 12
MORE = "There are more: write a part of the name after `search`."


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
        wanted = f" with {code(search, 50)} in their names" if search.strip() else ""
        return Card(ui.TextDisplay(f"There are no adapters{wanted} that you can use here."))
    facts = ((code(entry.name, 60), _family(entry), _triggers(entry, 4)) for entry in entries)
    return Card(ui.TextDisplay(lines((f"- {' · '.join(filter(None, each))}" for each in facts), MORE)))


def adapter(entry: CatalogEntry) -> Card:
    info = entry.info
    modules = ", ".join(f"{count} in {part}" for part, count in info.modules.items())
    facts = {
        "fits": _family(entry) or safe(" or ".join(info.fits), 80),
        "trigger words": _triggers(entry, TRIGGERS_SHOWN),
        "format": safe(info.format, 100),
        "rank": ", ".join(map(str, info.ranks[:8])),
        "alpha": ", ".join(f"{alpha:g}" for alpha in info.alphas[:8]),
        "layers": safe(modules, 200),
        "size": f"{info.size / 1024:.0f} KB" if info.size < 1 << 20 else f"{info.size / (1 << 20):.1f} MB",
        "title": safe(info.title, 200),
        "made by": safe(info.author, 100) or ("comes with the bot" if entry.owner_id is None else ""),
        "licence": safe(info.license, 100),
        "trained": safe(", ".join(f"{what} {text}" for what, text in info.trained.items()), 400),
        "note": safe("; ".join(info.notes), 200),
        "used": f"{entry.uses} times",
        "sha256": code(info.sha256[:12], 12),
        "AutoV3": code(info.autov3, 12),
    }
    said = [code(entry.name, 60), *(f"{name}: {value}" for name, value in facts.items() if value)]
    return Card(ui.TextDisplay("\n".join([*said, f"-# Write {code(f'<lora:{entry.name}:0.8>', 90)} in a prompt."])))


def _family(entry: CatalogEntry) -> str:
    return safe(entry.info.family, 40)


def _triggers(entry: CatalogEntry, most: int) -> str:
    return " ".join(code(word, 40) for word in entry.info.triggers[:most])
