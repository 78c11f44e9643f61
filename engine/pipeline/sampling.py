"""The denoising loop. Each picture is a row with its own latents, noise, scheduler and conditioning.

Ours rather than diffusers' `__call__`, so that cancelling and previews happen between steps, and so that rows of
different requests can join and leave a batch one day. At plain prompts it gives the pixels of diffusers' own pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .conditioning import Conditioning, Embedding, alike
from .inpaint import Kept
from .noise import Noise
from .samplers import SigmaScheduler, level_of

OnStep = Callable[[int, int, torch.Tensor], None]  # step, steps, latents worth a preview (rows, 4, h, w)


@dataclass(slots=True)
class Row:
    """One picture in the making. `latents` (1, 4, h, w); `timesteps` are those still to do."""

    latents: torch.Tensor
    scheduler: Any
    timesteps: torch.Tensor
    noise: Noise
    positive: Sequence[Conditioning]
    negative: Sequence[Conditioning]
    empty: Embedding
    cfg: float
    cfg_rescale: float = 0.0
    preview: torch.Tensor | None = None
    kept: Kept | None = None  # where a mask keeps the picture that was sent
    told: torch.Tensor | None = None  # (1, 5, h, w) for an inpainting UNet: see `inpaint.told`

    def wanted(self, call: int) -> tuple[tuple[Embedding, float], ...]:
        return _in_force(self.positive, self._step(call)).parts

    def unwanted(self, call: int) -> Embedding:
        return _in_force(self.negative, self._step(call)).parts[0][0]

    def guided(self, call: int) -> bool:
        """Whether the negative prompt counts. Without it the model has half the work."""
        return self.cfg != 1 or [weight for _, weight in self.wanted(call)] != [1.0]

    def texts(self, call: int) -> list[Embedding]:
        """What the model is asked with: the negative prompt where it counts, then the parts of the prompt."""
        parts = [embedding for embedding, _ in self.wanted(call)]
        return [self.unwanted(call), *parts] if self.guided(call) else parts

    def _step(self, call: int) -> int:
        """The step (from 1) that the model's call number `call` (from 1) belongs to."""
        return (call - 1) // int(self.scheduler.order) + 1


def new_row(
    *,
    noise: Noise,
    scheduler: Any,
    steps: int,
    device: torch.device,
    dtype: torch.dtype,
    start: torch.Tensor | None,
    strength: float,
    positive: Sequence[Conditioning],
    negative: Sequence[Conditioning],
    empty: Embedding,
    cfg: float,
    cfg_rescale: float = 0.0,
    last: int | None = None,
) -> Row:
    """A row at its first step. `start` are the latents of a picture to change by `strength`, or in the `last` so many
    of the steps, or None.
    """
    precision = torch.float32 if isinstance(scheduler, SigmaScheduler) else dtype
    first = noise.first().to(device, precision)
    scheduler.set_timesteps(steps, device=device)
    timesteps = scheduler.timesteps
    if start is None:
        latents = first * scheduler.init_noise_sigma
    else:
        skipped = _skipped(scheduler, strength, last)
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        timesteps = scheduler.timesteps[skipped:]
        start = start.to(precision)
        latents = scheduler.add_noise(start, first, timesteps[:1]) if len(timesteps) else start
    return Row(latents, scheduler, timesteps, noise, positive, negative, empty, cfg, cfg_rescale)


def denoise(
    unet: Any,
    rows: Sequence[Row],
    extra: Callable[[Embedding], dict[str, torch.Tensor]],
    on_step: OnStep,
    *,
    sparing: bool = False,
) -> torch.Tensor:
    """Latents (rows, 4, h, w) after the last step. `on_step` runs after every step and may raise to stop.

    `extra` gives what an SDXL UNet wants beside the text. On the CPU rows go through the UNet one by one, so a picture
    is the same to the bit wherever it stood in its batch; on a GPU they go together. `sparing` of memory, every text
    of every row goes through it alone.
    """
    steps = len(rows[0].timesteps)
    together = len(rows) if rows[0].latents.device.type != "cpu" and not sparing else 1
    for step in range(1, steps + 1):
        for first in range(0, len(rows), together):
            _advance(unet, rows[first : first + together], step, extra, sparing)
        on_step(step, steps, _together(rows, [row.latents if row.preview is None else row.preview for row in rows]))
    finished = [row.latents if row.kept is None else row.kept.put_back(row.latents) for row in rows]
    return _together(rows, finished)


