"""/lora edit, share, fork, favourite, remove: whose an adapter is, who sees it, what it says."""

from __future__ import annotations

from typing import Any

from discord import app_commands
from discord.app_commands import Choice, Range, Transform
from discord.ext import commands

from ...language import say
from ...orders import Change, Sharing, Triggers
from ...orders.shelf import read_span, read_tags, read_words
from ...views import asking
from ...views.adapter_forms import edit_card
from ...views.cards import note
from ...views.gallery import show_adapter
from ...views.removal import removal_card
from ...views.text import code
from ..options import AnyAdapter, OwnAdapter

SHARINGS = [
    Choice(name="only me", value=Sharing.PRIVATE.value),
    Choice(name="this server", value=Sharing.GUILD.value),
    Choice(name="everyone on this bot", value=Sharing.EVERYONE.value),
]
POLICIES = [
    Choice(name="none", value=Triggers.NONE.value),
    Choice(name="the chosen ones", value=Triggers.CHOSEN.value),
    Choice(name="all", value=Triggers.ALL.value),
]
Own = Transform[str, OwnAdapter]
Any_ = Transform[str, AnyAdapter]


class Share(commands.Cog):
    @app_commands.command(description="Says who sees an adapter of yours and can draw with it.")
    @app_commands.describe(adapter="One of your adapters.", to="Who. Only me takes it back.")
    @app_commands.choices(to=SHARINGS)
    async def share(self, interaction: asking.Interaction, adapter: Own, to: str) -> None:
        entry = await interaction.client.shelf.share(asking.who(interaction), adapter, Sharing(to))
        name = code(entry.name, 60)
        said = {
            Sharing.PRIVATE: say("{name} is yours alone now.", name=name),
            Sharing.GUILD: say("Everybody in this server can draw with {name} now.", name=name),
            Sharing.EVERYONE: say(
                "Everybody on this bot can draw with {name} now. Moderators can take it down.", name=name
            ),
        }[Sharing(to)]
        await interaction.response.send_message(view=note(said), ephemeral=True)

    @app_commands.command(description="Makes an adapter of your own from another: the same file, your settings.")
    @app_commands.describe(adapter="The adapter.", name="What yours is called; left out, like the other.")
    async def fork(self, interaction: asking.Interaction, adapter: Any_, name: Range[str, 0, 60] = "") -> None:
        fork = await interaction.client.shelf.fork(asking.who(interaction), adapter, name)
        await show_adapter(interaction, fork.short_id)

    @app_commands.command(description="Puts an adapter among your favourites, or takes it off.")
    @app_commands.describe(adapter="The adapter.", keep="No takes it off.")
    async def favourite(self, interaction: asking.Interaction, adapter: Any_, keep: bool = True) -> None:
        entry = await interaction.client.shelf.favour(asking.who(interaction), adapter, wanted=keep)
        name = code(entry.name, 60)
        kept = say("{name} is one of your favourites.", name=name)
        said = kept if keep else say("{name} is none of your favourites.", name=name)
        await interaction.response.send_message(view=note(said), ephemeral=True)

    @app_commands.command(description="Removes an adapter of yours. Asks first.")
    @app_commands.describe(adapter="One of your adapters.")
    async def remove(self, interaction: asking.Interaction, adapter: Own) -> None:
        number, entry = await interaction.client.shelf.ask_removal(asking.who(interaction), adapter)
        await interaction.response.send_message(view=removal_card(number, entry), ephemeral=True)

    @app_commands.command(description="Says what an adapter of yours is. Without more, it shows forms for all of it.")
    @app_commands.describe(
        adapter="One of your adapters.",
        name="What it is called.",
        alias="Another name for it.",
        weight="How strongly it counts where nobody says.",
        range="The weights that you recommend, such as 0.4-0.9.",
        policy="Which trigger words are added to prompts that lack them.",
        words="The chosen trigger words, between commas.",
        tags="Under which words it is found, between commas.",
        description="What it does.",
        nsfw="Not for everybody: only in age-restricted channels.",
        real_person="It shows a real person.",
        credit="Who made it.",
        licence="On which terms it may be used.",
    )
    @app_commands.choices(policy=POLICIES)
    async def edit(
        self,
        interaction: asking.Interaction,
        adapter: Own,
        name: Range[str, 1, 60] | None = None,
        alias: Range[str, 1, 60] | None = None,
        weight: Range[float, -10.0, 10.0] | None = None,
        range: Range[str, 1, 20] | None = None,  # noqa: A002  it is what Discord shows
        policy: str | None = None,
        words: Range[str, 1, 1000] | None = None,
        tags: Range[str, 1, 400] | None = None,
        description: Range[str, 1, 1000] | None = None,
        nsfw: bool | None = None,
        real_person: bool | None = None,
        credit: Range[str, 1, 100] | None = None,
        licence: Range[str, 1, 100] | None = None,
    ) -> None:
        least, most = (None, None) if range is None else read_span(range)
        said: dict[str, Any] = {
            "name": name,
            "alias": alias,
            "weight": weight,
            "triggers": policy and Triggers(policy),
            "chosen": None if words is None else read_words(words),
            "tags": None if tags is None else read_tags(tags),
            "description": description,
            "nsfw": nsfw,
            "real_person": real_person,
            "credit": credit,
            "license": licence,
        }
        span = {} if range is None else {"least": least, "most": most}
        change = Change(**{field: value for field, value in said.items() if value is not None} | span)  # type: ignore[typeddict-item]
        entry = await interaction.client.shelf.edit(asking.who(interaction), adapter, change)
        await interaction.response.send_message(view=edit_card(entry), ephemeral=True)
