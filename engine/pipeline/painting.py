"""Requests to pictures, with the weights as they are: prompts to rows, rows to latents, and, larger, once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from ..prompt import parse_negative, parse_prompt
from ..types import Hires, Request, alone
from ..work import Meter, Pass, passes
from .conditioning import Conditioner, Embedding, Reading, named
from .hires import enlarged, second_schedule
from .noise import Noise
from .preview import preview
from .samplers import make_scheduler
from .sampling import Row, denoise, new_row
from .sent import Sent, read_sent
from .vae import Vae

Switch = Callable[[int, int, bool], None]
"""The mix of this step (from 1) of so many is in force; the last says whether it is the second pass of hires fix."""


@dataclass(frozen=True, slots=True)
class Order:
    """A complete request without tags, and how its prompts are read."""

    request: Request
    reading: Reading


@dataclass(frozen=True, slots=True)
class Painted:
    """`request` draws this one picture again; `embeddings` are those its prompts named, name -> hash."""

    request: Request
    image: Image.Image
    embeddings: dict[str, str]


class Painter:
    """One base model's way from requests to pictures. Between steps it calls what may stop it, by raising."""

    def __init__(
        self, pipeline: Any, device: torch.device, dtype: torch.dtype, *, family: str, preview_every: float
    ) -> None:
        self.pipeline = pipeline
        self.seconds_per_step: float | None = None
        self._conditioner = Conditioner(pipeline)
        self._device, self._dtype = device, dtype
        self._family, self._preview_every = family, preview_every

    def paint(
        self, orders: Sequence[Order], vae: Vae, switch: Switch, meter: Meter, stop: Callable[[], None]
    ) -> list[list[Painted]]:
        """The pictures of each order; all are of one size and one mix, and go through the model together."""
        first = orders[0].request
        sent = read_sent(first, size_of(first))
        ones = [[(alone(order.request, i), order.reading) for i in range(order.request.count)] for order in orders]
        flat = [one for several in ones for one in several]
        planned, *second = passes(first)
        starts = sent.starts(vae, [seed_of(request) for request, _ in flat])
        rows = self._rows(flat, sent, vae, starts, steps=first.steps)
        latents = self._denoise(rows, first, lambda step, steps: switch(step, steps, False), meter, planned, stop)
        if first.hires is not None:
            latents = self._enlarge(latents, flat, first.hires, vae, switch, meter, second[0], stop)
        painted = [
            Painted(one, sent.restored(vae.decode(latents[i : i + 1])), named((*rows[i].positive, *rows[i].negative)))
            for i, (one, _) in enumerate(flat)
        ]
        ends = [sum(map(len, ones[: i + 1])) for i in range(len(ones))]
        return [painted[end - len(several) : end] for several, end in zip(ones, ends, strict=True)]

    def _enlarge(
        self,
        latents: torch.Tensor,
        ones: Sequence[tuple[Request, Reading]],
        hires: Hires,
        vae: Vae,
        switch: Switch,
        meter: Meter,
        planned: Pass,
        stop: Callable[[], None],
    ) -> torch.Tensor:
        """The second pass of hires fix, over the first one's pictures enlarged, with the same seeds."""
        width, height = (hires.side(side) for side in size_of(ones[0][0]))
        starts = [
            enlarged(latents[i : i + 1], hires, (width, height), vae, torch.Generator().manual_seed(seed_of(request)))
            for i, (request, _) in enumerate(ones)
        ]
        larger = [(replace(request, width=width, height=height, hires=None), reading) for request, reading in ones]
        steps, last = second_schedule(hires, larger[0][0].steps)
        rows = self._rows(larger, Sent((width, height)), vae, starts, steps=steps, last=last)
        return self._denoise(rows, larger[0][0], lambda step, steps: switch(step, steps, True), meter, planned, stop)

    def _rows(
        self,
        ones: Sequence[tuple[Request, Reading]],
        sent: Sent,
        vae: Vae,
        starts: Sequence[torch.Tensor | None],
        *,
        steps: int,
        last: int | None = None,
    ) -> list[Row]:
        """A row a picture, at its first step: the first of `steps`, or of the `last` so many of them.

        In the second pass of hires fix a prompt says what it said at the end of the first.
        """
        width, height = sent.size
        rows = []
        for (one, reading), start in zip(ones, starts, strict=True):
            positive = self._conditioner.schedule(parse_prompt(one.prompt), one.steps, reading)
            negative = self._conditioner.schedule(parse_negative(one.negative), one.steps, reading)
            if last is not None:
                positive, negative = positive[-1:], negative[-1:]
            assert one.cfg is not None  # the request is complete
            config = self.pipeline.scheduler.config
            row = new_row(
                noise=self._noise(one, (height // vae.factor, width // vae.factor)),
                scheduler=make_scheduler(one.sampler, config, schedule=one.schedule, eta=one.eta),
                steps=steps,
                device=self._device,
                dtype=self._dtype,
                start=start,
                strength=one.strength,
                positive=positive,
                negative=negative,
                empty=self._conditioner.empty(reading),
                cfg=one.cfg,
                cfg_rescale=one.cfg_rescale,
                last=last,
            )
            kind = config.get("prediction_type", "epsilon")
            sent.bind(row, start, vae, self.pipeline.unet, seed_of(one), kind)
            rows.append(row)
        return rows

    def _noise(self, one: Request, size: tuple[int, int]) -> Noise:
        """The noise of a request for one picture, of `size` (height, width) in latent cells."""
        return Noise(
            seed_of(one),
            (1, self.pipeline.unet.config.out_channels, *size),
            self._device,
            kind=one.noise,
            ensd=one.ensd,
            variation_seed=one.variation_seed or 0,
            variation_strength=one.variation_strength,
        )

    def _denoise(
        self,
        rows: list[Row],
        request: Request,
        switch: Callable[[int, int], None],
        meter: Meter,
        planned: Pass,
        stop: Callable[[], None],
    ) -> torch.Tensor:
        """Latents after the last step. `switch` has the mix of each step in force before it."""
        shown = began = time.monotonic()
        meter.begin(planned)

        def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
            nonlocal shown
            stop()
            now = time.monotonic()
            small = None
            if self._preview_every and step < steps and now - shown >= self._preview_every:
                small, shown = preview(latents, self._family), now
            meter.tell(step, steps, small)
            if step < steps:
                switch(step + 1, steps)

        switch(1, len(rows[0].timesteps))  # of a sent picture only the last steps are drawn
        latents = denoise(self.pipeline.unet, rows, self._extra(request), on_step)
        self.seconds_per_step = (time.monotonic() - began) / max(1, len(rows[0].timesteps))
        return latents

    def _extra(self, request: Request) -> Callable[[Embedding], dict[str, torch.Tensor]]:
        """SDXL's size conditioning: original size, crop, target size (Podell et al. 2023)."""
        width, height = size_of(request)
        time_ids = torch.tensor([[height, width, 0, 0, height, width]]).to(self._device, self._dtype)

        def extra(text: Embedding) -> dict[str, torch.Tensor]:
            return {} if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}

        return extra


def size_of(request: Request) -> tuple[int, int]:
    """(width, height) of a complete request."""
    assert request.width is not None
    assert request.height is not None
    return request.width, request.height


def seed_of(request: Request) -> int:
    """Of a complete request."""
    assert request.seed is not None
    return request.seed
