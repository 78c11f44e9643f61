"""The denoising loop. Each picture is a row with its own latents, noise, scheduler and conditioning.

Ours rather than diffusers' `__call__`, so that cancelling and previews happen between steps, and so that rows of
different requests can join and leave a batch one day. At plain prompts it gives the pixels of diffusers' own pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .conditioning import Conditioning, Embedding, matched
from .inpaint import Kept

OnStep = Callable[[int, int, torch.Tensor], None]  # step, steps, latents worth a preview (rows, 4, h, w)


@dataclass(slots=True)
class Row:
    """One picture in the making. `latents` (1, 4, h, w); `timesteps` are those still to do, `done` how many were."""

    latents: torch.Tensor
    scheduler: Any
    timesteps: torch.Tensor
    generator: torch.Generator
    positive: Sequence[Conditioning]
    negative: Sequence[Conditioning]
    empty: Embedding
    cfg: float
    preview: torch.Tensor | None = None
    kept: Kept | None = None  # where a mask keeps the picture that was sent
    told: torch.Tensor | None = None  # (1, 5, h, w) for an inpainting UNet: see `inpaint.told`

    def wanted(self, step: int) -> tuple[tuple[Embedding, float], ...]:
        return _in_force(self.positive, step).parts

    def unwanted(self, step: int) -> Embedding:
        return _in_force(self.negative, step).parts[0][0]


def new_row(
    *,
    shape: tuple[int, int],
    seed: int,
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
    last: int | None = None,
) -> Row:
    """A row at its first step. `shape` is (height, width) in latent cells; `start` are the latents of a picture to
    change by `strength`, or in the `last` so many of the steps, or None. Noise is drawn on the CPU in float32, so a
    seed means the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((1, 4, *shape), generator=generator).to(device, dtype)
    scheduler.set_timesteps(steps, device=device)
    timesteps = scheduler.timesteps
    if start is None:
        latents = noise * scheduler.init_noise_sigma
    else:
        skipped = (
            (len(timesteps) - min(int(len(timesteps) * strength), len(timesteps))) // scheduler.order * scheduler.order
        )
        if last is not None:
            skipped = min(len(timesteps), (steps - last) * scheduler.order)
        timesteps = timesteps[skipped:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        latents = scheduler.add_noise(start, noise, timesteps[:1]) if len(timesteps) else start
    return Row(latents, scheduler, timesteps, generator, positive, negative, empty, cfg)


def denoise(
    unet: Any, rows: Sequence[Row], extra: Callable[[Embedding], dict[str, torch.Tensor]], on_step: OnStep
) -> torch.Tensor:
    """Latents (rows, 4, h, w) after the last step. `on_step` runs after every step and may raise to stop.

    `extra` gives what an SDXL UNet wants beside the text. On the CPU rows go through the UNet one by one, so a picture
    is the same to the bit wherever it stood in its batch; on a GPU they go together.
    """
    steps = len(rows[0].timesteps)
    together = len(rows) if rows[0].latents.device.type != "cpu" else 1
    for step in range(1, steps + 1):
        for first in range(0, len(rows), together):
            _advance(unet, rows[first : first + together], step, extra)
        on_step(step, steps, torch.cat([row.latents if row.preview is None else row.preview for row in rows]))
    return torch.cat([row.latents for row in rows])


def _in_force(conditioning: Sequence[Conditioning], step: int) -> Conditioning:
    return next((part for part in conditioning if step <= part.last_step), conditioning[-1])


def _advance(unet: Any, rows: Sequence[Row], step: int, extra: Callable[[Embedding], dict[str, torch.Tensor]]) -> None:
    inputs: list[torch.Tensor] = []
    times: list[torch.Tensor] = []
    texts: list[Embedding] = []
    for row in rows:
        time = row.timesteps[step - 1]
        scaled = row.scheduler.scale_model_input(row.latents, time)
        if row.told is not None:
            scaled = torch.cat([scaled, row.told], dim=1)
        parts = [embedding for embedding, _ in row.wanted(step)]
        guided = [row.unwanted(step), *parts] if row.cfg != 1 else parts
        texts += guided
        inputs += [scaled] * len(guided)
        times += [time] * len(guided)
    empty = rows[0].empty
    texts = matched(texts, empty)
    options = {key: torch.cat([extra(text)[key] for text in texts]) for key in extra(texts[0])}
    predicted = unet(
        torch.cat(inputs),
        torch.stack(times),
        encoder_hidden_states=torch.cat([text.hidden for text in texts]),
        added_cond_kwargs=options or None,
        return_dict=False,
    )[0]
    offset = 0
    for row in rows:
        weights = [weight for _, weight in row.wanted(step)]
        count = len(weights) + (1 if row.cfg != 1 else 0)
        _step(row, predicted[offset : offset + count], weights, row.timesteps[step - 1])
        offset += count


def _step(row: Row, predicted: torch.Tensor, weights: Sequence[float], time: torch.Tensor) -> None:
    """Classifier-free guidance (Ho & Salimans 2022), with AND: u + sum of w_i * cfg * (c_i - u)."""
    if row.cfg == 1:
        weighted = zip(torch.split(predicted, 1), weights, strict=True)
        noise = sum(part * weight for part, weight in weighted) / sum(weights)
    else:
        unconditional, *parts = torch.split(predicted, 1)
        noise = unconditional
        for part, weight in zip(parts, weights, strict=True):
            noise = noise + weight * row.cfg * (part - unconditional)
    if row.kept is not None:
        noise = row.kept.blended(noise, row.scheduler.scale_model_input(row.latents, time), time)
    output = row.scheduler.step(noise, time, row.latents, **_randomness(row))
    row.latents = output.prev_sample
    row.preview = getattr(output, "pred_original_sample", None)


def _randomness(row: Row) -> dict[str, torch.Generator]:
    accepts = row.scheduler.step.__code__.co_varnames[: row.scheduler.step.__code__.co_argcount]
    return {"generator": row.generator} if "generator" in accepts else {}
