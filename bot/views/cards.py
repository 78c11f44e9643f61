"""What a job looks like in a channel: one Components V2 card for each of its states."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import discord
from discord import ui

from engine import Progress, Request, written

from ..language import said, say, say_many, unsaid
from ..orders import Credit, Job, JobState, Ticket
from .buttons import Action, JobButton
from .text import block, code, lines, safe, weight

COLOUR = discord.Colour(0x7A5CFF)
FAULT = discord.Colour(0xC0392B)
PROMPT_SHOWN = 1500  # of the 4000 characters that Discord gives one message
NEGATIVE_SHOWN = 300
REPORTS_SHOWN = 5
FACTS_SHOWN = 2000  # characters
GONE = unsaid("The pictures are no longer kept; Again draws them once more.")

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
    told = [say("Queued, place {place}…", place=ticket.place)]
    if ticket.wait is not None:
        told.append(say("About {seconds} s.", seconds=max(1, round(ticket.wait))))
    if ticket.cost is not None:
        told.append(say("Drawing it takes {seconds} s of that.", seconds=max(1, round(ticket.cost))))
    small = (
        []
        if ticket.left is None
        else [say("You may order {seconds:.0f} s more of drawing today.", seconds=ticket.left)]
    )
    notes = "".join(f"\n-# {line}" for line in [*small, *_notes(ticket.notes)])
    return Card(_text(" ".join(told) + notes), _row(ticket.job_id, Action.CANCEL))


def progress(job: Job, now: Progress, preview: discord.File | None) -> Card:
    """A job in the making, with the picture as it looks so far."""
    picture = [] if preview is None else [ui.MediaGallery[Any](discord.MediaGalleryItem(preview, spoiler=job.mature))]
    return Card(
        _text(say("Drawing, step {step} of {steps}", step=now.step, steps=now.steps)),
        *picture,
        _row(job.id, Action.CANCEL),
    )


def unfinished(job: Job) -> Card:
    """A job that waits or runs, opened from elsewhere."""
    return Card(_text(say("In the making.") + f"\n{words(job.request)}"), _row(job.id, Action.CANCEL))


def finished(job: Job, files: Sequence[discord.File], *, left: int = 0, mention: bool = False) -> Card:
    """The pictures and how to make them again. `left` is how many did not fit into the message; `mention` calls the one
    who asked, where the answer came too late.
    """
    head = [_text(f"<@{job.order.who.member_id}>")] if mention else []
    shown = [discord.MediaGalleryItem(file, spoiler=job.mature) for file in files]
    gallery = ui.MediaGallery[Any](*shown) if shown else _text(f"-# {say(GONE)}")
    more = [_text(f"-# {_elsewhere(left)}")] if left else []
    weights = [Action.WEIGHTS] if job.request.adapters else []
    cell = [Action.CELL] if job.request.grid else []
    actions = [Action.AGAIN, Action.VARY, *weights, *cell, Action.DELETE]
    return Card(*head, _text(words(job.request)), gallery, *more, _text(_facts(job)), _row(job.id, *actions))


def closed(job: Job, *, mention: bool = False) -> Card:
    """A job that ended without pictures, and why."""
    head = [_text(f"<@{job.order.who.member_id}>")] if mention else []
    if job.state is JobState.CANCELLED:
        return Card(*head, _text(say("Cancelled.") + f"\n{words(job.request)}"), _row(job.id, Action.AGAIN))
    reason = safe(said(job.sentence), 1000) or say("This could not be drawn.")
    return Card(*head, _text(f"{reason}\n{words(job.request)}"), _row(job.id, Action.AGAIN), colour=FAULT)


def custom_ids(components: Iterable[Any]) -> Iterator[str]:
    """What the buttons and menus of a message carry."""
    for component in components:
        yield getattr(component, "custom_id", None) or ""
        yield from custom_ids(getattr(component, "children", ()))


def preview_file(preview: bytes | None) -> discord.File | None:
    return None if preview is None else discord.File(io.BytesIO(preview), filename="preview.jpg")


def mix(job: Job) -> str:
    """The adapters and weights of a job, as "ink 0.5 + light 1", as tags where there is more to say; "" without."""
    return " + ".join(f"{use.name} {weight(use.weight)}" if use.plain else written(use) for use in job.request.adapters)


def words(request: Request) -> str:
    """The prompt, and what was to be kept out."""
    shown = block(request.prompt, PROMPT_SHOWN)
    if request.negative:
        shown += "\n" + say("without {words}", words=code(request.negative, NEGATIVE_SHOWN))
    return shown


def _elsewhere(left: int) -> str:
    return say_many(
        "{n} more picture is too large for this message: `/history` shows it.",
        "{n} more pictures are too large for this message: `/history` shows them.",
        left,
    )


def _facts(job: Job) -> str:
    """Seed, mix, size, steps and time, the adapters that could not be applied whole, and the tags left out."""
    first = job.pictures[0] if job.pictures else None
    request = job.request
    facts = [
        say("seed {seed}", seed=first.seed if first else request.seed),
        code(mix(job), 300) if request.adapters else "",
        say("{n} cells over {axes}", n=len(request.grid), axes=code(str(request.grid), 300)) if request.grid else "",
        f"{first.width}×{first.height}" if first else "",
        say_many("{n} step", "{n} steps", request.steps),
        f"{request.sampler} {request.schedule}".rstrip(),
        say("{seconds:.1f} s", seconds=job.seconds) if job.seconds is not None else "",
    ]
    partial = [line for line in job.report if not _ALL_LAYERS.fullmatch(line)]
    advice = [credit.advice for credit in job.credits if credit.advice]
    told = [
        " · ".join(filter(None, facts)),
        *_credits(job.credits),
        *_notes([*advice, *partial]),
        *_notes(request.notes),
    ]
    return lines([f"-# {line}" for line in told], say("And more."), FACTS_SHOWN)


def _credits(given: Sequence[Credit]) -> list[str]:
    """Who made the adapters, and on which terms: a line for three of them."""
    told = [
        say("{name} by {maker}", name=code(credit.name, 40), maker=safe(credit.by, 60) or say("somebody unknown"))
        + (f" ({safe(credit.license, 40)})" if credit.license else "")
        for credit in given
        if credit.by or credit.license
    ]
    return [" · ".join(told[at : at + 3]) for at in range(0, len(told), 3)]


def _notes(sentences: Sequence[str]) -> list[str]:
    """Sentences with members' words in them, as many as a card shows."""
    shown = [code(said(sentence), 300) for sentence in sentences[:REPORTS_SHOWN]]
    more = len(sentences) - len(shown)
    return [*shown, say("… and {n} more", n=more)] if more else shown


def _text(content: str) -> ui.TextDisplay[Any]:
    return ui.TextDisplay(content)


def _row(job_id: str, *actions: Action) -> ui.ActionRow[Any]:
    return ui.ActionRow[Any](*(JobButton(action, job_id) for action in actions))
