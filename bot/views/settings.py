"""The card of /settings: every setting in force, and who says so."""

from __future__ import annotations

from collections.abc import Sequence

from discord import ui

from ..language import NAME, answering, named, say
from ..orders import Level
from ..orders.governing import Shown
from ..orders.settings import NAMES, Settings
from .cards import Card
from .text import code, lines

NAMES_SHOWN = 12  # of allowed models or adapters


def settings_card(shown: Shown, level: Level, *, changed: bool, names: Sequence[str] = NAMES) -> Card:
    """A line a setting that anybody has said anything about, and what it means that the others are not there."""
    head = say("Changed. This counts now:") if changed else _head(level)
    said = [
        f"- {_name(name)}: {_value(name, shown)} · {_source(shown.found.sources[name])}"
        for name in names
        if name in shown.found.sources
    ]
    rest = say("Whatever is not listed has no limit, and is as the base model and your Discord have it.")
    return Card(ui.TextDisplay(lines([head, *said, f"-# {rest}"], say("And more."))))


def _head(level: Level) -> str:
    if level is Level.MEMBER:
        return say("This counts for you here:")
    return say("This counts in this server:") if level is Level.SERVER else say("This counts in this channel:")


def _name(name: str) -> str:
    """What the option is called with which it is changed."""
    return named(name, answering(), NAME) or name


def _source(level: Level) -> str:
    return {
        Level.CONFIGURATION: say("from the bot's configuration"),
        Level.SERVER: say("said by this server"),
        Level.CHANNEL: say("said by this channel"),
        Level.MEMBER: say("chosen by you"),
    }[level]


def _value(name: str, shown: Shown) -> str:
    settings = shown.found.settings
    value = getattr(settings, name)
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if name == "size":
        return f"{settings.width}×{settings.height}"
    if name in ("models", "adapters"):
        return _listed(shown.adapters if name == "adapters" else value, _num(name, settings))
    return code(f"{value:g}" if isinstance(value, float) else str(value), 200)


def _num(name: str, settings: Settings) -> int:
    return len(getattr(settings, name) or ())


def _listed(names: tuple[str, ...], number: int) -> str:
    """Some of the names; those of adapters that whoever asks does not see are only counted."""
    if not number:
        return say("none at all")
    listed = [code(name, 60) for name in names[:NAMES_SHOWN]]
    more = number - len(listed)
    return " ".join([*listed, say("and {n} more", n=more)] if more else listed)
