"""The cards of /adapter and /model: what is in memory, how it does, which base models there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from discord import ui

from engine import CacheFigures

from ..language import say, say_many
from ..orders import BaseModel, Held, Stats, Worker
from ..orders.stock import Figures
from .cards import Card
from .text import code, lines, safe

GIB = 1 << 30


def held_card(workers: Sequence[Worker]) -> Card:
    """A line an adapter, with the tiers it is in."""
    listed = [line for worker in workers for line in _worker(worker)]
    return Card(ui.TextDisplay(lines(listed or [_nobody()], say("And more."))))


def stats_card(stats: Stats) -> Card:
    """Memory, hits and evictions by worker; then a line an adapter."""
    memory = [line for worker in stats.workers for line in _memory(worker)] or [_nobody()]
    figures = [_figures(name, row) for name, row in stats.figures] or [say("There are no figures of adapters yet.")]
    return Card(ui.TextDisplay(lines([*memory, *figures], say("And more."))))


def models_card(models: Sequence[BaseModel]) -> Card:
    """A line a model."""
    return Card(ui.TextDisplay(lines((_model(model) for model in models), say("And more."))))


def _worker(worker: Worker) -> Iterator[str]:
    yield _head(worker)
    for held in worker.adapters:
        yield f"- {code(held.name, 60)} · {_tiers(held)}"
    if worker.others:
        yield say_many("- and {n} that you do not see by name", "- and {n} that you do not see by name", worker.others)
    elif not worker.adapters:
        yield say("No adapter is in memory.")


def _tiers(held: Held) -> str:
    tiers = (
        (held.gpu, say("ready on the device")),
        (held.ram, say("in RAM")),
        (held.pinned, say("pinned")),
        (held.warm, say("warm set")),
    )
    return ", ".join(name for there, name in tiers if there)


def _head(worker: Worker) -> str:
    free = "" if worker.free_vram is None else say("{n} GiB of its memory free", n=f"{worker.free_vram / GIB:.1f}")
    family = safe(worker.family, 40)
    return " · ".join(filter(None, (code(worker.model, 60), family, safe(worker.device, 40), free)))


def _memory(worker: Worker) -> Iterator[str]:
    yield _head(worker)
    if worker.seconds_per_step is not None:
        yield say("- {n} s a step", n=f"{worker.seconds_per_step:.2f}")
    for name, cache in worker.caches.items():
        yield f"- {_cache_name(name)}: {_cache(cache)}"


def _cache_name(name: str) -> str:
    return {"files": say("files in RAM"), "factors": say("prepared on the device")}.get(name, safe(name, 40))


def _cache(cache: CacheFigures) -> str:
    asked = cache.hits + cache.misses
    rate = say("{n} % found there", n=round(100 * cache.hits / asked)) if asked else say("never asked for")
    room = say(
        "{n} adapters, {used} of {most} GiB",
        n=cache.resident,
        used=f"{cache.nbytes / GIB:.2f}",
        most=f"{cache.budget / GIB:.1f}",
    )
    left = say_many("{n} had to go", "{n} had to go", cache.evictions)
    return f"{room} · {rate} · {left}"


def _figures(name: str, row: Figures) -> str:
    draws = say_many("{n} drawing", "{n} drawings", row.draws)
    failed = say_many("{n} failed", "{n} failed", row.failures) if row.failures else ""
    pace, base = row.seconds_per_step, row.base_seconds_per_step
    step = say("{n} s a step", n=f"{pace:.2f}") if pace else ""
    times = say("{n} times the base model's", n=f"{pace / base:.2f}") if pace and base else ""
    return "- " + " · ".join(filter(None, (code(name, 60), draws, failed, step, times)))


def _model(model: BaseModel) -> str:
    where = "" if model.allowed else say("not to be used here")
    default = say("what is drawn with where an order names none") if model.default else ""
    family = safe(model.family, 40) or say("kind not known yet")
    return "- " + " · ".join(filter(None, (code(model.name, 60), family, default, where)))


def _nobody() -> str:
    return say("No engine is running now.")
