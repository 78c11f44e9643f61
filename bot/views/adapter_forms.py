"""The forms behind an adapter's buttons: draw with it, and say what it is."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from engine import Request

from ..language import say
from ..orders import CatalogEntry, Change, Ticket, Triggers
from ..orders.shelf import LENGTHS, read_span, read_tags, read_words
from . import asking
from .adapter import AdapterAction, AdapterButton
from .cards import Card
from .forms import Form
from .text import code, safe, shortened, weight
from .weights import read_weight

PROMPT = 4000  # characters that Discord lets a form's field have
_NSFW, _REAL = "nsfw", "real"


class EntryForm(Form):
    """A form about one entry."""

    def __init__(self, title: str, entry: CatalogEntry) -> None:
        super().__init__(shortened(title, 45))
        self.short_id = entry.short_id

    def ask(self, label: str, custom_id: str, value: str, most: int, *, long: bool = False) -> ui.TextInput[Any]:
        """One more field of text, which may stay empty."""
        style = discord.TextStyle.paragraph if long else discord.TextStyle.short
        field: ui.TextInput[Any] = ui.TextInput(
            custom_id=custom_id, default=value[:most] or None, max_length=most, required=False, style=style
        )
        self.add_item(ui.Label(text=shortened(label, 45), component=field))
        return field


class DrawForm(EntryForm):
    """Sent, it orders a picture with the adapter."""

    def __init__(self, entry: CatalogEntry) -> None:
        super().__init__(say("Draw with {name}", name=shortened(entry.name, 30)), entry)
        words = ", ".join(entry.chosen or entry.info.triggers[:1])
        self.prompt = self.ask(say("What to draw"), "prompt", words, PROMPT, long=True)
        self.weight = self.ask(say("How strongly it counts"), "weight", weight(entry.weight), 8)
        self.prompt.required = True

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await asking.place(interaction, self._ordered(interaction))

    async def _ordered(self, interaction: asking.Interaction) -> Ticket:
        orders = interaction.client.orders
        strength = read_weight(say("this adapter"), self.weight.value) if self.weight.value.strip() else None
        use = await orders.use(asking.who(interaction), self.short_id, strength)
        request = Request(prompt=self.prompt.value, adapters=(use,))
        return await orders.imagine(asking.order(interaction, request))


class NamingForm(EntryForm):
    def __init__(self, entry: CatalogEntry) -> None:
        super().__init__(say("Name and description"), entry)
        self.called = self.ask(say("Name"), "name", entry.name, LENGTHS["name"])
        self.alias = self.ask(say("Another name for it"), "alias", entry.alias, LENGTHS["alias"])
        self.tags = self.ask(say("Tags, between commas"), "tags", ", ".join(entry.tags), 400)
        most = LENGTHS["description"]
        self.description = self.ask(say("Description"), "description", entry.description, most, long=True)

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        change = Change(
            name=self.called.value,
            alias=self.alias.value,
            tags=read_tags(self.tags.value),
            description=self.description.value,
        )
        await _edit(interaction, self.short_id, change)


class DrawingForm(EntryForm):
    def __init__(self, entry: CatalogEntry) -> None:
        super().__init__(say("Weights and words"), entry)
        self.weight = self.ask(say("Weight where none is given"), "weight", weight(entry.weight), 8)
        span = "" if entry.least is entry.most is None else f"{_end(entry.least)} – {_end(entry.most)}"
        self.span = self.ask(say("Recommended weights, such as 0.4–0.9"), "range", span, 20)
        policies = [(Triggers.NONE, say("None")), (Triggers.CHOSEN, say("These:")), (Triggers.ALL, say("All"))]
        options = [
            discord.RadioGroupOption(label=label, value=policy.value, default=policy is entry.triggers)
            for policy, label in policies
        ]
        self.policy: ui.RadioGroup[Any] = ui.RadioGroup(custom_id="policy", options=options)
        label = say("Trigger words that are added to prompts")
        self.add_item(ui.Label(text=shortened(label, 45), component=self.policy))
        words = ", ".join(entry.chosen or entry.info.triggers[:3])
        self.chosen = self.ask(say("The words, between commas"), "chosen", words, 1000, long=True)

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        least, most = read_span(self.span.value)
        change = Change(
            least=least,
            most=most,
            triggers=Triggers(self.policy.value or Triggers.NONE.value),
            chosen=read_words(self.chosen.value),
        )
        if self.weight.value.strip():
            change["weight"] = read_weight(say("this adapter"), self.weight.value)
        await _edit(interaction, self.short_id, change)


class RightsForm(EntryForm):
    def __init__(self, entry: CatalogEntry) -> None:
        super().__init__(say("Maker and warnings"), entry)
        self.credit = self.ask(say("Who made it"), "credit", entry.credit, LENGTHS["credit"])
        self.license = self.ask(say("Its licence"), "license", entry.license, LENGTHS["licence"])
        flags = [
            (_NSFW, say("Not for everybody (18+)"), entry.nsfw),
            (_REAL, say("Shows a real person"), entry.real_person),
        ]
        options = [
            discord.CheckboxGroupOption(label=label, value=flag, default=raised) for flag, label, raised in flags
        ]
        self.flags: ui.CheckboxGroup[Any] = ui.CheckboxGroup(
            custom_id="flags", options=options, min_values=0, max_values=len(options), required=False
        )
        self.add_item(ui.Label(text=say("Warnings"), component=self.flags))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        raised = self.flags.values
        change = Change(
            credit=self.credit.value, license=self.license.value, nsfw=_NSFW in raised, real_person=_REAL in raised
        )
        await _edit(interaction, self.short_id, change)


async def _edit(interaction: asking.Interaction, short_id: str, change: Change) -> None:
    """The entry says so, and the card with the forms shows it."""
    entry = await interaction.client.shelf.edit(asking.who(interaction), short_id, change)
    await interaction.response.edit_message(view=edit_card(entry), attachments=[])


def edit_card(entry: CatalogEntry) -> Card:
    """What the entry says that its owner may change, and the forms for it."""
    span = "" if entry.least is entry.most is None else f"{_end(entry.least)} – {_end(entry.most)}"
    policy = {Triggers.NONE: say("none"), Triggers.CHOSEN: say("chosen"), Triggers.ALL: say("all")}[entry.triggers]
    facts = {
        say("also called"): code(entry.alias, 60) if entry.alias else "",
        say("tags"): safe(", ".join(entry.tags), 300),
        say("description"): safe(entry.description, 300),
        say("weight"): f"{weight(entry.weight)} {span and f'({span})'}".strip(),
        say("words that are added"): f"{policy} {safe(', '.join(entry.chosen), 300)}".strip(),
        say("made by"): safe(entry.maker, 100),
        say("licence"): safe(entry.terms, 100),
        say("warnings"): ", ".join(
            filter(None, ("18+" if entry.nsfw else "", say("a real person") if entry.real_person else ""))
        ),
    }
    said = "\n".join(f"{name}: {value}" for name, value in facts.items() if value)
    act = AdapterAction
    buttons = (AdapterButton(action, entry.id) for action in (act.NAMING, act.DRAWING, act.RIGHTS, act.INFO))
    return Card(ui.TextDisplay(f"### {code(entry.name, 60)}\n{said}"), ui.ActionRow[Any](*buttons))


def _end(value: float | None) -> str:
    return "" if value is None else weight(value)
