"""Renderer: one device, one base model at a time, the adapters on it. Synchronous; the GPU thread calls it."""

from __future__ import annotations

import io
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from .adapters.bank import AdapterBank, Mixer, Weights
from .adapters.family import family_of_pipeline
from .adapters.file import Adapter, read_adapter
from .adapters.peft import PeftMixer
from .config import BUILTIN, EngineConfig
from .errors import AdapterError, Cancelled, ModelNotFound, OutOfMemory
from .grid import Grid, described
from .infotext import write_infotext
from .library import SUFFIX, Library
from .pipeline.conditioning import Conditioner, Embedding
from .pipeline.hires import enlarged, second_schedule
from .pipeline.image import to_png
from .pipeline.load import load_pipeline, pick_device, pick_dtype
from .pipeline.preview import preview
from .pipeline.samplers import make_scheduler
from .pipeline.sampling import Row, denoise, new_row
from .pipeline.sent import Sent, read_sent
from .pipeline.vae import Vae, load_vae
from .prompt import parse_negative, parse_prompt, untagged
from .residency import Residency
from .sheet import labelled
from .types import MAX_SEED, AdapterReport, AdapterUse, Emit, Hires, Holds, Picture, Request, Result, seeded
from .work import Meter, Pass, passes

log = logging.getLogger(__name__)
DEFAULT_CFG = {"built-in": 4.0}  # by family; 7 elsewhere, as the WebUI has it


@dataclass(slots=True)
class _Model:
    name: str
    pipeline: Any
    mixer: Mixer
    family: str
    vaes: dict[str, Vae]  # by name, as they were asked for; "" is the model's own


@dataclass(frozen=True, slots=True)
class _Drawn:
    request: Request
    pictures: tuple[Picture, ...]
    reports: tuple[AdapterReport, ...]


