"""/imagine: words in, pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from engine import UPSCALERS, BadRequest, Hires, Request

from ..orders import Ticket
from ..views import asking
from .options import AdapterName, ModelName, SamplerName, ScheduleName, Size, UpscalerName, VaeName, read_image

if TYPE_CHECKING:
    from ..client import Bot

Weight = Range[float, -10.0, 10.0] | None
Lora = Transform[str | None, AdapterName]


class Imagine(commands.Cog):
    @app_commands.command(description="Makes pictures of what you describe.")
    @app_commands.describe(
        prompt="What to draw. <lora:name:0.5> in it adds an adapter.",
        negative="What to keep out of the picture.",
        lora="An adapter: a style, a person, a thing.",
        weight="How strongly the first adapter counts: 1 as trained, 0 not at all; else as its owner has chosen.",
        lora2="A second adapter.",
        weight2="How strongly the second adapter counts.",
        lora3="A third adapter.",
        weight3="How strongly the third adapter counts.",
        model="The base model to draw with.",
        size="Width and height, such as 512x768.",
        steps="How many steps to draw in; more is slower and finer.",
        cfg="How closely to follow the words.",
        sampler="How the steps are taken.",
        seed="The same seed with the same words makes the same picture.",
        count="How many pictures.",
        image="A picture to start from.",
        strength="How much that picture may change: 0 keeps it, 1 forgets it.",
        mask="Which part of that picture to draw anew: what is white or painted on here.",
        hires="Draws a second time, so many times larger.",
        upscaler="How it is made larger for that; left out, in the latents.",
        vae="Another VAE than the model's own.",
        clip_skip="How many of the last layers of the text encoder to leave out; 1 is none.",
        schedule="How the noise goes down over the steps; left out, it is the sampler's own way.",
    )
    async def imagine(
        self,
        interaction: asking.Interaction,
        prompt: Range[str, 1, 6000],
        negative: Range[str, 0, 6000] | None = None,
        lora: Lora = None,
        weight: Weight = None,
        lora2: Lora = None,
        weight2: Weight = None,
        lora3: Lora = None,
        weight3: Weight = None,
        model: Transform[str | None, ModelName] = None,
        size: Transform[tuple[int, int] | None, Size] = None,
        steps: Range[int, 1, 150] | None = None,
        cfg: Range[float, 0.0, 50.0] | None = None,
        sampler: Transform[str | None, SamplerName] = None,
        seed: Range[int, 0, 4294967295] | None = None,
        count: Range[int, 1, 4] = 1,
        image: discord.Attachment | None = None,
        strength: Range[float, 0.0, 1.0] = 0.6,
        mask: discord.Attachment | None = None,
        hires: Range[float, 1.0, 4.0] = 1.0,
        upscaler: Transform[str | None, UpscalerName] = None,
        vae: Transform[str, VaeName] = "",
        clip_skip: Range[int, 1, 12] = 1,
        schedule: Transform[str, ScheduleName] = "",
    ) -> None:
        named = ((lora, weight), (lora2, weight2), (lora3, weight3))
        settings = await interaction.client.settings.of(asking.who(interaction))
        request = settings.request(
            prompt,
            negative=negative,
            model=model,
            size=size,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            seed=seed,
            count=count,
            strength=strength,
            hires=_hires(hires, upscaler),
            vae=vae,
            clip_skip=clip_skip,
            schedule=schedule,
        )
        await asking.place(interaction, _ordered(interaction, request, named, image, mask))


def _hires(scale: float, upscaler: str | None) -> Hires | None:
    if scale > 1:
        return Hires(scale, upscaler=upscaler or UPSCALERS[0])
    if upscaler is not None:
        raise BadRequest("An upscaler is for hires: say how many times larger the picture shall be.")
    return None


async def _ordered(
    interaction: asking.Interaction,
    request: Request,
    named: Sequence[tuple[str | None, float | None]],
    image: discord.Attachment | None,
    mask: discord.Attachment | None,
) -> Ticket:
    orders, who = interaction.client.orders, asking.who(interaction)
    uses = [await orders.use(who, name, weight) for name, weight in named if name]
    request = replace(request, adapters=tuple(uses))
    if image is not None:
        request = replace(request, image=await read_image(interaction, image))
    if mask is not None:
        request = replace(request, mask=await read_image(interaction, mask))
    return await orders.imagine(asking.order(interaction, request))


async def setup(bot: Bot) -> None:
    await bot.add_cog(Imagine())
