"""What the buttons under a card do: each one use-case and one answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import discord

from ..language import say
from ..orders import CellUnknown
from . import asking
from .asking import Interaction
from .buttons import Action, JobButton, deed
from .cards import note
from .grid import CellModal
from .weights import WeightsModal

if TYPE_CHECKING:
    from ..client import Bot


@deed(Action.AGAIN)
async def _again(interaction: Interaction, job_id: str) -> None:
    await asking.place(interaction, interaction.client.orders.again(job_id, asking.press(interaction)))


@deed(Action.VARY)
async def _vary(interaction: Interaction, job_id: str) -> None:
    await asking.place(interaction, interaction.client.orders.again(job_id, asking.press(interaction), vary=True))


@deed(Action.WEIGHTS)
async def _weights(interaction: Interaction, job_id: str) -> None:
    job = await interaction.client.orders.open_job(job_id, asking.who(interaction))
    await WeightsModal(job).show(interaction)


@deed(Action.CELL)
async def _cell(interaction: Interaction, job_id: str) -> None:
    job = await interaction.client.orders.open_job(job_id, asking.who(interaction))
    if job.request.grid is None:
        raise CellUnknown("This picture is no sheet.")
    await CellModal(job, job.request.grid).show(interaction)


@deed(Action.DELETE)
async def _delete(interaction: Interaction, job_id: str) -> None:
    await asking.acknowledge(interaction)
    job = await interaction.client.orders.delete(job_id, asking.who(interaction))
    if interaction.message is not None and interaction.message.flags.ephemeral:
        await interaction.edit_original_response(view=note(say("Deleted.")), attachments=[])
        await asking.remove_message(interaction, job)
    else:
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()


@deed(Action.CANCEL)
async def _cancel(interaction: Interaction, job_id: str) -> None:
    await asking.acknowledge(interaction)
    await interaction.client.orders.cancel(job_id, asking.who(interaction))


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(JobButton)
