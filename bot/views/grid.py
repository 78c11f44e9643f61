"""/grid: the question what a sheet may cost, and the form that picks one cell of a finished one."""

from __future__ import annotations

import contextlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import discord
from discord import ButtonStyle, ui

from engine import Axis, Grid, Request

from ..language import say, unsaid
from ..orders import Job, Price, TooLate
from ..replies import border
from . import asking
from .cards import Card, note
from .forms import Form
from .numbered import Numbered
from .text import code, shortened

MOST = 200  # questions that wait for an answer at once; the oldest are forgotten first
_LOOKS = {"draw": (unsaid("Draw it"), ButtonStyle.primary), "drop": (unsaid("Cancel"), ButtonStyle.secondary)}


@dataclass(frozen=True, slots=True)
class Question:
    """Whether this request is to be drawn at its price, as it was put to whoever used /grid."""

    interaction: asking.Interaction
    request: Request


class Questions:
    """The questions that are open. Nothing is ordered yet, so a restart may forget them."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Question] = OrderedDict()

    def add(self, question: Question) -> str:
        """The question is open; its number is what a button carries."""
        number = secrets.token_hex(8)
        self._open[number] = question
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return number

    def take(self, number: str, member_id: int) -> Question:
        """The question is answered. Raises TooLate when it was already, or is somebody else's, or forgotten."""
        question = self._open.get(number)
        if question is None or question.interaction.user.id != member_id:
            raise TooLate("This question is answered or too old. Send /grid again.")
        return self._open.pop(number)


class Answer(
    Numbered,
    ui.DynamicItem[ui.Button[ui.LayoutView]],
    template=r"loom:grid:(?P<verb>draw|drop):(?P<number>[0-9a-f]{16})",
):
    """Yes or no to a question."""

    def __init__(self, verb: str, number: str) -> None:
        label, style = _LOOKS[verb]
        super().__init__(ui.Button(label=say(label), style=style, custom_id=f"loom:grid:{verb}:{number}"))
        self.verb = verb
        self.number = number

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        async with border(interaction):
            question = interaction.client.questions.take(self.number, interaction.user.id)
            if self.verb == "drop":
                await interaction.response.edit_message(view=note(say("Not ordered.")))
                return
            ordering = interaction.client.orders.imagine(asking.order(interaction, question.request))
            await asking.place(interaction, ordering)
            with contextlib.suppress(discord.HTTPException):  # its token may have ended; the job is what counts
                await question.interaction.delete_original_response()


async def ask(interaction: asking.Interaction, request: Request) -> None:
    """Whoever used /grid sees what it costs, and two buttons. Raises what the order itself would be refused for."""
    price = await interaction.client.orders.price(request, asking.who(interaction))
    number = interaction.client.questions.add(Question(interaction, request))
    await interaction.response.send_message(view=_card(request, price, number), ephemeral=True)


class CellModal(Form):
    """Sent, it orders one cell of the sheet as a picture of its own."""

    def __init__(self, job: Job, grid: Grid) -> None:
        super().__init__(say("One cell of the sheet"))
        self.job_id = job.id
        self.columns = len(grid.x.values)
        self.x = self._menu(grid.x, "x")
        self.y = None if grid.y is None else self._menu(grid.y, "y")

    def _menu(self, axis: Axis, name: str) -> ui.Select[Any]:
        options = [
            discord.SelectOption(label=shortened(label, 100) or say("none"), value=str(place))
            for place, label in enumerate(axis.labels)
        ]
        menu: ui.Select[Any] = ui.Select(custom_id=f"cell-{name}", options=options)
        self.add_item(ui.Label(text=shortened(axis.kind, 45), component=menu))
        return menu

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        row = int(self.y.values[0]) if self.y is not None else 0
        place = row * self.columns + int(self.x.values[0])
        orders = interaction.client.orders
        await asking.place(interaction, orders.cell(self.job_id, asking.press(interaction), place))


def _card(request: Request, price: Price, number: str) -> Card:
    grid = request.grid
    assert grid is not None, "only a grid is asked about"
    rows = len(grid.y.values) if grid.y else 1
    size = {"columns": len(grid.x.values), "rows": rows, "n": price.pictures}
    sheet = (
        say("A sheet of {columns} × {rows} cells, {n} pictures.", **size)
        if price.seconds is None
        else say(
            "A sheet of {columns} × {rows} cells, {n} pictures, about {time} of drawing.", **size, time=_time(price)
        )
    )
    said = [
        sheet,
        *(code(str(axis), 300) for axis in (grid.x, grid.y) if axis is not None),
        "-# "
        + say(
            "It counts as one order; {unfinished} of the {limit} that you may have are unfinished.",
            unfinished=price.unfinished,
            limit=price.limit,
        ),
    ]
    buttons = ui.ActionRow[Any](Answer("draw", number), Answer("drop", number))
    return Card(ui.TextDisplay("\n".join(said)), buttons)


def _time(price: Price) -> str:
    seconds = price.seconds or 0
    return say("{n} s", n=max(1, round(seconds))) if seconds < 90 else say("{n} min", n=round(seconds / 60))
