"""The runner's Poster on Discord. It needs nothing but the job row, so a restart loses no answer.

While the interaction token lives, the first answer is edited, which is idempotent; after that a channel message with a
nonce takes its place. Discord shows one message for the same nonce, but forgets it within minutes; so the channel is
looked through first, for a process may have died, or an answer been lost, after the message was there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

import discord
from discord.http import handle_message_parameters
from discord.webhook.async_ import async_context

from engine import Progress

from ..jobs.poster import Undeliverable, Unreachable
from ..language import Languages
from ..orders import Job, StoredPicture
from ..replies import DELETED, OUTAGES
from . import cards, pictures
from .asking import is_adult
from .buttons import Action, JobButton

log = logging.getLogger(__name__)

TOKEN_LIFE = timedelta(minutes=14)  # of the 15 that Discord gives
LOOKED_THROUGH = 1000  # messages that came to the channel since the order, the newest first; a request is a hundred


class DiscordPoster:
    """Shows jobs where they were ordered, in the language of whoever ordered them."""

    def __init__(self, bot: discord.Client, languages: Languages | None = None) -> None:
        self._bot = bot
        self._languages = languages or Languages()

    async def adult(self, job: Job) -> bool:
        who = job.order.who
        channel = self._bot.get_channel(who.channel_id)
        if channel is None and who.parent_id is not None:  # a thread that was archived meanwhile
            channel = self._bot.get_channel(who.parent_id)
        return is_adult(channel)

    async def answered(self, job: Job) -> bool:
        if not _fresh(job):
            return True
        webhook = discord.Webhook.partial(job.order.application_id, job.order.token, client=self._bot)
        with _translated(), contextlib.suppress(discord.Forbidden):
            try:
                await async_context.get().get_original_interaction_response(
                    webhook.id, job.order.token, session=webhook.session
                )
            except discord.NotFound as error:
                return error.code == DELETED
            except discord.HTTPException as error:
                if error.status != 401:  # the token is over, which says nothing
                    raise
        return True

    async def progress(self, job: Job, progress: Progress) -> None:
        if not _fresh(job):
            return
        await self._languages.speak_to(job.order.who)
        fit = not job.mature or await self.adult(job)
        preview = cards.preview_file(progress.preview if fit else None)
        card = cards.progress(job, progress, preview)
        try:
            await self._edit(job, card, [preview] if preview else [])
        except (_Expired, Unreachable, discord.HTTPException, *OUTAGES) as error:
            log.debug("Progress of job %s not shown: %s", job.id, error)

    async def post(self, job: Job, nonce: str) -> tuple[int, int]:
        await self._languages.speak_to(job.order.who)

        async def edit(files: list[discord.File], left: Sequence[StoredPicture]) -> tuple[int, int]:
            return await self._edit(job, cards.finished(job, files, left=len(left)), files)

        async def send(files: list[discord.File], left: Sequence[StoredPicture]) -> tuple[int, int]:
            return await self._send(job, cards.finished(job, files, left=len(left), mention=True), files, nonce)

        with _translated():
            if _fresh(job):
                with contextlib.suppress(_Expired):
                    return await pictures.sent(job, edit)
            shown, stale = await self._found(job)
            if shown is None:
                shown = await pictures.sent(job, send)
            await self._tidy(job, stale, shown[1])
            return shown

    async def close(self, job: Job) -> None:
        await self._languages.speak_to(job.order.who)
        with _translated():
            if _fresh(job):
                with contextlib.suppress(_Expired):
                    await self._edit(job, cards.closed(job), [])
                    return
            shown, stale = await self._found(job)
            if shown is None:
                shown = await self._send(job, cards.closed(job, mention=True), [], job.nonce)
            await self._tidy(job, stale, shown[1])

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
            if error.status in (401, 403, 404):
                raise _Expired(str(error)) from error
            raise
        return int(message["channel_id"]), int(message["id"])

    async def _send(self, job: Job, card: cards.Card, files: Sequence[discord.File], nonce: str) -> tuple[int, int]:
        mentions = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(job.order.who.member_id)])
        message = await self._channel(job).send(view=card, files=files, nonce=nonce, allowed_mentions=mentions)
        return message.channel.id, message.id

    async def _tidy(self, job: Job, stale: Iterable[int], message_id: int) -> None:
        """The first answer is gone where another message shows the end; it would say "queued" for ever."""
        for answer in {job.message_id or message_id, *stale} - {message_id}:
            try:
                await self._channel(job).get_partial_message(answer).delete()
            except discord.DiscordServerError:
                raise
            except discord.HTTPException as error:
                log.debug("The first answer of job %s stays: %s", job.id, error)

    async def _found(self, job: Job) -> tuple[tuple[int, int] | None, list[int]]:
        """The message that shows the job's end already, and those that promise it, as far as the bot may look."""
        asked = discord.Object(job.order.interaction_id)
        end, promise = (JobButton(action, job.id).custom_id for action in (Action.AGAIN, Action.CANCEL))
        shown, stale = None, list[int]()
        with contextlib.suppress(discord.Forbidden, discord.NotFound):
            newest = self._channel(job).history(limit=LOOKED_THROUGH, after=asked, oldest_first=False)
            async for message in newest:
                signs = set(cards.custom_ids(message.components)) if message.author == self._bot.user else set()
                if end in signs:
                    shown = message.channel.id, message.id
                elif promise in signs:
                    stale.append(message.id)
                if shown and (stale or job.message_id):
                    break  # there is nothing more of this job
        return shown, stale

    def _channel(self, job: Job) -> discord.PartialMessageable:
        return self._bot.get_partial_messageable(job.order.who.channel_id, guild_id=job.order.who.guild_id)


class _Expired(Exception):
    """The interaction's token opens nothing any more, or its message was deleted."""


def _fresh(job: Job) -> bool:
    return discord.utils.utcnow() - job.order.created_at < TOKEN_LIFE


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Discord's errors in the runner's words: worth another try, or never to be taken."""
    try:
        yield
    except OUTAGES as error:
        raise Unreachable(str(error)) from error
    except discord.HTTPException as error:
        if error.status in (401, 429):
            raise Unreachable(str(error)) from error
        raise Undeliverable(str(error)) from error
