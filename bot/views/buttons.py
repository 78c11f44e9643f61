"""The buttons under a card. Each carries its job in its id, so it works after a restart, and for its owner only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Self

import discord
from discord import ButtonStyle, ui

from ..language import say, unsaid
from ..replies import border


class Action(StrEnum):
    AGAIN = "again"
    VARY = "vary"
    WEIGHTS = "weights"
    CELL = "cell"
    DELETE = "delete"
    CANCEL = "cancel"


Deed = Callable[[discord.Interaction[Any], str], Awaitable[None]]
DEEDS: dict[Action, Deed] = {}
"""Filled by `deeds`, which needs the cards, which need the buttons."""


def deed(action: Action) -> Callable[[Deed], Deed]:
    """The function below is what `action` does to a job."""

    def register(function: Deed) -> Deed:
        DEEDS[action] = function
        return function

    return register


_LOOKS = {
    Action.AGAIN: (unsaid("Again"), ButtonStyle.primary),
    Action.VARY: (unsaid("Vary seed"), ButtonStyle.secondary),
    Action.WEIGHTS: (unsaid("Weights…"), ButtonStyle.secondary),
    Action.CELL: (unsaid("Cell…"), ButtonStyle.secondary),
    Action.DELETE: (unsaid("Delete"), ButtonStyle.danger),
    Action.CANCEL: (unsaid("Cancel"), ButtonStyle.secondary),
}


class JobButton(
    ui.DynamicItem[ui.Button[ui.LayoutView]],
    template=rf"loom:(?P<action>{'|'.join(Action)}):(?P<job>[0-9A-Za-z_-]{{1,64}})",
):
    """One action on one job. Whether the one who presses may do it is decided by the use-case."""

    def __init__(self, action: Action, job_id: str) -> None:
        label, style = _LOOKS[action]
        super().__init__(ui.Button(label=say(label), style=style, custom_id=f"loom:{action}:{job_id}"))
        self.action = action
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(Action(match["action"]), match["job"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await DEEDS[self.action](interaction, self.job_id)
