"""Requests to pictures, with the weights as they are: prompts to rows, rows to latents, and, larger, once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import Any, NamedTuple

import torch
from PIL import Image

from ..errors import NO_NUMBERS, PictureBroken
from ..prompt import parse_negative, parse_prompt
from ..types import Hires, Request, alone
from ..work import Meter, Pass, passes
from .conditioning import Conditioner, Embedding, Reading, named
from .hires import enlarged, second_schedule
from .noise import Noise
from .preview import preview
from .samplers import make_scheduler
from .sampling import Row, denoise, kind_of, new_row
from .sent import Sent, read_sent
from .vae import Vae

TILED = "The memory was short, so the picture was finished in tiles; their seams may show."
SPARED = "The memory was short, so it was drawn in smaller portions, which may change its last details."

Switch = Callable[[int, int, bool], None]
"""The mix of this step (from 1) of so many is in force; the last says whether it is the second pass of hires fix."""


@dataclass(frozen=True, slots=True)
class Order:
    """A complete request without tags, and how its prompts are read."""

    request: Request
    reading: Reading


@dataclass(frozen=True, slots=True)
class Painted:
    """`request` draws this one picture again; `embeddings` are those its prompts named, name -> hash.

    `remarks` are sentences about what was done otherwise than asked, for lack of memory.
    """

    request: Request
    image: Image.Image
    embeddings: dict[str, str]
    remarks: tuple[str, ...] = ()


class Pace(NamedTuple):
    """How long each of `steps` usually took in the model itself. Drawings of one `kind` are the same work."""

    kind: tuple[object, ...]
    seconds: float
    steps: int


@dataclass(frozen=True, slots=True)
class _Pass:
    """What happens around the steps of one pass: `switch` has the mix of each step in force before it."""

    switch: Callable[[int, int], None]
    meter: Meter
    planned: Pass
    stop: Callable[[], None]
    sparing: bool


class Painter:
    """One base model's way from requests to pictures. Between steps it calls what may stop it, by raising."""

    def __init__(
        self, pipeline: Any, device: torch.device, dtype: torch.dtype, *, family: str, preview_every: float
    ) -> None:
        self.pipeline = pipeline
        self.pace: Pace | None = None  # of the last drawing
        self._conditioner = Conditioner(pipeline)
        self._device, self._dtype = device, dtype
        self._family, self._preview_every = family, preview_every

    def forget(self) -> None:
        """What is remembered of prompts is not in memory any more; the next one is encoded again."""
        self._conditioner.forget()

    def paint(
        self,
        orders: Sequence[Order],
        vae: Vae,
        switch: Switch,
        meter: Meter,
        stop: Callable[[], None],
        *,
        sparing: bool = False,
    ) -> list[list[Painted]]:
        """The pictures of each order; all are of one size and one mix, and go through the model together, or, `sparing`
        of memory, in the smallest portions. Raises PictureBroken.
        """
        first = orders[0].request
        sent = read_sent(first, size_of(first))
        ones = [[(alone(order.request, i), order.reading) for i in range(order.request.count)] for order in orders]
        flat = [one for several in ones for one in several]
        planned, *second = passes(first)
        starts = sent.starts(vae, [seed_of(request) for request, _ in flat])
        rows = self._rows(flat, sent, vae, starts, steps=first.steps)
        act = _Pass(lambda step, steps: switch(step, steps, False), meter, planned, stop, sparing)
        latents = self._denoise(rows, first, act)
        drawn = [rows]
        if first.hires is not None:
            act = _Pass(lambda step, steps: switch(step, steps, True), meter, second[0], stop, sparing)
            latents, larger = self._enlarge(latents, flat, first.hires, vae, act)
            drawn.append(larger)
        painted = []
        for i, (one, _) in enumerate(flat):
            image = sent.restored(vae.decode(latents[i : i + 1]))
            remarks = (*((SPARED,) if sparing else ()), *((TILED,) if vae.tiled else ()))
            texts = [text for rows in drawn for text in (*rows[i].positive, *rows[i].negative)]
            painted.append(Painted(one, image, named(texts), remarks))
        ends = [sum(map(len, ones[: i + 1])) for i in range(len(ones))]
        return [painted[end - len(several) : end] for several, end in zip(ones, ends, strict=True)]

    def _enlarge(
        self,
        latents: torch.Tensor,
        ones: Sequence[tuple[Request, Reading]],
        hires: Hires,
        vae: Vae,
        act: _Pass,
    ) -> tuple[torch.Tensor, list[Row]]:
        """The second pass of hires fix, over the first one's pictures enlarged, with the same seeds."""
        width, height = (hires.side(side) for side in size_of(ones[0][0]))
        starts = [
            enlarged(latents[i : i + 1], hires, (width, height), vae, torch.Generator().manual_seed(seed_of(request)))
            for i, (request, _) in enumerate(ones)
        ]
        larger = [(replace(request, width=width, height=height, hires=None), reading) for request, reading in ones]
        steps, last = second_schedule(hires, larger[0][0].steps)
        rows = self._rows(larger, Sent((width, height)), vae, starts, steps=steps, last=last)
        return self._denoise(rows, larger[0][0], act), rows

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
        """A row a picture, at its first step: the first of `steps`, or, in the second pass of hires fix, of the `last`
        so many of them, over which its prompts go on changing as they do after the steps of the first.
        """
        width, height = sent.size
        counted = steps if last is None else max(1, last)
        rows = []
        for (one, reading), start in zip(ones, starts, strict=True):
            positive, negative = (
                self._conditioner.schedule(parsed, counted, reading, earlier=0 if last is None else one.steps)
                for parsed in (parse_prompt(one.prompt), parse_negative(one.negative))
            )
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

    def _denoise(self, rows: list[Row], request: Request, act: _Pass) -> torch.Tensor:
        """Latents after the last step; the mix of each step is in force before it. Raises PictureBroken."""
        steps = len(rows[0].timesteps)  # of a sent picture only the last steps are drawn
        kind = (self._family, *kind_of(rows))
        shown = time.monotonic()
        sound: torch.Tensor | None = None
        times: list[float] = []  # of each step, in the model
        mark = shown

        def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
            nonlocal shown, sound, mark
            act.stop()
            if sound is not None and not bool(sound):
                raise PictureBroken(NO_NUMBERS, step=step)
            sound = latents.isfinite().all()  # looked at one step later, so that no GPU waits for it
            now = time.monotonic()
            times.append(now - mark)
            small = None
            if self._preview_every and step < steps and now - shown >= self._preview_every:
                small, shown = preview(latents, self._family), now
            act.meter.tell(step, steps, small)
            if step < steps:
                act.switch(step + 1, steps)
            mark = time.monotonic()

        act.meter.begin(act.planned)
        act.switch(1, steps)
        mark = time.monotonic()
        latents = denoise(self.pipeline.unet, rows, self._extra(request), on_step, sparing=act.sparing)
        if times:
            self.pace = Pace(kind, median_low(times), len(times))
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
