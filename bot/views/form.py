"""What every form has in common: it is one person's, in one place, and what goes wrong in it is answered."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from ..orders import TooLate
from ..replies import answer_error

TIMEOUT = 15 * 60.0  # seconds; Discord does not say when someone closes a form, so it is forgotten some time


class Form(ui.Modal):
    """Only whom it was shown to can send it, and only where. discord.py finds a form by its id and asks nobody."""

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=TIMEOUT)
        self._shown: tuple[int, int | None] | None = None  # member and server

    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """The form is on the screen of whoever interacted."""
        self._shown = (interaction.user.id, interaction.guild_id)
        await interaction.response.send_modal(self)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        if self._shown != (interaction.user.id, interaction.guild_id):
            raise TooLate("This form was shown to somebody else. Open it yourself.")
        return True

    async def on_error(  # type: ignore[override]  # a form's errors have no item, unlike a view's
        self, interaction: discord.Interaction[Any], error: Exception
    ) -> None:
        await answer_error(interaction, error)
