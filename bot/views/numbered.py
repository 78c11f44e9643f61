"""Buttons and menus of cards that wait for an answer: their ids carry a number, whose meaning is in the database."""

from __future__ import annotations

import re
from typing import Any, Self

import discord
from discord import ui

NUMBER = r"(?P<number>[0-9A-Za-z_-]{22})"
"""What `bot.store.questions` gives."""


class Numbered:
    """An item that its id makes anew: the names in its template are those of its arguments."""

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        make: Any = cls
        made: Self = make(**match.groupdict())
        return made
