"""The form behind "Weights…": one field for each adapter of a job's mix."""

from __future__ import annotations

from typing import Any

import discord
from discord import ui

from engine import BadRequest

from ..orders import Job
from ..replies import answer_error
from . import asking
from .text import shortened, weight

FIELDS = 5  # what Discord lets one form hold
TIMEOUT = 15 * 60.0  # seconds; Discord does not say when someone closes a form, so it is forgotten some time


class WeightsModal(ui.Modal):
    """Sent, it orders the job again with the new weights."""

    def __init__(self, job: Job) -> None:
        more = len(job.request.adapters) > FIELDS
        super().__init__(title=f"Weights of the first {FIELDS}" if more else "Weights", timeout=TIMEOUT)
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

    async def on_error(  # type: ignore[override]  # a form's errors have no item, unlike a view's
        self, interaction: discord.Interaction[Any], error: Exception
    ) -> None:
        await answer_error(interaction, error)


def read_weight(name: str, text: str) -> float:
    """`text` as a weight; a decimal comma will do."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise BadRequest(f"The weight of {name} is {text!r}; it must be a number such as 0.5.") from None
