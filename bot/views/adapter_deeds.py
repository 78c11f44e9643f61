"""What the buttons of an adapter's card do: each one use-case and one answer. Rating and reporting are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..orders import CatalogEntry
from . import asking
from .adapter import AdapterAction, AdapterButton, adapter_deed
from .adapter_forms import DrawForm, DrawingForm, EntryForm, NamingForm, RightsForm, edit_card
from .asking import Interaction
from .gallery import Narrow, OpenEntry, Turn, show_adapter
from .removal import Decide

if TYPE_CHECKING:
    from ..client import Bot


@adapter_deed(AdapterAction.INFO)
async def _info(interaction: Interaction, short_id: str) -> None:
    await show_adapter(interaction, short_id)


@adapter_deed(AdapterAction.DRAW)
async def _draw(interaction: Interaction, short_id: str) -> None:
    entry = await interaction.client.orders.adapter(asking.who(interaction), short_id)
    await DrawForm(entry).show(interaction)


@adapter_deed(AdapterAction.KEEP)
async def _keep(interaction: Interaction, short_id: str) -> None:
    await interaction.client.shelf.favour(asking.who(interaction), short_id)
    await show_adapter(interaction, short_id)


@adapter_deed(AdapterAction.LET_GO)
async def _let_go(interaction: Interaction, short_id: str) -> None:
    await interaction.client.shelf.favour(asking.who(interaction), short_id, wanted=False)
    await show_adapter(interaction, short_id)


@adapter_deed(AdapterAction.FORK)
async def _fork(interaction: Interaction, short_id: str) -> None:
    fork = await interaction.client.shelf.fork(asking.who(interaction), short_id)
    await show_adapter(interaction, fork.short_id)


@adapter_deed(AdapterAction.EDIT)
async def _edit(interaction: Interaction, short_id: str) -> None:
    entry = await interaction.client.shelf.own(asking.who(interaction), short_id)
    await interaction.response.edit_message(view=edit_card(entry), attachments=[])


async def _open_form(interaction: Interaction, short_id: str, form: Callable[[CatalogEntry], EntryForm]) -> None:
    entry = await interaction.client.shelf.own(asking.who(interaction), short_id)
    await form(entry).show(interaction)


@adapter_deed(AdapterAction.NAMING)
async def _naming(interaction: Interaction, short_id: str) -> None:
    await _open_form(interaction, short_id, NamingForm)


@adapter_deed(AdapterAction.DRAWING)
async def _drawing(interaction: Interaction, short_id: str) -> None:
    await _open_form(interaction, short_id, DrawingForm)


@adapter_deed(AdapterAction.RIGHTS)
async def _rights(interaction: Interaction, short_id: str) -> None:
    await _open_form(interaction, short_id, RightsForm)


async def setup(bot: Bot) -> None:
    bot.add_dynamic_items(AdapterButton, Turn, Narrow, OpenEntry, Decide)
