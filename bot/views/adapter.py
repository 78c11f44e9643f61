"""One adapter's card, and the buttons under it. Each carries the entry's id, which is looked up for who presses it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import said, say, say_many
from ..orders import CatalogEntry, Details, Triggers
from ..replies import border
from .cards import Card
from .offers import origin_lines
from .reviews import ReviewsButton
from .text import code, safe, shortened, weight

TRIGGERS_SHOWN = 12
ROW = 5  # buttons that Discord shows side by side


class AdapterAction(StrEnum):
    DRAW = "draw"
    KEEP = "keep"
    LET_GO = "letgo"
    FORK = "fork"
    EDIT = "edit"
    RATE = "rate"
    REPORT = "report"
    INFO = "info"
    NAMING = "naming"
    DRAWING = "drawing"
    RIGHTS = "rights"


Deed = Callable[[discord.Interaction[Any], str], Awaitable[None]]
ADAPTER_DEEDS: dict[AdapterAction, Deed] = {}
"""What each button does to the entry of a short id. A card shows the buttons of the deeds that there are."""


def adapter_deed(action: AdapterAction) -> Callable[[Deed], Deed]:
    """The function below is what `action` does to an entry."""

    def register(function: Deed) -> Deed:
        ADAPTER_DEEDS[action] = function
        return function

    return register


class AdapterButton(
    ui.DynamicItem[ui.Button[ui.LayoutView]],
    template=rf"loom:adapter:(?P<action>{'|'.join(AdapterAction)}):(?P<entry>\d{{1,12}})",
):
    """One action on one entry. Whether the one who presses sees it, and may do that, is decided by the use-case."""

    def __init__(self, action: AdapterAction, entry_id: int) -> None:
        label, style = _look(action)
        super().__init__(ui.Button(label=label, style=style, custom_id=f"loom:adapter:{action}:{entry_id}"))
        self.action = action
        self.entry_id = entry_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(AdapterAction(match["action"]), int(match["entry"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await ADAPTER_DEEDS[self.action](interaction, f"#{self.entry_id}")


def _look(action: AdapterAction) -> tuple[str, ButtonStyle]:
    looks = {
        AdapterAction.DRAW: (say("Draw with it…"), ButtonStyle.primary),
        AdapterAction.KEEP: (say("Favourite"), ButtonStyle.secondary),
        AdapterAction.LET_GO: (say("Unfavourite"), ButtonStyle.secondary),
        AdapterAction.FORK: (say("Fork"), ButtonStyle.secondary),
        AdapterAction.EDIT: (say("Edit…"), ButtonStyle.secondary),
        AdapterAction.RATE: (say("Rate…"), ButtonStyle.secondary),
        AdapterAction.REPORT: (say("Report…"), ButtonStyle.secondary),
        AdapterAction.INFO: (say("Done"), ButtonStyle.primary),
        AdapterAction.NAMING: (say("Name and description…"), ButtonStyle.secondary),
        AdapterAction.DRAWING: (say("Weights and words…"), ButtonStyle.secondary),
        AdapterAction.RIGHTS: (say("Maker and warnings…"), ButtonStyle.secondary),
    }
    return looks[action]


def adapter_card(details: Details, files: Sequence[discord.File], *more: ui.Item[Any], notice: str = "") -> Card:
    """Who made it and what it does, its pictures, what its file holds, and the buttons.

    `notice` says why nobody may draw with it here.
    """
    entry = details.entry
    pictures = [ui.MediaGallery[Any](*map(discord.MediaGalleryItem, files))] if files else []
    tag = code(f"<lora:{entry.name}:{weight(entry.weight)}>", 90)
    return Card(
        *([ui.TextDisplay[Any](f"**{safe(said(notice), 500)}**")] if notice else []),
        ui.TextDisplay(_said(details)),
        *pictures,
        ui.TextDisplay("\n".join(_facts(_use(entry)))),
        ui.TextDisplay(shortened("-# " + " · ".join(_facts(_file(entry))), 1500)),
        ui.TextDisplay("-# " + say("Write {tag} in a prompt.", tag=tag)),
        *_rows(details, more),
    )


def stars(entry: CatalogEntry) -> str:
    """The mean of its ratings, and how many there are; "" without any."""
    return f"★ {entry.stars:.1f} ({entry.ratings})" if entry.ratings else ""


def _said(details: Details) -> str:
    """What people say of it."""
    entry, origin = details.entry, details.origin
    head = [f"### {code(entry.name, 60)}", safe(entry.info.family, 40), stars(entry), "18+" if entry.nsfw else ""]
    forked = "" if entry.forked_from is None else say("another adapter")
    facts = {
        say("title"): "" if entry.info.title.casefold() == entry.name.casefold() else safe(entry.info.title, 200),
        say("also called"): code(entry.alias, 60) if entry.alias else "",
        say("made by"): safe(entry.maker, 100),
        say("licence"): safe(said(entry.terms), 300),
        say("forked from"): forked if origin is None else code(origin.name, 60),
        say("tags"): " ".join(f"#{safe(tag, 40)}" for tag in entry.tags),
        say("warning"): say("a real person") if entry.real_person else "",
        say("seen by"): _seen_by(details),
        say("used"): " · ".join(
            filter(
                None,
                (
                    say_many("once", "{n} times", entry.uses),
                    say_many("a favourite of one", "a favourite of {n}", entry.favourites) if entry.favourites else "",
                ),
            )
        ),
    }
    history = [] if details.come_from is None else origin_lines(details.come_from, mine=details.mine)
    words = filter(None, (safe(entry.description, 700),))
    return "\n".join([" · ".join(filter(None, head)), *words, *_facts(facts), *history])


def _seen_by(details: Details) -> str:
    names = {"private": say("only you"), "guild": say("this server"), "everyone": say("everyone on this bot")}
    seen = names[details.entry.visibility]
    return f"{seen} · {say('yours')}" if details.mine and details.entry.visibility != "private" else seen


def _use(entry: CatalogEntry) -> dict[str, str]:
    """How to draw with it."""
    known = {entry.least, entry.most} - {None}
    low, high = ("…" if end is None else weight(end) for end in (entry.least, entry.most))
    span = " · " + say("recommended {low} to {high}", low=low, high=high) if known else ""
    added = {
        Triggers.NONE: say("none are added by themselves"),
        Triggers.CHOSEN: say("added by themselves: {words}", words=_words(entry.chosen)),
        Triggers.ALL: say("all are added by themselves"),
    }[entry.triggers]
    return {
        say("fits"): safe(entry.info.family, 40) or safe(" or ".join(entry.info.fits), 80),
        say("weight"): f"{weight(entry.weight)}{span}",
        say("trigger words"): f"{_words(entry.info.triggers)} · {added}" if entry.info.triggers or entry.chosen else "",
    }


def _file(entry: CatalogEntry) -> dict[str, str]:
    """What the file says of itself."""
    info = entry.info
    layers = ", ".join(f"{count} in {part}" for part, count in info.modules.items())
    return {
        say("layers"): safe(layers, 200),
        say("format"): safe(info.format, 100),
        say("rank"): ", ".join(map(str, info.ranks[:8])),
        say("alpha"): ", ".join(f"{alpha:g}" for alpha in info.alphas[:8]),
        say("size"): f"{info.size / 1024:.0f} KB" if info.size < 1 << 20 else f"{info.size / (1 << 20):.1f} MB",
        say("trained"): safe(", ".join(f"{what} {text}" for what, text in info.trained.items()), 400),
        say("note"): safe("; ".join(info.notes), 200),
        "sha256": code(info.sha256[:12], 12),
        "AutoV3": code(info.autov3, 12),
    }


def _facts(facts: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in facts.items() if value]


def _words(words: Sequence[str]) -> str:
    return " ".join(code(word, 40) for word in words[:TRIGGERS_SHOWN])


def _rows(details: Details, more: Sequence[ui.Item[Any]]) -> list[ui.Item[Any]]:
    act = AdapterAction
    favour = act.LET_GO if details.favourite else act.KEEP
    wanted = [act.DRAW, favour, act.FORK, *([act.EDIT] if details.mine else [act.RATE, act.REPORT])]
    buttons = [AdapterButton(action, details.entry.id) for action in wanted if action in ADAPTER_DEEDS]
    reviews = [ReviewsButton(details.entry.id)] if details.entry.ratings else []
    items: list[ui.Item[Any]] = [*buttons, *reviews, *more]
    return [ui.ActionRow[Any](*items[at : at + ROW]) for at in range(0, len(items), ROW)]
