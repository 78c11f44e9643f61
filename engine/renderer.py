"""Renderer: one device, one base model at a time, the adapters on it. Synchronous; the GPU thread calls it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .adapters.bank import AdapterBank, Mixer
from .adapters.binding import Bound
from .adapters.embedding import Vocabulary
from .adapters.family import family_of_pipeline
from .adapters.file import Adapter, read_adapter
from .adapters.peft import PeftMixer
from .config import BUILTIN, EngineConfig
from .errors import AdapterError, Cancelled, EngineError, ModelNotFound, OutOfMemory
from .folders import Wildcards, embedding_files
from .infotext import write_infotext
from .library import SUFFIX, Library
from .pipeline.conditioning import Conditioner, Embedding, Reading, named
from .pipeline.image import decode, encode, preview, read_image, to_png
from .pipeline.load import load_pipeline, pick_device, pick_dtype
from .pipeline.noise import Noise
from .pipeline.samplers import make_scheduler
from .pipeline.sampling import Row, denoise, new_row
from .prompt import expanded, left_out, noted, parse_negative, parse_prompt, untagged
from .residency import Residency
from .types import (
    MAX_SEED,
    AdapterReport,
    AdapterUse,
    Emit,
    Holds,
    Picture,
    Progress,
    Request,
    Result,
    Weights,
    alone,
    seeded,
)

log = logging.getLogger(__name__)
DEFAULT_CFG = {"built-in": 4.0}  # by family; 7 elsewhere, as the WebUI has it


@dataclass(slots=True)
class _Model:
    name: str
    pipeline: Any
    conditioner: Conditioner
    mixer: Mixer
    family: str


@dataclass(frozen=True, slots=True)
class _Draft:
    """Pictures that are drawn with one mix: a request of its own, without tags, and the files of its adapters."""

    request: Request
    adapters: tuple[Adapter, ...]

    def mix(self, step: int, steps: int, *, hires: bool = False) -> list[tuple[Adapter, Weights]]:
        """What is in force at this step, counted from 1, of the first pass or of a second one (`hires`)."""
        uses = zip(self.adapters, self.request.adapters, strict=True)
        return [(adapter, use.at(step, steps, hires=hires)) for adapter, use in uses]

    @property
    def kind(self) -> tuple[tuple[str, AdapterUse], ...]:
        """The same for drafts that can be drawn together: the same files in the same strengths."""
        uses = zip(self.adapters, self.request.adapters, strict=True)
        return tuple((adapter.info.sha256, replace(use, name="", sha256="")) for adapter, use in uses)


class Renderer:
    """`run` draws one request. Loads the default base model when made, others when a request names them."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = pick_device(config.device)
        self._dtype = pick_dtype(config.dtype, self._device)
        self._library = Library(config.adapter_folders)
        self._files: Residency[str, Adapter] = Residency(config.adapter_cache)
        self._factors: Residency[str, Bound] = Residency(config.adapter_cache)  # for the model that is loaded
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
                return self._run(request, emit, cancelled, began)
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
            gpu=self._merged | frozenset(self._factors),
            ram=frozenset(self._files),
            free_vram=free,
            seconds_per_step=self._seconds_per_step,
            pinned=self._files.pins,
            caches={"files": self._files.figures, "factors": self._factors.figures},
        )

    def prefetch(self, adapters: Iterable[AdapterUse]) -> None:
        """These adapters are prepared, so that the next request finds them warm. What cannot be used is left out."""
        for use in adapters:
            try:
                self._model.mixer.prepare(self._adapter(use))
            except AdapterError as error:
                log.info("not prefetched: %s", error)  # the request that names it gets the error

    def pin(self, adapter: AdapterUse) -> str:
        """The adapter is in memory, prepared for the model that is loaded, and leaves no more. Gives its sha256.

        Raises AdapterError; then nothing is pinned.
        """
        found = self._adapter(adapter)
        self._model.mixer.prepare(found)
        self._files.pin(found.info.sha256)
        self._factors.pin(found.info.sha256)
        return found.info.sha256

    def unpin(self, sha256: str) -> None:
        """The adapter may leave like any other."""
        self._files.unpin(sha256)
        self._factors.unpin(sha256)

    def _run(self, request: Request, emit: Emit, cancelled: Callable[[], bool], began: float) -> Result:
        # 1. The base model, and what it is best at
        self._use_model(request.model)
        request = self._complete(request)
        # 2. What each picture is drawn with; those of one mix go together
        drafts = [self._draft(draft) for draft in _drafts(request, Wildcards(self._config.wildcard_folders))]
        groups: dict[object, list[_Draft]] = {}
        for draft in drafts:
            groups.setdefault(draft.kind, []).append(draft)
        # 3. The pictures, group by group, in the order in which they were asked for
        pictures: dict[int, tuple[Picture, ...]] = {}
        reports: dict[str, AdapterReport] = {}
        for number, group in enumerate(groups.values()):
            drawn, told = self._draw(group, _share(emit, number, len(groups)), cancelled)
            pictures |= {id(draft): found for draft, found in zip(group, drawn, strict=True)}
            reports |= {report.name: report for report in told if report.name not in reports}
        if len(drafts) == 1:
            request = drafts[0].request
        else:  # the prompt as it was asked for, with the notes of every picture
            notes = dict.fromkeys(note for draft in drafts for note in draft.request.notes)
            request = noted(replace(request, notes=()), list(notes))
        every = tuple(picture for draft in drafts for picture in pictures[id(draft)])
        return Result(request, every, time.monotonic() - began, tuple(reports.values()))

    def _draft(self, request: Request) -> _Draft:
        """The adapters' files. One that only a tag asks for and that cannot be used is left out, with a note."""
        listed = len(request.adapters)
        request = untagged(request)
        found: list[tuple[AdapterUse, Adapter]] = []
        refused: list[tuple[AdapterUse, EngineError]] = []
        for place, use in enumerate(request.adapters):
            try:
                adapter = self._adapter(use)
                self._model.mixer.prepare(adapter)
                found.append((_named(use), adapter))
            except AdapterError as error:
                if place < listed:
                    raise
                refused.append((_named(use), error))
        request = left_out(replace(request, adapters=tuple(use for use, _ in found)), refused)
        return _Draft(request, tuple(adapter for _, adapter in found))

    def _draw(
        self, group: Sequence[_Draft], emit: Emit, cancelled: Callable[[], bool]
    ) -> tuple[list[tuple[Picture, ...]], tuple[AdapterReport, ...]]:
        """The pictures of each draft, all with the mix of the first, and what became of its adapters."""
        first = group[0]
        # 1. The mix: its text encoders are those of the first step throughout
        _stop_if(cancelled)
        reports = self._set_mix(first.mix(1, first.request.steps))
        # 2. Text to conditioning, and a row a picture
        rows = [self._rows(draft.request, self._reading(draft)) for draft in group]
        # 3. Denoise
        latents = self._denoise([row for found in rows for row in found], first, emit, cancelled)
        # 4. Pictures
        parts = torch.split(latents, [len(found) for found in rows])
        pictures = [self._pictures(*each) for each in zip(group, rows, parts, strict=True)]
        # one file may be known by several names: the report says the one that was asked for
        named = zip(reports, first.request.adapters, strict=True)
        return pictures, tuple(replace(report, name=use.name) for report, use in named)

    def _complete(self, request: Request) -> Request:
        unet, factor = self._model.pipeline.unet, self._model.pipeline.vae_scale_factor
        size = unet.config.sample_size * factor
        cfg = DEFAULT_CFG.get(self._model.family, 7.0) if request.cfg is None else request.cfg
        request = replace(
            request, width=request.width or size, height=request.height or size, cfg=cfg, model=self._model.name
        )
        return seeded(request, lambda: secrets.randbelow(MAX_SEED + 1))

    def _set_mix(self, mix: Sequence[tuple[Adapter, Weights]]) -> tuple[AdapterReport, ...]:
        self._merged = frozenset()
        reports = self._model.mixer.set(mix)
        self._merged = frozenset(adapter.info.sha256 for adapter, _ in mix)
        return reports

    def _reading(self, draft: _Draft) -> Reading:
        """How the prompts are read while this mix is in force."""
        brought = {
            embedding.name.casefold(): replace(embedding, short=use.name)
            for use, adapter in zip(draft.request.adapters, draft.adapters, strict=True)
            for embedding in adapter.embeddings
        }
        vocabulary = Vocabulary(embedding_files(self._config.embedding_folders), brought)
        return Reading(draft.request.clip_skip, draft.request.emphasis, self._model.mixer.text_mix, vocabulary)

    def _rows(self, request: Request, reading: Reading) -> list[Row]:
        """A row for each picture."""
        pipeline, conditioner = self._model.pipeline, self._model.conditioner
        positive = conditioner.schedule(parse_prompt(request.prompt), request.steps, reading)
        negative = conditioner.schedule(parse_negative(request.negative), request.steps, reading)
        assert request.height is not None  # _complete has filled them all in
        assert request.width is not None
        assert request.cfg is not None
        factor = pipeline.vae_scale_factor
        start = read_image(request.image, request.width, request.height) if request.image is not None else None
        rows = []
        for one in (alone(request, i) for i in range(request.count)):
            assert one.seed is not None
            encoding = torch.Generator().manual_seed(one.seed)
            latents = encode(pipeline.vae, start, encoding) if start is not None else None
            rows.append(
                new_row(
                    noise=self._noise(one, (request.height // factor, request.width // factor)),
                    scheduler=make_scheduler(
                        request.sampler, pipeline.scheduler.config, schedule=request.schedule, eta=request.eta
                    ),
                    steps=request.steps,
                    device=self._device,
                    dtype=self._dtype,
                    start=latents,
                    strength=request.strength,
                    positive=positive,
                    negative=negative,
                    empty=conditioner.empty(reading),
                    cfg=request.cfg,
                    cfg_rescale=request.cfg_rescale,
                )
            )
        return rows

    def _noise(self, one: Request, size: tuple[int, int]) -> Noise:
        """The noise of a request for one picture, of `size` (height, width) in latent cells."""
        assert one.seed is not None
        return Noise(
            one.seed,
            (1, self._model.pipeline.unet.config.out_channels, *size),
            self._device,
            kind=one.noise,
            ensd=one.ensd,
            variation_seed=one.variation_seed or 0,
            variation_strength=one.variation_strength,
        )

    def _denoise(self, rows: list[Row], draft: _Draft, emit: Emit, cancelled: Callable[[], bool]) -> torch.Tensor:
        """Latents after the last step. A mix that changes over the steps is switched between them, only where it does:
        each change costs one switch of the bank.
        """
        shown = began = time.monotonic()

        def on_step(step: int, steps: int, latents: torch.Tensor) -> None:
            nonlocal shown
            _stop_if(cancelled)
            now = time.monotonic()
            small = None
            if self._config.preview_every and step < steps and now - shown >= self._config.preview_every:
                small, shown = preview(self._model.pipeline.vae, latents), now
            emit(Progress(step, steps, small))
            if step < steps and (coming := draft.mix(step + 1, steps)) != draft.mix(step, steps):
                self._set_mix(coming)

        self._set_mix(draft.mix(1, len(rows[0].timesteps)))  # of a sent picture only the last steps are drawn
        latents = denoise(self._model.pipeline.unet, rows, self._extra(draft.request), on_step)
        self._seconds_per_step = (time.monotonic() - began) / max(1, len(rows[0].timesteps))
        return latents

    def _extra(self, request: Request) -> Callable[[Embedding], dict[str, torch.Tensor]]:
        """SDXL's size conditioning: original size, crop, target size (Podell et al. 2023)."""
        sizes = torch.tensor([[request.height, request.width, 0, 0, request.height, request.width]])
        time_ids = sizes.to(self._device, self._dtype)

        def extra(text: Embedding) -> dict[str, torch.Tensor]:
            return {} if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}

        return extra

    def _pictures(self, draft: _Draft, rows: Sequence[Row], latents: torch.Tensor) -> tuple[Picture, ...]:
        return tuple(self._picture(draft, i, row, latents[i : i + 1]) for i, row in enumerate(rows))

    def _picture(self, draft: _Draft, index: int, row: Row, latents: torch.Tensor) -> Picture:
        one = alone(draft.request, index)
        assert one.seed is not None
        names = zip(one.adapters, draft.adapters, strict=True)
        hashes = {use.name: adapter.info.tensor_sha256 for use, adapter in names}
        embeddings = named((*row.positive, *row.negative))
        text = write_infotext(one, one.seed, self._model.name, hashes, embeddings)
        image = decode(self._model.pipeline.vae, latents)
        return Picture(to_png(image, text), image.width, image.height, one.seed, text)

    def _adapter(self, use: AdapterUse) -> Adapter:
        path = self._library.locate(use)
        stamp = (path, path.stat().st_mtime_ns, path.stat().st_size)
        known = self._files.get(use.sha256 or self._hashes.get(stamp, ""))
        if known is None:
            known = read_adapter(path, sha256=use.sha256, name=_named(use).name)
            self._hashes[stamp] = known.info.sha256
            self._files.admit(known.info.sha256, known, known.nbytes)
        return known

    def _use_model(self, name: str) -> None:
        wanted = name or self._config.model
        if wanted != self._model.name:
            if self._config.source_of(wanted) is None:
                raise ModelNotFound(self._unknown_model(wanted))
            # the old model's memory goes before the new one comes
            del self._model.pipeline, self._model.conditioner, self._model.mixer
            self._merged = frozenset()
            self._factors.clear()
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
        peft = self._config.adapters == "peft"
        mixer: Mixer = PeftMixer(pipeline) if peft else AdapterBank(pipeline, factors=self._factors)
        return _Model(name, pipeline, Conditioner(pipeline), mixer, family_of_pipeline(pipeline))

    def _unknown_model(self, name: str) -> str:
        names = ", ".join(dict.fromkeys((*self._config.models, BUILTIN)))
        return f"No base model is called {name!r} here; there are {names}."

    def _free(self) -> None:
        self._factors.trim()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _drafts(request: Request, wildcards: Wildcards) -> tuple[Request, ...]:
    """The request, or one for each picture where wildcards or variants make their prompts, tags and all, differ.

    A picture and its seed are the same in any batch.
    """
    read = [expanded(request, index, wildcards) for index in range(request.count)]
    if all(one == request for one in read):
        return (request,)
    return tuple(alone(one, index) for index, one in enumerate(read))


def _share(emit: Emit, number: int, count: int) -> Emit:
    """Progress of the `number`-th of `count` parts as progress of the whole."""
    return lambda now: emit(replace(now, step=now.step + number * now.steps, steps=now.steps * count))


def _named(use: AdapterUse) -> AdapterUse:
    """A path is nobody's business outside this machine: pictures carry the file's name."""
    return replace(use, name=Path(use.name).stem) if use.name.endswith(SUFFIX) else use


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
