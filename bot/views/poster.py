"""The runner's Poster on Discord. It needs nothing but the job row, so a restart loses no answer.

While the interaction token lives, the first answer is edited, which is idempotent; after that a channel message with a
nonce takes its place, which Discord shows once for the same nonce.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta

import aiohttp
import discord
from discord.http import handle_message_parameters
from discord.webhook.async_ import async_context

from engine import Progress

from ..jobs.poster import Undeliverable, Unreachable
from ..orders import Job
from . import cards

log = logging.getLogger(__name__)

TOKEN_LIFE = timedelta(minutes=14)  # of the 15 that Discord gives
ACK_TIME = timedelta(seconds=5)  # a job may be done before its first answer is there to be edited
UNKNOWN_WEBHOOK = 10015
_OUTAGES = (aiohttp.ClientError, ConnectionError, TimeoutError, discord.DiscordServerError, discord.RateLimited)


class DiscordPoster:
    """Shows jobs where they were ordered."""

    def __init__(self, bot: discord.Client) -> None:
        self._bot = bot

    async def progress(self, job: Job, progress: Progress) -> None:
        if not _fresh(job):
            return
        preview = cards.preview_file(progress.preview)
        card = cards.progress(job, progress, preview)
        try:
            await self._edit(job, card, [preview] if preview else [])
        except (_Expired, Unreachable, discord.HTTPException, *_OUTAGES) as error:
            log.debug("Progress of job %s not shown: %s", job.id, error)

    async def post(self, job: Job, nonce: str) -> tuple[int, int]:
        with _translated():
            if _fresh(job):
                pictures = cards.picture_files(job)
                with contextlib.suppress(_Expired):
                    return await self._edit(job, cards.finished(job, pictures), pictures)
            pictures = cards.picture_files(job)  # a file is sent once: its stream is spent
            return await self._send(job, cards.finished(job, pictures, mention=True), pictures, nonce)

    async def close(self, job: Job) -> None:
        with _translated():
            if _fresh(job):
                with contextlib.suppress(_Expired):
                    await self._edit(job, cards.closed(job), [])
                    return
            await self._send(job, cards.closed(job, mention=True), [], job.nonce)

    async def _edit(self, job: Job, card: cards.Card, files: Sequence[discord.File]) -> tuple[int, int]:
        """Interaction.edit_original_response from the row alone. (Webhook.edit_message would quote the "@original".)"""
        webhook = discord.Webhook.partial(job.order.application_id, job.order.token, client=self._bot)
        nobody = discord.AllowedMentions.none()
        try:
            with handle_message_parameters(view=card, attachments=files, allowed_mentions=nobody) as sent:
                message = await async_context.get().edit_original_interaction_response(
                    webhook.id,
                    job.order.token,
                    session=webhook.session,
                    payload=sent.payload,
                    multipart=sent.multipart,
                    files=sent.files,
                )
        except discord.HTTPException as error:
            if error.code == UNKNOWN_WEBHOOK and _age(job) < ACK_TIME:
                raise Unreachable("the interaction is not answered yet") from error
            if error.status in (401, 403, 404):
                raise _Expired(str(error)) from error
            raise
        return int(message["channel_id"]), int(message["id"])

    async def _send(self, job: Job, card: cards.Card, files: Sequence[discord.File], nonce: str) -> tuple[int, int]:
        channel = self._bot.get_partial_messageable(job.order.who.channel_id, guild_id=job.order.who.guild_id)
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(job.order.who.member_id)])
        message = await channel.send(view=card, files=files, nonce=nonce, allowed_mentions=mentions)
        if job.message_id and job.message_id != message.id:  # the first answer would say "queued" for ever
            with contextlib.suppress(discord.HTTPException):
                await channel.get_partial_message(job.message_id).delete()
        return message.channel.id, message.id


class _Expired(Exception):
    """The interaction's token opens nothing any more, or its message was deleted."""


def _age(job: Job) -> timedelta:
    return discord.utils.utcnow() - job.order.created_at


def _fresh(job: Job) -> bool:
    return _age(job) < TOKEN_LIFE


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Discord's errors in the runner's words: worth another try, or never to be taken."""
    try:
        yield
    except _OUTAGES as error:
        raise Unreachable(str(error)) from error
    except discord.HTTPException as error:
        if error.status in (401, 429):
            raise Unreachable(str(error)) from error
        raise Undeliverable(str(error)) from error
