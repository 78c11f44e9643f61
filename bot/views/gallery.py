"""The pages of /lora browse and /lora search: what adapters look like, and how to find others.

What a card shows is in the database, under the number that its menus and buttons carry; so it outlives a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import discord
from discord import ButtonStyle, ui

from ..language import say, say_many
from ..orders import CatalogEntry, Gallery, Show
from ..replies import border
from . import asking
from .adapter import adapter_card, stars
from .cards import Card, custom_ids
from .numbered import NUMBER, Numbered
from .samples import sample_files
from .text import code, safe, shortened

DESCRIBED = 140
TAGS_SHOWN = 6
WORDS_SHOWN = 3
_BACK = re.compile(rf"loom:browse:back:{NUMBER}")


class Turn(
    Numbered, ui.DynamicItem[ui.Button[ui.LayoutView]], template=rf"loom:browse:(?P<verb>prev|next|back):{NUMBER}"
):
    """Goes to a neighbouring page, or back to the page from one of its entries."""

    def __init__(self, verb: str, number: str, *, disabled: bool = False) -> None:
        label = {"prev": say("Previous"), "next": say("Next"), "back": say("Back")}[verb]
        button: ui.Button[ui.LayoutView] = ui.Button(
            label=label, style=ButtonStyle.secondary, custom_id=f"loom:browse:{verb}:{number}", disabled=disabled
        )
        super().__init__(button)
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            step = {"prev": -1, "next": 1, "back": 0}[self.verb]
            gallery = await interaction.client.shelf.turn(asking.who(interaction), self.number, pages=step)
            await _show(interaction, gallery, self.number)


class Narrow(
    Numbered, ui.DynamicItem[ui.Select[ui.LayoutView]], template=rf"loom:browse:(?P<verb>show|family|tag):{NUMBER}"
):
    """Shows others, from the first page: in another order, of another base, with another tag."""

    def __init__(self, verb: str, number: str, options: Sequence[discord.SelectOption] = ()) -> None:
        super().__init__(ui.Select(custom_id=f"loom:browse:{verb}:{number}", options=list(options)))
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            chosen = self.item.values[0].removeprefix(_ANY)
            wish = {self.verb: Show(chosen) if self.verb == "show" else chosen}
            gallery = await interaction.client.shelf.turn(asking.who(interaction), self.number, **wish)
            await _show(interaction, gallery, self.number)


class OpenEntry(Numbered, ui.DynamicItem[ui.Select[ui.LayoutView]], template=rf"loom:browse:open:{NUMBER}"):
    """Opens one entry of a page."""

    def __init__(self, number: str, entries: Sequence[CatalogEntry] = ()) -> None:
        options = [
            discord.SelectOption(
                label=shortened(entry.name, 100), value=entry.short_id, description=entry.info.family or None
            )
            for entry in entries
        ]
        select: ui.Select[ui.LayoutView] = ui.Select(
            custom_id=f"loom:browse:open:{number}", placeholder=say("Open one…"), options=options
        )
        super().__init__(select)
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            await show_adapter(interaction, self.item.values[0], self.number)


_ANY = "*"  # in front of every value: Discord takes no empty ones


async def show_adapter(interaction: asking.Interaction, name: str, back: str = "") -> None:
    """The adapter's card, in place of the card whose button was pressed, or as a first answer that nobody else sees.

    `back` is the number of the gallery to go back to, where it came from one. Raises AdapterNotFound.
    """
    who = asking.who(interaction)
    details = await interaction.client.shelf.details(who, name)
    notice = await interaction.client.moderation.notice(who, details.entry)
    files = [file for _, file in await sample_files((details.entry, sample) for sample in details.samples)]
    back = back or _gallery_of(interaction)
    card = adapter_card(details, files, *([Turn("back", back)] if back else []), notice=notice)
    if interaction.type is discord.InteractionType.application_command:
        await interaction.response.send_message(view=card, files=files, ephemeral=True)
    else:
        await interaction.response.edit_message(view=card, attachments=files)


def _gallery_of(interaction: asking.Interaction) -> str:
    """The number of the gallery that the pressed card goes back to; "" where it came from none."""
    components = interaction.message.components if interaction.message is not None else []
    ids = (_BACK.fullmatch(custom_id) for custom_id in custom_ids(components))
    return next((match["number"] for match in ids if match), "")


async def send_gallery(interaction: asking.Interaction, gallery: Gallery, number: str) -> None:
    """The first page, seen by nobody else."""
    card, files = await _card(gallery, number)
    await interaction.response.send_message(view=card, files=files, ephemeral=True)


async def _show(interaction: asking.Interaction, gallery: Gallery, number: str) -> None:
    card, files = await _card(gallery, number)
    await interaction.response.edit_message(view=card, attachments=files)


async def _card(gallery: Gallery, number: str) -> tuple[Card, list[discord.File]]:
    shown = [(entry, gallery.samples[entry.id]) for entry in gallery.entries if entry.id in gallery.samples]
    files = dict(await sample_files(shown))
    return gallery_card(gallery, number, files), list(files.values())


def gallery_card(gallery: Gallery, number: str, files: Mapping[int, discord.File]) -> Card:
    """A head, the entries with their pictures, and the menus: 36 of the 40 components that Discord takes, at most."""
    body: list[ui.Item[Any]] = []
    for entry in gallery.entries:
        text = ui.TextDisplay[Any](_about(entry))
        picture = files.get(entry.id)
        body.append(text if picture is None else ui.Section(text, accessory=ui.Thumbnail(picture)))
    return Card(ui.TextDisplay(_head(gallery)), *body, *_menus(gallery, number))


def _head(gallery: Gallery) -> str:
    wish = gallery.wish
    if not gallery.total:
        if not wish.needle.strip():
            return say("There are no adapters that you can use here.")
        return say("There are no adapters with {part} that you can use here.", part=code(wish.needle, 50))
    facts = [
        say_many("{n} adapter", "{n} adapters", gallery.total),
        say("for {needle}", needle=code(wish.needle, 50)) if wish.needle.strip() else "",
        say("page {number} of {pages}", number=gallery.number, pages=gallery.pages) if gallery.pages > 1 else "",
    ]
    return "### " + " · ".join(filter(None, facts))


def _about(entry: CatalogEntry) -> str:
    """Three lines at most: its name and what it fits; what it is; its tags and words."""
    facts = [f"**{code(entry.name, 60)}**", safe(entry.info.family, 40), *marks(entry)]
    words = " ".join(code(word, 40) for word in (entry.chosen or entry.info.triggers)[:WORDS_SHOWN])
    tags = " ".join(f"#{safe(tag, 40)}" for tag in entry.tags[:TAGS_SHOWN])
    title = "" if entry.info.title.casefold() == entry.name.casefold() else entry.info.title
    maker = say("by {maker}", maker=safe(entry.maker, 40)) if entry.maker else ""
    small = " · ".join(filter(None, (maker, tags, say("words {words}", words=words) if words else "")))
    lines = [" · ".join(filter(None, facts)), safe(entry.description or title, DESCRIBED), small and f"-# {small}"]
    return "\n".join(filter(None, lines))


def marks(entry: CatalogEntry) -> list[str]:
    """What members say of it, how often it was used, for whom it is."""
    return list(
        filter(
            None,
            (
                stars(entry),
                say_many("used once", "used {n} times", entry.uses) if entry.uses else "",
                "18+" if entry.nsfw else "",
                say("only you") if entry.visibility == "private" else "",
            ),
        )
    )


def _menus(gallery: Gallery, number: str) -> list[ui.Item[Any]]:
    wish = gallery.wish
    rows: list[ui.Item[Any]] = []
    if gallery.entries:
        rows.append(ui.ActionRow(OpenEntry(number, gallery.entries)))
    rows.append(ui.ActionRow(Narrow("show", number, _shows(wish.show))))
    for verb, chosen, there, every in (
        ("family", wish.family, gallery.families, say("Every base model")),
        ("tag", wish.tag, gallery.tags, say("Every tag")),
    ):
        names = tuple(dict.fromkeys((*there, *([chosen] if chosen else ()))))
        if len(names) > 1 or chosen or (verb == "tag" and names):
            options = [_option(every, "", chosen), *(_option(name, name, chosen) for name in names[:24])]
            rows.append(ui.ActionRow(Narrow(verb, number, options)))
    if gallery.pages > 1:
        turns = (
            Turn("prev", number, disabled=gallery.number == 1),
            Turn("next", number, disabled=gallery.number == gallery.pages),
        )
        rows.append(ui.ActionRow(*turns))
    return rows


def _shows(chosen: Show) -> list[discord.SelectOption]:
    labels = {
        Show.USED: say("Most used first"),
        Show.NEW: say("Newest first"),
        Show.RATED: say("Best rated first"),
        Show.MINE: say("Only yours"),
        Show.FAVOURITES: say("Only your favourites"),
    }
    return [_option(label, show.value, chosen.value) for show, label in labels.items()]


def _option(label: str, value: str, chosen: str) -> discord.SelectOption:
    return discord.SelectOption(label=shortened(label, 100), value=f"{_ANY}{value}", default=value == chosen)
