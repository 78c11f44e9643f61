""" "Report" in the menu of a message: a picture of somebody else's goes to the moderators' queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from engine import BadRequest

from ..language import say
from ..views import asking
from ..views.buttons import JobButton
from ..views.judging import ReportForm

if TYPE_CHECKING:
    from ..client import Bot

MENU = "Report"


async def report_message(interaction: asking.Interaction, message: discord.Message) -> None:
    """A form for the result that the message shows."""
    job_id = job_of(message) if message.author == interaction.client.user else None
    if job_id is None:
        raise BadRequest("That message shows no result of mine. /lora report reports an adapter.")
    job = await interaction.client.judging.reportable(asking.who(interaction), job_id)
    await ReportForm(say("Report a picture"), job_id=job.id).show(interaction)


def job_of(message: discord.Message) -> str | None:
    """The job whose buttons a message of the bot has."""
    template = JobButton.__discord_ui_compiled_template__
    matches = (template.fullmatch(custom_id) for custom_id in _custom_ids(message.components))
    return next((match["job"] for match in matches if match is not None), None)


def _custom_ids(components: Iterable[Any]) -> Iterator[str]:
    for component in components:
        yield getattr(component, "custom_id", None) or ""
        yield from _custom_ids(getattr(component, "children", ()))


async def setup(bot: Bot) -> None:
    bot.tree.add_command(app_commands.ContextMenu(name=MENU, callback=report_message))


async def teardown(bot: Bot) -> None:
    bot.tree.remove_command(MENU, type=discord.AppCommandType.message)
