"""What a job looks like in a channel: one Components V2 card for each of its states."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import discord
from discord import ui

from engine import Progress, written

from ..orders import Job, JobState, Ticket
from .buttons import Action, JobButton
from .text import block, code, safe, weight

COLOUR = discord.Colour(0x7A5CFF)
FAULT = discord.Colour(0xC0392B)
PROMPT_SHOWN = 1500  # of the 4000 characters that Discord gives one message
NEGATIVE_SHOWN = 300
REPORTS_SHOWN = 5
GONE = "-# The pictures are no longer kept; Again draws them once more."

_ALL_LAYERS = re.compile(r".*: (\d+) of \1 layers")


class Card(ui.LayoutView):
    """One framed message. Its buttons carry the job's id themselves, so the card needs no memory and no timeout."""

    def __init__(self, *items: ui.Item[Any], colour: discord.Colour = COLOUR) -> None:
        super().__init__(timeout=None)
        self.add_item(ui.Container(*items, accent_colour=colour))


def note(words: str) -> Card:
    """A card of one sentence."""
    return Card(_text(words))


def queued(ticket: Ticket) -> Card:
    """The first answer: recorded, and when it will be drawn."""
    wait = "" if ticket.wait is None else f" About {max(1, round(ticket.wait))} s."
    cost = "" if ticket.cost is None else f" Drawing it takes {max(1, round(ticket.cost))} s of that."
    left = [] if ticket.left is None else [f"You may order {ticket.left:.0f} s more of drawing today."]
    notes = "".join(f"\n-# {line}" for line in [*left, *_notes(ticket.notes)])
    return Card(_text(f"Queued, place {ticket.place}…{wait}{cost}{notes}"), _row(ticket.job_id, Action.CANCEL))


def progress(job: Job, now: Progress, preview: discord.File | None) -> Card:
    """A job in the making, with the picture as it looks so far."""
    picture = [] if preview is None else [ui.MediaGallery[Any](discord.MediaGalleryItem(preview, spoiler=job.mature))]
    return Card(_text(f"Drawing, step {now.step} of {now.steps}"), *picture, _row(job.id, Action.CANCEL))


def unfinished(job: Job) -> Card:
    """A job that waits or runs, opened from elsewhere."""
    return Card(_text(f"In the making.\n{_words(job)}"), _row(job.id, Action.CANCEL))


def finished(job: Job, files: Sequence[discord.File], *, mention: bool = False) -> Card:
    """The pictures and how to make them again. `mention` calls the one who asked, where the answer came too late."""
    head = [_text(f"<@{job.order.who.member_id}>")] if mention else []
    shown = [discord.MediaGalleryItem(file, spoiler=job.mature) for file in files]
    gallery = ui.MediaGallery[Any](*shown) if shown else _text(GONE)
    weights = [Action.WEIGHTS] if job.request.adapters else []
    cell = [Action.CELL] if job.request.grid else []
    actions = [Action.AGAIN, Action.VARY, *weights, *cell, Action.DELETE]
    return Card(*head, _text(_words(job)), gallery, _text(_facts(job)), _row(job.id, *actions))


def closed(job: Job, *, mention: bool = False) -> Card:
    """A job that ended without pictures, and why."""
    head = [_text(f"<@{job.order.who.member_id}>")] if mention else []
    if job.state is JobState.CANCELLED:
        return Card(*head, _text(f"Cancelled.\n{_words(job)}"), _row(job.id, Action.AGAIN))
    reason = safe(job.sentence, 1000) or "This could not be drawn."
    return Card(*head, _text(f"{reason}\n{_words(job)}"), _row(job.id, Action.AGAIN), colour=FAULT)


def preview_file(preview: bytes | None) -> discord.File | None:
    return None if preview is None else discord.File(io.BytesIO(preview), filename="preview.jpg")


def mix(job: Job) -> str:
    """The adapters and weights of a job, as "ink 0.5 + light 1", as tags where there is more to say; "" without."""
    return " + ".join(f"{use.name} {weight(use.weight)}" if use.plain else written(use) for use in job.request.adapters)


def _words(job: Job) -> str:
    negative = f"\nwithout {code(job.request.negative, NEGATIVE_SHOWN)}" if job.request.negative else ""
    return block(job.request.prompt, PROMPT_SHOWN) + negative


def _facts(job: Job) -> str:
    """Seed, mix, size, steps and time, the adapters that could not be applied whole, and the tags left out."""
    first = job.pictures[0] if job.pictures else None
    request = job.request
    facts = [
        f"seed {first.seed if first else request.seed}",
        code(mix(job), 300) if request.adapters else "",
        f"{len(request.grid)} cells over {code(str(request.grid), 300)}" if request.grid else "",
        f"{first.width}×{first.height}" if first else "",
        f"{request.steps} steps",
        f"{request.sampler} {request.schedule}".rstrip(),
        f"{job.seconds:.1f} s" if job.seconds is not None else "",
    ]
    partial = [line for line in job.report if not _ALL_LAYERS.fullmatch(line)]
    return "\n".join(
        "-# " + line for line in [" · ".join(filter(None, facts)), *_notes(partial), *_notes(request.notes)]
    )


def _notes(sentences: Sequence[str]) -> list[str]:
    """Sentences with members' words in them, as many as a card shows."""
    shown = [code(sentence, 300) for sentence in sentences[:REPORTS_SHOWN]]
    more = len(sentences) - len(shown)
    return [*shown, f"… and {more} more"] if more else shown


def _text(content: str) -> ui.TextDisplay[Any]:
    return ui.TextDisplay(content)


def _row(job_id: str, *actions: Action) -> ui.ActionRow[Any]:
    return ui.ActionRow[Any](*(JobButton(action, job_id) for action in actions))