def _together(rows: Sequence[Row], latents: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor in the model's own precision, whatever the samplers work in."""
    return torch.cat(list(latents)).to(rows[0].empty.hidden.dtype)


def _skipped(scheduler: Any, strength: float, last: int | None) -> int:
    """How many timesteps a picture that changes by `strength`, or in the `last` so many steps, leaves out.

    By strength it is diffusers' rule for diffusers' scheduler.

    The WebUI, whose samplers the others are, takes one step more; here a strength of 0 still keeps the picture.
    """
    steps = len(scheduler.timesteps)
    if not isinstance(scheduler, SigmaScheduler):
        if last is not None:
            return max(0, steps - last)
        return steps - min(int(steps * strength), steps)
    steps = len(scheduler.sigmas) - 1
    if last is not None:
        return max(0, steps - last) * int(scheduler.order)
    taken = min(int(min(strength, 0.999) * steps) + 1, steps) if strength else 0
    return (steps - taken) * scheduler.order


def _in_force(conditioning: Sequence[Conditioning], step: int) -> Conditioning:
    return next((part for part in conditioning if step <= part.last_step), conditioning[-1])


def kind_of(rows: Sequence[Row]) -> tuple[object, ...]:
    """The same for rows whose steps are the same work."""
    texts = sorted(text.hidden.shape[1] for row in rows for text in row.texts(1)) if len(rows[0].timesteps) else []
    return tuple(rows[0].latents.shape), len(rows), tuple(texts)


def _advance(
    unet: Any,
    rows: Sequence[Row],
    step: int,
    extra: Callable[[Embedding], dict[str, torch.Tensor]],
    sparing: bool,
) -> None:
    inputs: list[torch.Tensor] = []
    times: list[torch.Tensor] = []
    texts: list[Embedding] = []
    for row in rows:
        time = row.timesteps[step - 1]
        scaled = row.scheduler.scale_model_input(row.latents, time)
        if row.told is not None:
            scaled = torch.cat([scaled, row.told], dim=1)
        asked = row.texts(step)
        texts += asked
        inputs += [scaled.to(row.empty.hidden.dtype)] * len(asked)
        times += [time] * len(asked)
    predicted = _predicted(unet, inputs, times, texts, extra, sparing)
    offset = 0
    for row in rows:
        weights = [weight for _, weight in row.wanted(step)]
        count = len(weights) + row.guided(step)
        _step(row, predicted[offset : offset + count], weights, row.timesteps[step - 1])
        offset += count


def _predicted(
    unet: Any,
    inputs: Sequence[torch.Tensor],
    times: Sequence[torch.Tensor],
    texts: Sequence[Embedding],
    extra: Callable[[Embedding], dict[str, torch.Tensor]],
    sparing: bool,
) -> torch.Tensor:
    """What the UNet makes of each input with its text. Texts of one length go through it together, others apart, as the
    WebUI does it unless told otherwise: filling a text up would change its picture.
    """
    found: dict[int, torch.Tensor] = {}
    for together in [[i] for i in range(len(texts))] if sparing else alike(texts):
        options = {key: torch.cat([extra(texts[i])[key] for i in together]) for key in extra(texts[0])}
        predicted = unet(
            torch.cat([inputs[i] for i in together]),
            torch.stack([times[i] for i in together]),
            encoder_hidden_states=torch.cat([texts[i].hidden for i in together]),
            added_cond_kwargs=options or None,
            return_dict=False,
        )[0]
        found.update(zip(together, torch.split(predicted, 1), strict=True))
    return torch.cat([found[i] for i in range(len(texts))])


def _step(row: Row, predicted: torch.Tensor, weights: Sequence[float], time: torch.Tensor) -> None:
    first, *others = torch.split(predicted.to(row.latents.dtype), 1)
    guided = _guided(row, first, others, weights) if others else first
    if row.kept is not None:
        level = level_of(row.scheduler, time)
        guided = row.kept.blended(guided, row.scheduler.scale_model_input(row.latents, time), level)
    output = row.scheduler.step(guided, time, row.latents, row.noise)
    row.latents = output.prev_sample
    row.preview = output.pred_original_sample


def _guided(row: Row, unwanted: torch.Tensor, parts: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), with AND: u + sum of w_i * cfg * (c_i - u)."""

    def at(cfg: float) -> torch.Tensor:
        guided = unwanted
        for part, weight in zip(parts, weights, strict=True):
            guided = guided + weight * cfg * (part - unwanted)
        return guided

    return rescaled(at(row.cfg), at(1), row.cfg_rescale) if row.cfg_rescale else at(row.cfg)


def rescaled(guided: torch.Tensor, wanted: torch.Tensor, part: float) -> torch.Tensor:
    """`guided` with its contrast brought back, by `part`, to that of `wanted`, without guidance (Lin et al. 2023)."""
    contrast = wanted.std(dim=(1, 2, 3), keepdim=True) / guided.std(dim=(1, 2, 3), keepdim=True)
    return part * (guided * contrast) + (1 - part) * guided
