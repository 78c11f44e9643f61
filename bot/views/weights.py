"""The form behind "Weights…": one field for each adapter of a job's mix."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from engine import BadRequest

from ..language import say
from ..orders import Job
from . import asking
from .forms import Form
from .text import shortened, weight

FIELDS = 5  # what Discord lets one form hold


class WeightsModal(Form):
    """Sent, it orders the job again with the new weights."""

    def __init__(self, job: Job) -> None:
        more = len(job.request.adapters) > FIELDS
        super().__init__(say("Weights of the first {n}", n=FIELDS) if more else say("Weights"))
        self.job_id = job.id
        self.inputs: dict[str, ui.TextInput[Any]] = {}
        for number, use in enumerate(job.request.adapters[:FIELDS]):
            field: ui.TextInput[Any] = ui.TextInput(
                custom_id=f"weight-{number}", default=weight(use.weight), min_length=1, max_length=8
            )
            self.inputs[use.name] = field
            self.add_item(ui.Label(text=shortened(use.name, 45), component=field))

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        weights = {name: read_weight(name, field.value) for name, field in self.inputs.items()}
        again = interaction.client.orders.again(self.job_id, asking.press(interaction), weights=weights)
        await asking.place(interaction, again)


def read_weight(name: str, text: str) -> float:
    """`text` as a weight; a decimal comma will do."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise BadRequest(f"The weight of {name} is {text!r}; it must be a number such as 0.5.") from None