class Renderer:
    """`run` draws one request. Loads the default base model when made, others when a request names them."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = pick_device(config.device)
        self._dtype = pick_dtype(config.dtype, self._device)
        self._library = Library(config.adapter_folders)
        self._residency: Residency[str] = Residency(config.adapter_cache)
        self._adapters: dict[str, Adapter] = {}
        self._hashes: dict[tuple[Path, int, int], str] = {}  # an unchanged file is not read again
        self._merged: frozenset[str] = frozenset()
        self._seconds_per_step: float | None = None
        self._model = self._load(config.model)

    def run(self, request: Request, emit: Emit, cancelled: Callable[[], bool]) -> Result:
        """The finished pictures. `emit` is called after every step; once `cancelled()` is true, Cancelled is raised.

        Raises EngineError. Whatever happens, the weights are the base model's plus the last mix that was set whole.
        """
        began = time.monotonic()
        try:
            with torch.inference_mode():
                return self._run(untagged(request), emit, cancelled, began)
        except torch.OutOfMemoryError as error:
            self._free()
            raise OutOfMemory(
                "This picture does not fit the memory of the graphics card; try a smaller size or fewer at once."
            ) from error

    def holds(self) -> Holds:
        """What is ready now. Adapters by sha256."""
        free = torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else None
        return Holds(
            model=self._model.name,
            family=self._model.family,
            device=str(self._device),
            gpu=self._merged,
            ram=frozenset(self._adapters),
            free_vram=free,
            seconds_per_step=self._seconds_per_step,
        )

    def prefetch(self, adapters: Iterable[AdapterUse]) -> None:
        """These adapters are in memory, so that the next request finds them warm. What cannot be read is left out."""
        for use in adapters:
            try:
                self._adapter(use)
            except AdapterError as error:
                log.info("not prefetched: %s", error)  # the request that names it gets the error

    def _run(self, request: Request, emit: Emit, cancelled: Callable[[], bool], began: float) -> Result:
        self._use_model(request.model)
        request = self._complete(request)
        meter = Meter(request, emit)
        if request.grid is None:
            drawn = self._draw(request, meter, cancelled)
        else:
            drawn = self._draw_grid(request, request.grid, meter, cancelled)
        return Result(drawn.request, drawn.pictures, time.monotonic() - began, drawn.reports)

    def _draw(self, request: Request, meter: Meter, cancelled: Callable[[], bool]) -> _Drawn:
        # 1. The mix
        request, used = self._found(request)
        _stop_if(cancelled)
        reports = self._set_mix(used)
        # 2. What was sent along, and a row a picture
        vae, sent = self._vae(request.vae), read_sent(request, _size(request))
        starts = sent.starts(vae, self._seeds(request))
        rows = self._rows(request, sent, vae, starts, steps=request.steps)
        # 3. Denoise, and once more, larger
        first, *second = passes(request)
        latents = self._denoise(rows, request, meter, first, cancelled)
        if request.hires is not None:
            larger, rows = self._larger(latents, request, request.hires, vae)
            latents = self._denoise(rows, larger, meter, second[0], cancelled)
        # 4. Pictures
        images = (sent.restored(vae.decode(latents[i : i + 1])) for i in range(request.count))
        pictures = tuple(self._picture(request, i, image, used) for i, image in enumerate(images))
        # one file may be known by several names: the report says the one that was asked for
        named = tuple(replace(report, name=use.name) for report, use in zip(reports, request.adapters, strict=True))
        return _Drawn(request, pictures, named)

    def _draw_grid(self, request: Request, grid: Grid, meter: Meter, cancelled: Callable[[], bool]) -> _Drawn:
        """The sheet, then its cells where they are to be kept. Cells of one mix are drawn one after the other."""
        cells = grid.cells(request)
        drawn: dict[int, _Drawn] = {}
        for place in sorted(range(len(cells)), key=lambda i: repr(cells[i].adapters)):
            drawn[place] = self._draw(cells[place], meter, cancelled)
        in_order = [drawn[place] for place in range(len(cells))]
        pictures = tuple(picture for one in in_order for picture in one.pictures)
        images = [Image.open(io.BytesIO(picture.png)) for picture in pictures]
        sheet = labelled(images, grid.x.labels, grid.y.labels if grid.y else ())
        request, used = self._found(request)
        seed = self._seeds(request)[0]
        text = f"{self._infotext(request, seed, used)}, {described(grid)}"
        png = to_png(sheet, text, [picture.infotext for picture in pictures])
        first = Picture(png, sheet.width, sheet.height, seed, text)
        reports = {report.name: report for one in in_order for report in one.reports}
        return _Drawn(request, (first, *pictures) if grid.keep else (first,), tuple(reports.values()))

    def _found(self, request: Request) -> tuple[Request, list[tuple[Adapter, Weights]]]:
        """The adapters of the request, in memory, and the request with names that are fit to be shown."""
        used = [(self._adapter(use), Weights(use.weight, use.text_weight)) for use in request.adapters]
        return replace(request, adapters=tuple(_named(use) for use in request.adapters)), used

    def _complete(self, request: Request) -> Request:
        unet, factor = self._model.pipeline.unet, self._model.pipeline.vae_scale_factor
        size = unet.config.sample_size * factor
        cfg = DEFAULT_CFG.get(self._model.family, 7.0) if request.cfg is None else request.cfg
        request = replace(
            request, width=request.width or size, height=request.height or size, cfg=cfg, model=self._model.name
        )
        return seeded(request, secrets.randbelow(MAX_SEED + 1))

    def _set_mix(self, used: list[tuple[Adapter, Weights]]) -> tuple[AdapterReport, ...]:
        self._merged = frozenset()
        reports = self._model.mixer.set(used)
        self._merged = frozenset(adapter.info.sha256 for adapter, _ in used)
        return reports

    def _rows(
        self,
        request: Request,
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
        pipeline = self._model.pipeline
        conditioner = Conditioner(pipeline)
        positive = conditioner.schedule(parse_prompt(request.prompt), request.steps)
        negative = conditioner.schedule(parse_negative(request.negative), request.steps)
        empty = conditioner.schedule(parse_prompt(""), request.steps)[-1].parts[0][0]
        if last is not None:
            positive, negative = positive[-1:], negative[-1:]
        assert request.cfg is not None  # _complete has set it
        width, height = sent.size
        rows = [
            new_row(
                shape=(height // vae.factor, width // vae.factor),
                seed=seed,
                scheduler=make_scheduler(request.sampler, pipeline.scheduler.config),
                steps=steps,
                device=self._device,
                dtype=self._dtype,
                start=start,
                strength=request.strength,
                positive=positive,
                negative=negative,
                empty=empty,
                cfg=request.cfg,
                last=last,
            )
            for seed, start in zip(self._seeds(request), starts, strict=True)
        ]
        for row, start, seed in zip(rows, starts, self._seeds(request), strict=True):
            sent.bind(row, start, vae, pipeline.unet, seed)
        return rows

    def _larger(self, latents: torch.Tensor, request: Request, hires: Hires, vae: Vae) -> tuple[Request, list[Row]]:
        """The second pass of hires fix, and its rows: the first one's pictures, enlarged, with the same seeds."""
        width, height = size = hires.side(_size(request)[0]), hires.side(_size(request)[1])
        starts = [
            enlarged(latents[i : i + 1], hires, size, vae, torch.Generator().manual_seed(seed))
            for i, seed in enumerate(self._seeds(request))
        ]
        larger = replace(request, width=width, height=height, hires=None)
        steps, last = second_schedule(hires, request.steps)
        return larger, self._rows(larger, Sent(size), vae, starts, steps=steps, last=last)

    def _denoise(
        self, rows: list[Row], request: Request, meter: Meter, planned: Pass, cancelled: Callable[[], bool]
    ) -> torch.Tensor:
        shown = began = time.monotonic()
        meter.begin(planned)

        def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
            nonlocal shown
            _stop_if(cancelled)
            now = time.monotonic()
            small = None
            if self._config.preview_every and step < steps and now - shown >= self._config.preview_every:
                small, shown = preview(latents, self._model.family), now
            meter.tell(step, steps, small)

        latents = denoise(self._model.pipeline.unet, rows, self._extra(request), on_step)
        self._seconds_per_step = (time.monotonic() - began) / max(1, len(rows[0].timesteps))
        return latents

    def _extra(self, request: Request) -> Callable[[Embedding], dict[str, torch.Tensor]]:
        """SDXL's size conditioning: original size, crop, target size (Podell et al. 2023)."""
        sizes = torch.tensor([[request.height, request.width, 0, 0, request.height, request.width]])
        time_ids = sizes.to(self._device, self._dtype)

        def extra(text: Embedding) -> dict[str, torch.Tensor]:
            return {} if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}

        return extra

    def _picture(
        self, request: Request, index: int, image: Image.Image, used: list[tuple[Adapter, Weights]]
    ) -> Picture:
        seed = self._seeds(request)[index]
        text = self._infotext(request, seed, used)
        return Picture(to_png(image, text), image.width, image.height, seed, text)

    def _infotext(self, request: Request, seed: int, used: list[tuple[Adapter, Weights]]) -> str:
        names = zip(request.adapters, used, strict=True)
        hashes = {use.name: adapter.info.tensor_sha256 for use, (adapter, _) in names}
        return write_infotext(request, seed, self._model.name, hashes)

    def _seeds(self, request: Request) -> list[int]:
        assert request.seed is not None  # _complete has set it
        return [(request.seed + i) % (MAX_SEED + 1) for i in range(request.count)]

    def _adapter(self, use: AdapterUse) -> Adapter:
        path = self._library.locate(use)
        stamp = (path, path.stat().st_mtime_ns, path.stat().st_size)
        known = self._adapters.get(use.sha256 or self._hashes.get(stamp, ""))
        if known is None:
            known = read_adapter(path, sha256=use.sha256, name=_named(use).name)
            known = self._adapters.setdefault(known.info.sha256, known)
            self._hashes[stamp] = known.info.sha256
        pinned = self._merged | {known.info.sha256}
        for gone in self._residency.admit(known.info.sha256, known.nbytes * 3, pinned):  # the file and float32 factors
            del self._adapters[gone]
        return known

    def _use_model(self, name: str) -> None:
        wanted = name or self._config.model
        if wanted != self._model.name:
            if self._config.source_of(wanted) is None:
                raise ModelNotFound(self._unknown_model(wanted))
            self._model.vaes.clear()
            self._model.pipeline = None  # the old model's memory goes before the new one comes
            self._merged = frozenset()
            try:
                self._model = self._load(wanted)
            except BaseException:
                self._model = self._load(self._config.model)
                raise

    def _load(self, name: str) -> _Model:
        source = self._config.source_of(name)
        if source is None:
            raise ModelNotFound(self._unknown_model(name))
        pipeline = load_pipeline(source, self._device, self._dtype)
        mixer: Mixer = PeftMixer(pipeline) if self._config.adapters == "peft" else AdapterBank(pipeline)
        return _Model(name, pipeline, mixer, family_of_pipeline(pipeline), {"": Vae(pipeline.vae)})

    def _vae(self, name: str) -> Vae:
        """The VAE of that name, loaded when it is first asked for and kept while the base model is."""
        if name not in self._model.vaes:
            source = self._config.vaes.get(name)
            if source is None:
                names = ", ".join(self._config.vaes) or "none beside the base model's own"
                raise ModelNotFound(f"No VAE is called {name!r} here; there are {names}.")
            self._model.vaes[name] = load_vae(source, self._model.pipeline.vae)
        return self._model.vaes[name]

    def _unknown_model(self, name: str) -> str:
        names = ", ".join(dict.fromkeys((*self._config.models, BUILTIN)))
        return f"No base model is called {name!r} here; there are {names}."

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _size(request: Request) -> tuple[int, int]:
    """(width, height) of a complete request."""
    assert request.width is not None
    assert request.height is not None
    return request.width, request.height


def _named(use: AdapterUse) -> AdapterUse:
    """A path is nobody's business outside this machine: pictures carry the file's name."""
    return replace(use, name=Path(use.name).stem) if use.name.endswith(SUFFIX) else use


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
