"""/model list, use, add, remove: the base models, and which one this server draws with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discord import app_commands
from discord.app_commands import Range, Transform
from discord.ext import commands

from ..language import say
from ..orders import Level, Settings, SettingsChange
from ..views import asking
from ..views.cards import note
from ..views.stock import models_card
from ..views.text import code
from .options import KnownModel, ModelName

if TYPE_CHECKING:
    from ..client import Bot


class ModelCog(commands.GroupCog, name="model", description="The base models that pictures are drawn with."):
    @app_commands.command(name="list", description="Lists the base models, and which of them may be used here.")
    async def list_(self, interaction: asking.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)  # files may have to be looked at
        settings = await interaction.client.settings.of(asking.who(interaction))
        found = await interaction.client.models.listed(settings)
        await interaction.edit_original_response(view=models_card(found))

    @app_commands.command(description="Chooses what this server draws with where an order names no model.")
    @app_commands.describe(name="The base model.")
    async def use(self, interaction: asking.Interaction, name: Transform[str, ModelName]) -> None:
        wanted = SettingsChange(said=Settings(model=name))
        await interaction.client.settings.change(asking.who(interaction), Level.SERVER, wanted)
        said = say("This server draws with {model} now, where an order names no other.", model=code(name, 60))
        await interaction.response.send_message(view=note(said), ephemeral=True)

    @app_commands.command(description="Adds a base model that everybody may draw with, without a restart.")
    @app_commands.describe(
        name="What members will call it.",
        source="A diffusers folder, a .safetensors checkpoint, or a Hugging Face id such as owner/name.",
    )
    async def add(self, interaction: asking.Interaction, name: Range[str, 1, 40], source: Range[str, 1, 500]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        model = await interaction.client.models.add(asking.who(interaction), name, source)
        said = say("{model} is here now, for adapters of {family}.", model=code(model.name, 60), family=model.family)
        await interaction.edit_original_response(view=note(said))

    @app_commands.command(description="Takes a base model away that was added; its files stay.")
    @app_commands.describe(name="The base model.")
    async def remove(self, interaction: asking.Interaction, name: Transform[str, KnownModel]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.client.models.remove(asking.who(interaction), name)
        said = say("{model} is gone. Its files are where they were.", model=code(name, 60))
        await interaction.edit_original_response(view=note(said))


async def setup(bot: Bot) -> None:
    await bot.add_cog(ModelCog())
