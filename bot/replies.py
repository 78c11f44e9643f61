"""The border between what goes wrong and what a member reads: {error type: reply}, looked up along the MRO.

Commands, buttons and modals all end here, and nowhere else are errors caught wholesale. A member gets one answer, seen
by nobody else, whether or not the interaction was answered before.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import discord
from discord import app_commands

from engine import AdapterNotFound, Cancelled, EngineError, EngineFault, ModelUnreadable, OutOfMemory

from .importing import ImportRefused
from .language import said, say
from .orders import JobUnknown, OrderError
from .views.text import code, safe

log = logging.getLogger(__name__)

ANSWERED = "loraloom.error_answered"
PROVISIONAL = "loraloom.provisional"  # the first answer only promised another: an error takes it away
OUTAGES = (aiohttp.ClientError, ConnectionError, TimeoutError, discord.DiscordServerError, discord.RateLimited)
"""Discord, or the way to it, fails at the moment."""
TOO_LATE, TWICE = 10062, 40060  # the interaction is over, or was answered by a request whose reply was lost
DELETED = 10008  # there was an answer

Reply = Callable[[Any], str]


def _sentence(error: Exception) -> str:
    return safe(said(str(error)), 900) or say("That did not work.")


REPLIES: dict[type[BaseException], Reply] = {
    Cancelled: lambda _: say("This was cancelled."),
    EngineError: _sentence,
    AdapterNotFound: _sentence,
    ModelUnreadable: lambda error: say(
        "{error} Whoever runs this bot finds the details in its log.", error=_sentence(error)
    ),
    OutOfMemory: lambda error: say("{error} A smaller size or fewer pictures may fit.", error=_sentence(error)),
    EngineFault: lambda error: say(
        "{error} This is a fault of the bot, not yours; trying again may help.", error=_sentence(error)
    ),
    OrderError: _sentence,
    ImportRefused: _sentence,
    JobUnknown: lambda _: say(
        "This belongs to the one who asked for it, or it is gone. `/imagine` makes one of your own."
    ),
    app_commands.NoPrivateMessage: lambda _: say("This works only in a server."),
    app_commands.MissingPermissions: lambda _: say("You may not do this here."),
    app_commands.BotMissingPermissions: lambda _: say("I lack the permission to do this here."),
    app_commands.CommandOnCooldown: lambda error: say(
        "Not so fast: try again in {seconds:.0f} s.", seconds=error.retry_after
    ),
    app_commands.CheckFailure: lambda _: say("You may not do this here."),
    app_commands.CommandSignatureMismatch: lambda _: say(
        "This command has changed. Reload Discord (Ctrl+R) and try again."
    ),
    app_commands.CommandNotFound: lambda _: say(
        "This command is gone. Reload Discord (Ctrl+R) to see the ones there are."
    ),
    app_commands.TransformerError: lambda error: say(
        "I cannot read {value} as that option.", value=code(str(error.value), 100)
    ),
}


def reply_to(error: BaseException) -> str | None:
    """What a member reads about `error`, or None for one that nobody foresaw."""
    found = next((REPLIES[kind] for kind in type(error).__mro__ if kind in REPLIES), None)
    return None if found is None else found(error)


async def answer_error(interaction: discord.Interaction[Any], error: BaseException) -> None:
    """The one who asked knows what went wrong. A second error of the same interaction is only logged."""
    cause = _cause(error)
    text = reply_to(cause)
    if text is None and _is_outage(cause):
        log.warning("Discord failed at interaction %s: %s", interaction.id, cause)
        text = say("Discord did not take what I sent. Please try again.")
    elif text is None:
        reference = secrets.token_hex(4)
        log.error("Unforeseen error %s", reference, exc_info=cause)
        text = say(
            "Sorry, something broke on my side. If it keeps happening, tell whoever runs this bot: `{reference}`.",
            reference=reference,
        )
    if interaction.extras.get(ANSWERED):
        return
    interaction.extras[ANSWERED] = True
    try:
        await _whisper(interaction, text)
    except (discord.HTTPException, *OUTAGES) as failure:
        log.warning("Could not answer interaction %s: %s", interaction.id, failure)


@contextlib.asynccontextmanager
async def border(interaction: discord.Interaction[Any]) -> AsyncIterator[None]:
    """Any error inside is answered, and all in their language; for callbacks whose errors discord.py would only log."""
    try:
        await interaction.client.speak_to(interaction)
        yield
    except Exception as error:  # noqa: BLE001  this is the border
        await answer_error(interaction, error)


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, OUTAGES) or getattr(error, "code", None) in (TOO_LATE, TWICE)


def _cause(error: BaseException) -> BaseException:
    """What happened, without discord.py's wrappers."""
    if isinstance(error, app_commands.CommandInvokeError):
        return _cause(error.original)
    if isinstance(error, app_commands.TransformerError) and reply_to(error.__cause__ or error) is not None:
        return error.__cause__ or error
    return error


async def _whisper(interaction: discord.Interaction[Any], text: str) -> None:
    if not interaction.response.is_done():
        await interaction.response.send_message(text, ephemeral=True)
        return
    if interaction.extras.get(PROVISIONAL):
        with contextlib.suppress(discord.NotFound):
            await interaction.delete_original_response()
    await interaction.followup.send(text, ephemeral=True)
