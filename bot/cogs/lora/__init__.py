"""/lora: a file for each thing that members do with adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord.ext import commands

from ...views.adding import ITEMS
from .add import Add
from .find import Find
from .judge import Judge
from .share import Share

if TYPE_CHECKING:
    from ...client import Bot


class Lora(Find, Add, Share, Judge, commands.GroupCog, name="lora", description="The adapters you can draw with."):
    """One group of commands from four files."""


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(*ITEMS)
    await bot.add_cog(Lora())


async def teardown(bot: Bot) -> None:
    bot.remove_dynamic_items(*ITEMS)
