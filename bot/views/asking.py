"""Between an interaction and the use-cases: who asks, what with, and the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

import discord

from engine import Request

from ..language import say
from ..orders import Job, Order, Press, Ticket, Who
from ..replies import DELETED, OUTAGES, PROVISIONAL
from .cards import Card, note, queued

if TYPE_CHECKING:
    from ..client import Bot

log = logging.getLogger(__name__)

_AGE_RESTRICTABLE = (
    discord.TextChannel,
    discord.VoiceChannel,
    discord.StageChannel,
    discord.ForumChannel,
    discord.Thread,
)
PATIENCE = 1.5  # seconds, of the 3 that Discord waits for a first answer

Interaction: TypeAlias = "discord.Interaction[Bot]"


def who(interaction: Interaction) -> Who:
    in_guild, rights = interaction.guild_id is not None, interaction.permissions
    return Who(
        interaction.user.id,
        interaction.user.display_name,
        interaction.guild_id,
        interaction.channel_id or 0,  # 0: an interaction without a channel, which Discord does not send
        moderator=in_guild and rights.manage_messages,
        roles=frozenset(role.id for role in getattr(interaction.user, "roles", ())),
        admin=in_guild and rights.manage_guild,
        owner=interaction.user.id in interaction.client.owners,
        adult=is_adult(interaction.channel),
        locale=interaction.locale.value,
        parent_id=interaction.channel.parent_id if isinstance(interaction.channel, discord.Thread) else None,
    )


def is_adult(channel: object) -> bool:
    """Whether Discord lets only adults into the channel; of a thread its parent says so. Unknown is no."""
    return isinstance(channel, _AGE_RESTRICTABLE) and channel.is_nsfw()


def press(interaction: Interaction) -> Press:
    return Press(
        interaction.id, interaction.application_id, interaction.token, interaction.created_at, who(interaction)
    )


def order(interaction: Interaction, request: Request) -> Order:
    return Order(
        interaction.id, interaction.application_id, interaction.token, interaction.created_at, who(interaction), request
    )


async def place(interaction: Interaction, ordering: Coroutine[Any, Any, Ticket]) -> None:
    """The order is recorded, its member has read the place in the queue inside Discord's 3 seconds, and it is in line.

    In this order: nothing else writes to the answer before the job is in line, so the place never lands on a result.
    """
    recording = asyncio.ensure_future(ordering)
    await asyncio.wait({recording}, timeout=PATIENCE)
    try:
        if not recording.done():
            await _answer(interaction, note(say("One moment…")))
            interaction.extras[PROVISIONAL] = True
        ticket = await recording
        message_id = await _answer(interaction, queued(ticket))
    except discord.NotFound as error:
        log.warning("Interaction %s could not be answered in time: %s", interaction.id, error)
        await interaction.client.orders.unanswered((await recording).job_id)
        return
    interaction.extras.pop(PROVISIONAL, None)
    await interaction.client.orders.acked(ticket.job_id, who(interaction).channel_id, message_id)


async def remove_message(interaction: Interaction, job: Job) -> None:
    """The job's message in its channel is gone too, where the bot may remove it."""
    if job.channel_id and job.message_id:
        message = interaction.client.get_partial_messageable(job.channel_id).get_partial_message(job.message_id)
        with contextlib.suppress(discord.NotFound, discord.Forbidden):
            await message.delete()


async def acknowledge(interaction: Interaction) -> None:
    """Discord was told that the press arrived, as far as one can tell: a lost reply takes nothing from its effect."""
    try:
        await interaction.response.defer()
    except discord.NotFound:
        raise
    except (discord.HTTPException, *OUTAGES) as error:
        log.warning("Whether interaction %s was acknowledged is unknown: %s", interaction.id, error)


async def _answer(interaction: Interaction, card: Card) -> int | None:
    """The message that shows the card. None where nobody can tell: it may be there all the same, and the job goes on.

    Raises discord.NotFound where Discord has no answer of ours, and takes none any more.
    """
    for again in (True, False):
        try:
            return await _sent(interaction, card)
        except discord.NotFound:
            raise
        except (discord.HTTPException, *OUTAGES) as error:
            log.info("Whether interaction %s was answered is unknown: %s", interaction.id, error)
            if not again or not isinstance(error, OUTAGES):
                break  # a lost reply is told apart from a lost answer by Discord's word on the second one
    return await _original(interaction)


async def _sent(interaction: Interaction, card: Card) -> int | None:
    if interaction.response.is_done():
        return (await interaction.edit_original_response(view=card)).id
    return (await interaction.response.send_message(view=card)).message_id


async def _original(interaction: Interaction) -> int | None:
    """The answer that Discord has of ours, or None where it does not say."""
    try:
        return (await interaction.original_response()).id
    except discord.NotFound as error:
        if error.code != DELETED:
            raise
        return None
    except (discord.HTTPException, *OUTAGES) as error:
        log.warning("Nobody knows whether interaction %s was answered: %s", interaction.id, error)
        return None
