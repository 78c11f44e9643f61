"""What every form has in common: it is one person's, in one place, in their language, and answers what goes wrong."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from ..orders import TooLate
from ..replies import answer_error

TIMEOUT = 15 * 60.0  # seconds; Discord does not say when someone closes a form, so it is forgotten some time


class Form(ui.Modal):
    """A modal, which only whom it was shown to can send, and only where: discord.py finds it by its id and asks nobody.

    Whoever subclasses it adds fields and `on_submit`.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title=title, timeout=TIMEOUT)
        self._shown: tuple[int, int | None] | None = None  # member and server

    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """The form is on the screen of whoever interacted."""
        self._shown = (interaction.user.id, interaction.guild_id)
        await interaction.response.send_modal(self)

    async def interaction_check(self, interaction: discord.Interaction[Any], /) -> bool:
        await interaction.client.speak_to(interaction)
        if self._shown != (interaction.user.id, interaction.guild_id):
            raise TooLate("This form was shown to somebody else. Open it yourself.")
        return True

    async def on_error(  # type: ignore[override]  # a form's errors have no item, unlike a view's
        self, interaction: discord.Interaction[Any], error: Exception
    ) -> None:
        await answer_error(interaction, error)
