"""Between an interaction and the use-cases: who asks, what with, and the first answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import discord

from engine import Request

from ..orders import Order, Press, Ticket, Who
from ..replies import PROVISIONAL
from .cards import note, queued

if TYPE_CHECKING:
    from ..client import Bot

Interaction: TypeAlias = "discord.Interaction[Bot]"


def who(interaction: Interaction) -> Who:
    guild_id = interaction.guild_id
    moderator = guild_id is not None and interaction.permissions.manage_messages
    channel_id = interaction.channel_id or 0  # 0: an interaction without a channel, which Discord does not send
    return Who(interaction.user.id, interaction.user.display_name, guild_id, channel_id, moderator)


def press(interaction: Interaction) -> Press:
    return Press(
        interaction.id, interaction.application_id, interaction.token, interaction.created_at, who(interaction)
    )


def order(interaction: Interaction, request: Request) -> Order:
    return Order(
        interaction.id, interaction.application_id, interaction.token, interaction.created_at, who(interaction), request
    )


async def promise(interaction: Interaction, words: str) -> None:
    """An answer inside Discord's 3 seconds, where the real one takes longer; `acknowledge` replaces it."""
    await interaction.response.send_message(view=note(words))
    interaction.extras[PROVISIONAL] = True


async def acknowledge(interaction: Interaction, ticket: Ticket) -> None:
    """The member sees the place in the queue, on the message that the result will replace."""
    card = queued(ticket)
    if interaction.extras.pop(PROVISIONAL, False):
        message_id = (await interaction.edit_original_response(view=card)).id
    else:
        message_id = (await interaction.response.send_message(view=card)).message_id or 0
    await interaction.client.orders.acked(ticket.job_id, who(interaction).channel_id, message_id)
