"""/grid: one labelled sheet of the same picture over one or two axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from engine import Axis, Grid

from ..views import asking
from ..views.grid import Answer, ask
from .options import AdapterName, AxisText, ModelName, SamplerName, ScheduleName, Size

if TYPE_CHECKING:
    from ..client import Bot


class GridCog(commands.Cog):
    @app_commands.command(description="Draws one sheet: the same picture over two axes. Shows what it costs first.")
    @app_commands.describe(
        prompt="What to draw. <lora:name:0.5> in it adds an adapter.",
        x="What changes from column to column, and how: weight ink: 0-1 [5]",
        y="What changes from row to row, and how: seed: 1-4",
        negative="What to keep out of the pictures.",
        lora="An adapter for every cell.",
        weight="How strongly it counts: 1 as trained, 0 not at all; else as its owner has chosen.",
        model="The base model to draw with.",
        size="Width and height of a cell, such as 512x768.",
        steps="How many steps to draw in; more is slower and finer.",
        cfg="How closely to follow the words.",
        sampler="How the steps are taken.",
        schedule="How the steps are spread.",
        seed="The same seed with the same words makes the same picture.",
    )
    async def grid(
        self,
        interaction: asking.Interaction,
        prompt: Range[str, 1, 6000],
        x: Transform[Axis, AxisText],
        y: Transform[Axis | None, AxisText] = None,
        negative: Range[str, 0, 6000] | None = None,
        lora: Transform[str | None, AdapterName] = None,
        weight: Range[float, -10.0, 10.0] | None = None,
        model: Transform[str | None, ModelName] = None,
        size: Transform[tuple[int, int] | None, Size] = None,
        steps: Range[int, 1, 150] | None = None,
        cfg: Range[float, 0.0, 50.0] | None = None,
        sampler: Transform[str | None, SamplerName] = None,
        schedule: Transform[str, ScheduleName] = "",
        seed: Range[int, 0, 4294967295] | None = None,
    ) -> None:
        orders, who = interaction.client.orders, asking.who(interaction)
        settings = await interaction.client.settings.of(who)
        request = settings.request(
            prompt,
            negative=negative,
            adapters=(await orders.use(who, lora, weight),) if lora else (),
            model=model,
            size=size,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            schedule=schedule,
            seed=seed,
            grid=Grid(x, y),
        )
        await ask(interaction, request)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(Answer)
    await bot.add_cog(GridCog())
