"""What the buttons and menus of /lora add do. They carry a number; what it means, and for whom, `bot.intake` knows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import aiohttp
import discord
from discord import ButtonStyle, ui

from engine import EngineError

from ..importing import ImportRefused, Interrupted, NoRoom, SourceBusy, picture_sources
from ..language import say
from ..orders import OrderError, QueueFull, Replay, StorageError
from ..orders.additions import EVERYONE, GUILD, PRIVATE, Offer
from ..replies import border, reply_to
from . import asking
from .cards import Card, note
from .numbered import NUMBER, Numbered
from .offers import added_card, failed_card, offer_card, page_button, picture_card, progress_card
from .text import shortened

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two looks of the one who waits
NAMED = 25  # options that Discord takes in one menu
WORTH_ANOTHER_TRY = (Interrupted, SourceBusy, NoRoom, StorageError, QueueFull)


class AddButton(
    Numbered, ui.DynamicItem[ui.Button[ui.LayoutView]], template=rf"loom:add:(?P<verb>yes|no|stop):{NUMBER}"
):
    """Yes or no to an offer, or an end of the import that a yes has begun."""

    def __init__(self, verb: str, number: str) -> None:
        label = {"yes": say("Add"), "no": say("Cancel"), "stop": say("Stop")}[verb]
        style = ButtonStyle.primary if verb == "yes" else ButtonStyle.secondary
        super().__init__(ui.Button(label=label, style=style, custom_id=f"loom:add:{verb}:{number}"))
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            who, intake = asking.who(interaction), interaction.client.intake
            if self.verb == "stop":
                if intake.stop(who, self.number):  # who waits for it shows that it has ended
                    await interaction.response.defer()
                else:
                    gone = say("This import was interrupted; nothing of it was kept. Send /lora add once more.")
                    await interaction.response.edit_message(view=note(gone))
                return
            if self.verb == "no":
                await intake.decline(who, self.number)
                await interaction.response.edit_message(view=note(say("Not added.")))
                return
            await _bring(interaction, await intake.answer(who, self.number), self.number)


class SentButton(Numbered, ui.DynamicItem[ui.Button[ui.LayoutView]], template=rf"loom:add:sent:{NUMBER}"):
    """Shows what a member has sent by the drop page, to be added on a yes."""

    def __init__(self, number: str) -> None:
        super().__init__(ui.Button(label=say("It is sent"), custom_id=f"loom:add:sent:{number}"))
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            await show_offer(interaction, await interaction.client.intake.arrived(asking.who(interaction), self.number))


class VisibilityMenu(Numbered, ui.DynamicItem[ui.Select[ui.LayoutView]], template=rf"loom:add:seen:{NUMBER}"):
    """Who will see the adapter."""

    def __init__(self, number: str, chosen: str = PRIVATE) -> None:
        words = {
            PRIVATE: say("Only I see it"),
            GUILD: say("Everyone in this server sees it"),
            EVERYONE: say("Everyone on this bot sees it"),
        }
        options = [
            discord.SelectOption(label=label, value=value, default=value == chosen) for value, label in words.items()
        ]
        super().__init__(ui.Select(custom_id=f"loom:add:seen:{number}", options=options))
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            who, chosen = asking.who(interaction), self.item.values[0]
            offer = await interaction.client.intake.show_to(who, self.number, chosen)
            await interaction.response.edit_message(view=await _offered(interaction, offer, self.number))


class NamedMenu(Numbered, ui.DynamicItem[ui.Select[ui.LayoutView]], template=rf"loom:add:named:{NUMBER}"):
    """One of the adapters that a picture names, to be looked up."""

    def __init__(self, number: str, named: Mapping[str, str] | None = None) -> None:
        options = [
            discord.SelectOption(label=shortened(name, 100) or "?", value=digest)
            for digest, name in list((named or {}).items())[:NAMED]
        ] or [discord.SelectOption(label="?", value="?")]
        menu: ui.Select[ui.LayoutView] = ui.Select(
            custom_id=f"loom:add:named:{number}", placeholder=say("Look one up"), options=options
        )
        super().__init__(menu)
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            who, digest = asking.who(interaction), self.item.values[0]
            await show_offer(interaction, await interaction.client.intake.which(who, self.number, digest))


ITEMS = (AddButton, SentButton, VisibilityMenu, NamedMenu)


async def show_offer(interaction: asking.Interaction, offer: Offer) -> None:
    """The answer, which was deferred, shows the offer and waits for a yes."""
    number = await interaction.client.intake.ask(asking.who(interaction), offer)
    await interaction.edit_original_response(view=await _offered(interaction, offer, number))


async def show_named(interaction: asking.Interaction, found: Replay, visibility: str) -> None:
    """The answer, which was deferred, shows the adapters that a picture names; those not here can be looked up."""
    sources = picture_sources(dict(found.missing))
    named = {source.digest: name for name, source in sources.found.items()}
    rows = []
    if named:
        number = await interaction.client.intake.ask_which(asking.who(interaction), named, visibility)
        rows.append(ui.ActionRow[Any](NamedMenu(number, named)))
    here = [(one.use.name, one.entry) for one in found.found]
    card = picture_card(here, sources.unclear, *rows, more=len(named))
    await interaction.edit_original_response(view=card)


async def _bring(interaction: asking.Interaction, offer: Offer, number: str) -> None:
    """The offer's card shows how far it is, and at the end what came of it."""
    stop = ui.ActionRow[Any](AddButton("stop", number))
    await interaction.response.edit_message(view=progress_card(offer, 0, offer.size, stop))
    who, intake = asking.who(interaction), interaction.client.intake
    end: Card = failed_card(say("This did not work, and nothing was kept."))
    meter = _Meter(interaction, lambda done, total: progress_card(offer, done, total or offer.size, stop))
    try:
        async with meter:
            end = added_card(await intake.add(who, offer, number, meter.note))
    except (ImportRefused, OrderError, EngineError) as error:
        again = []
        if isinstance(error, WORTH_ANOTHER_TRY):
            with contextlib.suppress(StorageError):
                again.append(_row(await intake.ask(who, offer)))
        end = failed_card(reply_to(error) or str(error), *again)
    finally:
        await _show(interaction, end)


