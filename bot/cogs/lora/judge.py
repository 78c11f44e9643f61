"""/lora rate, report: what members say of an adapter."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from engine import AdapterNotFound

from ...orders.judging import WORDS
from ...orders.verdicts import Reason
from ...views import asking
from ...views.cards import note
from ...views.judging import filed, rated
from ...views.text import shortened
from ..options import OFFERED, AnyAdapter, Choice

REASONS = (  # literals, for Discord's own translations
    app_commands.Choice(name="Sexual, with minors", value=Reason.MINORS.value),
    app_commands.Choice(name="Shows a real person", value=Reason.PERSON.value),
    app_commands.Choice(name="Shared without its maker's leave", value=Reason.STOLEN.value),
    app_commands.Choice(name="Not for everybody, and not marked so", value=Reason.MATURE.value),
    app_commands.Choice(name="Insults or threatens people", value=Reason.HATE.value),
    app_commands.Choice(name="Does not work", value=Reason.BROKEN.value),
    app_commands.Choice(name="Something else", value=Reason.OTHER.value),
)


class OwnPicture(app_commands.Transformer):
    """One of one's own finished jobs that used the adapter chosen under `adapter`; its value is the job's id."""

    async def transform(self, interaction: discord.Interaction[Any], value: str, /) -> str:
        return value.strip()

    async def autocomplete(  # type: ignore[override]  # discord.py types the value of every option at once
        self, interaction: discord.Interaction[Any], value: str, /
    ) -> list[Choice]:
        judging, name = interaction.client.judging, str(interaction.namespace.adapter or "")
        try:
            jobs = await judging.pictures(asking.who(interaction), name)
        except AdapterNotFound:
            return []
        typed = value.strip().casefold()
        labels = [(shortened(" ".join(job.request.prompt.split()), 90) or job.id, job.id) for job in jobs]
        offered = [(label, job_id) for label, job_id in labels if typed in label.casefold()]
        return [app_commands.Choice(name=label, value=job_id) for label, job_id in offered[:OFFERED]]


class Judge(commands.Cog):
    @app_commands.command(description="Rates an adapter of somebody else; your next rating takes its place.")
    @app_commands.describe(
        adapter="The adapter.",
        stars="1 to 5; 0 takes your rating back.",
        words="What you would tell others about it.",
        picture="A picture of yours that was made with it, for all to see.",
    )
    async def rate(
        self,
        interaction: asking.Interaction,
        adapter: Transform[str, AnyAdapter],
        stars: Range[int, 0, 5],
        words: Range[str, 0, WORDS] = "",
        picture: Transform[str, OwnPicture] | None = None,
    ) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        judging, who = interaction.client.judging, asking.who(interaction)
        if stars:
            entry = await judging.rate(who, adapter, stars, words, picture or "")
        else:
            entry = await judging.unrate(who, adapter)
        await interaction.edit_original_response(view=rated(entry, stars))

    @app_commands.command(description="Asks the moderators of this server to look at an adapter; only they see it.")
    @app_commands.describe(adapter="The adapter.", reason="What is wrong with it.", words="What they should know.")
    @app_commands.choices(reason=list(REASONS))
    async def report(
        self,
        interaction: asking.Interaction,
        adapter: Transform[str, AnyAdapter],
        reason: str,
        words: Range[str, 0, WORDS] = "",
    ) -> None:
        judging = interaction.client.judging
        report, is_new = await judging.report(asking.who(interaction), adapter, Reason(reason), words)
        await interaction.response.send_message(view=note(filed(report, is_new=is_new)), ephemeral=True)
