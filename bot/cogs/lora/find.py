"""/lora browse, search, list, info: which adapters there are, and what one of them is."""

from __future__ import annotations

from discord import app_commands
from discord.app_commands import Choice, Range, Transform
from discord.ext import commands

from ...orders import Show, Wish
from ...views import asking, lists
from ...views.gallery import send_gallery, show_adapter
from ..options import AnyAdapter, FamilyName, TagName

LISTED = 100  # more than one message holds, which says that there are more
SHOWS = [
    Choice(name="most used first", value=Show.USED.value),
    Choice(name="newest first", value=Show.NEW.value),
    Choice(name="best rated first", value=Show.RATED.value),
    Choice(name="only yours", value=Show.MINE.value),
    Choice(name="only your favourites", value=Show.FAVOURITES.value),
]


class Find(commands.Cog):
    @app_commands.command(description="Shows the adapters with pictures of what they do, page by page.")
    @app_commands.describe(
        show="Which ones, and which first.",
        base="Made for this family of base models.",
        tag="Only those with this tag.",
    )
    @app_commands.choices(show=SHOWS)
    async def browse(
        self,
        interaction: asking.Interaction,
        show: str = Show.USED.value,
        base: Transform[str, FamilyName] = "",
        tag: Transform[str, TagName] = "",
    ) -> None:
        await _browse(interaction, Wish(family=base, tag=tag, show=Show(show)))

    @app_commands.command(description="Finds adapters by name, tag, trigger word or description.")
    @app_commands.describe(words="What to look for.", base="Made for this family of base models.")
    async def search(
        self,
        interaction: asking.Interaction,
        words: Range[str, 1, 100],
        base: Transform[str, FamilyName] = "",
    ) -> None:
        await _browse(interaction, Wish(words.strip(), base))

    @app_commands.command(name="list", description="Lists the adapters you can draw with.")
    @app_commands.describe(search="A part of the name.")
    async def list_(self, interaction: asking.Interaction, search: Range[str, 0, 100] = "") -> None:
        found = await interaction.client.orders.adapters(asking.who(interaction), search.strip(), limit=LISTED)
        await interaction.response.send_message(view=lists.adapters(found, search), ephemeral=True)

    @app_commands.command(description="Shows what an adapter is: its words, its maker, what it fits.")
    @app_commands.describe(adapter="The adapter.")
    async def info(self, interaction: asking.Interaction, adapter: Transform[str, AnyAdapter]) -> None:
        await show_adapter(interaction, adapter)


async def _browse(interaction: asking.Interaction, wish: Wish) -> None:
    number, gallery = await interaction.client.shelf.browse(asking.who(interaction), wish)
    await send_gallery(interaction, gallery, number)