async def _offered(interaction: asking.Interaction, offer: Offer, number: str) -> Card:
    rows: Sequence[ui.ActionRow[Any]] = (
        ui.ActionRow[Any](VisibilityMenu(number, offer.visibility)),
        _row(number, *page_button(offer)),
    )
    who = asking.who(interaction)
    drawn = await interaction.client.orders.family(who)
    return offer_card(offer, *rows, adult=who.adult, drawn=drawn)


def _row(number: str, *more: ui.Button[Any]) -> ui.ActionRow[Any]:
    return ui.ActionRow[Any](AddButton("yes", number), AddButton("no", number), *more)


class _Meter:
    """Shows what is noted inside the block, at most every EVERY seconds and one edit at a time."""

    def __init__(self, interaction: asking.Interaction, card: Callable[[int, int | None], Card]) -> None:
        self._interaction = interaction
        self._card = card
        self._shown_at = time.monotonic()
        self._showing: asyncio.Task[None] | None = None

    def note(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._shown_at >= EVERY and (self._showing is None or self._showing.done()):
            self._shown_at = now
            self._showing = asyncio.create_task(_show(self._interaction, self._card(done, total)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """No edit is under way that could land on top of the end."""
        if self._showing is not None:
            await asyncio.wait({self._showing})


async def _show(interaction: asking.Interaction, card: Card) -> None:
    """The card is seen, unless its message is gone or Discord has forgotten the interaction: then nobody waits."""
    try:
        await interaction.edit_original_response(view=card)
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.info("What became of an import could not be shown: %s", error)
