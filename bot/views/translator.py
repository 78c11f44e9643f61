"""What Discord lists of the commands, in every language there is: their names, descriptions, options and choices."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
from discord import app_commands
from discord.app_commands import TranslationContextLocation as Place

from engine import SAMPLERS, SCHEDULES

from ..language import NAME, available, named

_NAMES = {Place.command_name, Place.group_name, Place.parameter_name}
_PROPER = {*SAMPLERS, *SCHEDULES}  # called the same everywhere


class CommandTranslator(app_commands.Translator):
    """Asked by discord.py for every text of every command, when it tells them to Discord."""

    async def load(self) -> None:
        await asyncio.to_thread(available)  # read once, before anybody is answered

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> str | None:
        return named(string.message, locale.value, _context(context.location))


class _Listener(app_commands.Translator):
    """Translates nothing and remembers what it was asked for."""

    def __init__(self) -> None:
        self.heard: set[tuple[str, str]] = set()

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> None:
        if context.location is not Place.choice_name or string.message not in _PROPER:
            self.heard.add((string.message, _context(context.location)))


async def listed(
    tree: app_commands.CommandTree[Any], translator: app_commands.Translator | None
) -> list[dict[str, Any]]:
    """The commands as Discord is told them; without a translator in English alone."""
    commands = tree.get_commands()
    if translator is None:
        return [command.to_dict(tree) for command in commands]
    return [await command.get_translated_payload(tree, translator) for command in commands]


async def listed_texts(tree: app_commands.CommandTree[Any]) -> set[tuple[str, str]]:
    """Every text of the commands that a translation can have, with the context it is found by."""
    listener = _Listener()
    await listed(tree, listener)
    return listener.heard


def _context(place: Place) -> str:
    return NAME if place in _NAMES else ""
