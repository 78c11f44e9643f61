"""/admin queue, drain, resume, limits, audit: a server's work and what was done in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.app_commands import Range
from discord.ext import commands

from ..language import say, say_many
from ..orders import Level, Settings, SettingsChange
from ..orders.settings import MOST_JOBS, MOST_SECONDS
from ..views import asking
from ..views.admin import OlderEntries, audit_card, overview_card
from ..views.cards import note
from ..views.settings import settings_card

if TYPE_CHECKING:
    from ..client import Bot

_LIMITS = ("jobs_per_member", "seconds_per_day")


class AdminCog(commands.GroupCog, name="admin", description="A server's work, its limits, and what was done in it."):
    @app_commands.command(description="Shows what waits and runs for this server.")
    async def queue(self, interaction: asking.Interaction) -> None:
        found = await interaction.client.oversight.queue(asking.who(interaction))
        await interaction.response.send_message(view=overview_card(found), ephemeral=True)

    @app_commands.command(description="Takes no orders and begins no pictures any more, until it is resumed.")
    @app_commands.describe(reason="What those who order meanwhile read.")
    async def drain(self, interaction: asking.Interaction, reason: Range[str, 0, 200] = "") -> None:
        running = await interaction.client.oversight.drain(asking.who(interaction), reason)
        still = say_many("{n} job is still drawn to its end.", "{n} jobs are still drawn to their end.", running)
        said = say("Paused for everybody. What waits stays in line.")
        await interaction.response.send_message(view=note(f"{said} {still}"), ephemeral=True)

    @app_commands.command(description="Takes orders and draws what waits again.")
    async def resume(self, interaction: asking.Interaction) -> None:
        waiting = await interaction.client.oversight.resume(asking.who(interaction))
        words = say_many("Open again, {n} job waits.", "Open again, {n} jobs wait.", waiting)
        await interaction.response.send_message(view=note(words), ephemeral=True)

    @app_commands.command(description="Shows or sets how much one person may order in this server.")
    @app_commands.describe(
        jobs_per_member="How many orders one person may have waiting or running.",
        seconds_per_day="How many seconds of drawing one person may order in 24 hours.",
        reset="Takes both back, so that the bot's configuration counts.",
    )
    async def limits(
        self,
        interaction: asking.Interaction,
        jobs_per_member: Range[int, 1, MOST_JOBS] | None = None,
        seconds_per_day: Range[int, 1, MOST_SECONDS] | None = None,
        reset: bool = False,
    ) -> None:
        said = Settings(jobs_per_member=jobs_per_member, seconds_per_day=seconds_per_day)
        wanted = SettingsChange(said=said, reset=frozenset(_LIMITS if reset else ()))
        found = await interaction.client.settings.limit(asking.who(interaction), wanted)
        changed = wanted != SettingsChange()
        card = settings_card(found, Level.SERVER, changed=changed, names=_LIMITS)
        await interaction.response.send_message(view=card, ephemeral=True)

    @app_commands.command(description="Shows what was done in this server, and by whom.")
    @app_commands.describe(everywhere="In every server, and on the whole bot; for the people who run it.")
    async def audit(self, interaction: asking.Interaction, everywhere: bool = False) -> None:
        page = await interaction.client.oversight.audit(asking.who(interaction), everywhere=everywhere)
        card = audit_card(page, everywhere=everywhere)
        await interaction.response.send_message(view=card, ephemeral=True)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(OlderEntries)
    await bot.add_cog(AdminCog())


async def teardown(bot: Bot) -> None:
    bot.remove_dynamic_items(OlderEntries)
