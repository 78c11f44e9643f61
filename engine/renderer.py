"""Renderer: one device, one base model at a time, the adapters on it. Synchronous; the GPU thread calls it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .adapters.bank import AdapterBank, Mixer, Weights
from .adapters.family import family_of_pipeline
from .adapters.file import Adapter, read_adapter
from .adapters.peft import PeftMixer
from .config import BUILTIN, EngineConfig
from .errors import AdapterError, Cancelled, DeviceLost, ModelNotFound, OutOfMemory
from .infotext import write_infotext
from .library import SUFFIX, Library
from .pipeline.conditioning import Conditioner, Embedding
from .pipeline.image import decode, encode, preview, read_image, to_png
from .pipeline.load import load_pipeline, pick_device, pick_dtype
from .pipeline.samplers import make_scheduler
from .pipeline.sampling import Row, denoise, new_row
from .prompt import parse_negative, parse_prompt, untagged
from .residency import Residency
from .types import MAX_SEED, AdapterReport, AdapterUse, Emit, Holds, Picture, Progress, Request, Result, seeded

log = logging.getLogger(__name__)
DEFAULT_CFG = {"built-in": 4.0}  # by family; 7 elsewhere, as the WebUI has it


@dataclass(slots=True)
class _Model:
    name: str
    pipeline: Any
    mixer: Mixer
    family: str


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
        except RuntimeError as error:  # torch.AcceleratorError is one, and older faults are nothing more special
            if _is_sticky(error):
                raise DeviceLost("The graphics card failed; the bot starts anew.") from error
            raise

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
        # 1. The base model, and what it is best at
        self._use_model(request.model)
        request = self._complete(request)
        # 2. The mix
        used = [(self._adapter(use), Weights(use.weight, use.text_weight)) for use in request.adapters]
        request = replace(request, adapters=tuple(_named(use) for use in request.adapters))
        _stop_if(cancelled)
        reports = self._set_mix(used)
        # 3. Text to conditioning, and a row a picture
        rows = self._rows(request)
        # 4. Denoise
        latents = self._denoise(rows, request, emit, cancelled)
        # 5. Pictures
        pictures = tuple(self._picture(request, i, latents[i : i + 1], used) for i in range(request.count))
        # one file may be known by several names: the report says the one that was asked for
        named = tuple(replace(report, name=use.name) for report, use in zip(reports, request.adapters, strict=True))
        return Result(request, pictures, time.monotonic() - began, named)

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

    def _rows(self, request: Request) -> list[Row]:
        pipeline = self._model.pipeline
        conditioner = Conditioner(pipeline)
        positive = conditioner.schedule(parse_prompt(request.prompt), request.steps)
        negative = conditioner.schedule(parse_negative(request.negative), request.steps)
        empty = conditioner.schedule(parse_prompt(""), request.steps)[-1].parts[0][0]
        assert request.height is not None  # _complete has filled them all in
        assert request.width is not None
        assert request.cfg is not None
        factor = pipeline.vae_scale_factor
        start = read_image(request.image, request.width, request.height) if request.image is not None else None
        rows = []
        for seed in self._seeds(request):
            latents = encode(pipeline.vae, start, torch.Generator().manual_seed(seed)) if start is not None else None
            rows.append(
                new_row(
                    shape=(request.height // factor, request.width // factor),
                    seed=seed,
                    scheduler=make_scheduler(request.sampler, pipeline.scheduler.config),
                    steps=request.steps,
                    device=self._device,
                    dtype=self._dtype,
                    start=latents,
                    strength=request.strength,
                    positive=positive,
                    negative=negative,
                    empty=empty,
                    cfg=request.cfg,
                )
            )
        return rows

    def _denoise(self, rows: list[Row], request: Request, emit: Emit, cancelled: Callable[[], bool]) -> torch.Tensor:
        shown = began = time.monotonic()

        def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
            nonlocal shown
            _stop_if(cancelled)
            now = time.monotonic()
            small = None
            if self._config.preview_every and step < steps and now - shown >= self._config.preview_every:
                small, shown = preview(self._model.pipeline.vae, latents), now
            emit(Progress(step, steps, small))

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
        self, request: Request, index: int, latents: torch.Tensor, used: list[tuple[Adapter, Weights]]
    ) -> Picture:
        seed = self._seeds(request)[index]
        names = zip(request.adapters, used, strict=True)
        hashes = {use.name: adapter.info.tensor_sha256 for use, (adapter, _) in names}
        text = write_infotext(request, seed, self._model.name, hashes)
        image = decode(self._model.pipeline.vae, latents)
        return Picture(to_png(image, text), image.width, image.height, seed, text)

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
        return _Model(name, pipeline, mixer, family_of_pipeline(pipeline))

    def _unknown_model(self, name: str) -> str:
        names = ", ".join(dict.fromkeys((*self._config.models, BUILTIN)))
        return f"No base model is called {name!r} here; there are {names}."

    def _free(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _named(use: AdapterUse) -> AdapterUse:
    """A path is nobody's business outside this machine: pictures carry the file's name."""
    return replace(use, name=Path(use.name).stem) if use.name.endswith(SUFFIX) else use


def _is_sticky(error: RuntimeError) -> bool:
    """Whether CUDA is broken for the rest of this process (CUDA Runtime API, cudaErrorIllegalAddress and its like)."""
    words = str(error)
    return isinstance(error, torch.AcceleratorError) or "CUDA error:" in words or "device-side assert" in words


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
