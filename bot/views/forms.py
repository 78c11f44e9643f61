"""What every form has in common: it speaks the language of whoever sends it, and answers what goes wrong."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from ..replies import answer_error

TIMEOUT = 15 * 60.0  # seconds; Discord does not say when someone closes a form, so it is forgotten some time


class Form(ui.Modal):
    """A modal. Whoever subclasses it adds fields and `on_submit`."""

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=TIMEOUT)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        await interaction.client.speak_to(interaction)
        return True

    async def on_error(  # type: ignore[override]  # a form's errors have no item, unlike a view's
        self, interaction: discord.Interaction[Any], error: Exception
    ) -> None:
        await answer_error(interaction, error)
