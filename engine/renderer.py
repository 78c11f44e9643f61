"""Renderer: one device, one base model at a time, the adapters on it. Synchronous; the GPU thread calls it."""

from __future__ import annotations

import gc
import io
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

from .adapters.bank import AdapterBank, Mixer
from .adapters.binding import Bound
from .adapters.embedding import Vocabulary
from .adapters.family import family_of_pipeline
from .adapters.file import Adapter, read_adapter
from .adapters.peft import PeftMixer
from .conduct import Conduct, Paces
from .config import BUILTIN, EngineConfig
from .draft import Draft, Drawn, drafts_of, named, together
from .errors import (
    DEFECT,
    AdapterError,
    BadRequest,
    Cancelled,
    DeviceLost,
    EngineError,
    EngineFault,
    ModelError,
    ModelNotFound,
    ModelUnreadable,
    OutOfMemory,
    PictureBroken,
)
from .folders import Wildcards, embedding_files
from .grid import Grid, described
from .infotext import write_infotext
from .library import Library
from .pipeline.conditioning import Reading
from .pipeline.faults import out_of_memory, sticky
from .pipeline.image import to_png
from .pipeline.load import load_pipeline, model_hash, pick_device, pick_dtype
from .pipeline.painting import Order, Painted, Painter, seed_of
from .pipeline.safety import Safety, load_safety
from .pipeline.vae import Vae, load_vae
from .prompt import identified, left_out, left_to_chance, noted, untagged
from .residency import Residency
from .sheet import labelled
from .trials import Trials
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
    seeded,
)
from .work import Meter

log = logging.getLogger(__name__)
T = TypeVar("T")
TOO_LARGE = "This picture does not fit the memory here; try a smaller size or fewer at once."
DEFAULT_CFG = {"built-in": 4.0}  # by family; 7 elsewhere, as the WebUI has it


@dataclass(slots=True)
class _Model:
    name: str
    sha256: str  # of a checkpoint; "" of a folder
    pipeline: Any
    painter: Painter
    mixer: Mixer
    family: str
    vaes: dict[str, Vae]  # by name, as they were asked for; "" is the model's own
    safety: Safety


class Renderer:
    """`run` draws one request. Loads the default base model when made, others when a request names them."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        self._device = pick_device(config.device)
        self._dtype = pick_dtype(config.dtype, self._device)
        self._library = Library(config.adapter_folders, config.catalog)
        self._files: Residency[str, Adapter] = Residency(config.adapter_cache)
        self._factors: Residency[str, Bound] = Residency(config.adapter_cache)  # for the model that is loaded
        self._hashes: dict[tuple[Path, int, int], str] = {}  # an unchanged file is not read again
        self._paces = Paces()
        self._merged: frozenset[str] = frozenset()
        self._mix: list[tuple[Adapter, Weights]] | None = None  # None: not known, after an error
        self._model = self._load(config.model)

    def run(self, request: Request, emit: Emit, cancelled: Callable[[], bool]) -> Result:
        """The finished pictures. `emit` is called after every step; once `cancelled()` is true, Cancelled is raised.

        Raises EngineError. Whatever happens, the weights are the base model's plus the last mix that was set whole.
        """
        began = time.monotonic()
        with _typed(), torch.inference_mode():
            return self._run(request, emit, cancelled, began)

    def holds(self) -> Holds:
        """What is ready now. Adapters by sha256."""
        free = torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else None
        pace = self._model.painter.pace
        return Holds(
            model=self._model.name,
            family=self._model.family,
            device=str(self._device),
            gpu=self._merged | frozenset(self._factors),
            ram=frozenset(self._files),
            free_vram=free,
            seconds_per_step=pace.seconds if pace is not None else None,
            pinned=self._files.pins,
            caches={"files": self._files.figures, "factors": self._factors.figures},
        )

    def prefetch(self, adapters: Iterable[AdapterUse]) -> None:
        """These adapters are prepared, so that the next request finds them warm. What cannot be used is left out."""
        for use in adapters:
            try:
                self._prepared(use)
            except AdapterError as error:
                log.info("not prefetched: %s", error)  # the request that names it gets the error

    def pin(self, adapter: AdapterUse) -> str:
        """The adapter is in memory, prepared for the model that is loaded, and leaves no more. Gives its sha256.

        Raises AdapterError; then nothing is pinned.
        """
        sha256 = self.load(adapter)
        self._files.pin(sha256)
        self._factors.pin(sha256)
        return sha256

    def unpin(self, sha256: str) -> None:
        """The adapter may leave like any other."""
        self._files.unpin(sha256)
        self._factors.unpin(sha256)

    def load(self, adapter: AdapterUse) -> str:
        """The adapter is in memory, prepared for the model that is loaded. Gives its sha256. Raises AdapterError."""
        with _typed():
            return self._afforded(partial(self._prepared, adapter)).info.sha256

    def unload(self, sha256: str) -> None:
        """Nothing of the adapter is in memory, nor in the weights. Raises BadRequest for one that is pinned."""
        if sha256 in self._files.pins:
            raise BadRequest("This adapter is pinned; unpin it first.")
        if sha256 in self._merged:
            self._set_mix([])
        self._model.mixer.drop(sha256)
        self._files.drop(sha256)

    def add_model(self, name: str, source: str) -> None:
        """A request may name this base model; `remove_model` is the inverse."""
        self._config = replace(self._config, models={**self._config.models, name: source})

    def remove_model(self, name: str) -> None:
        """There is no base model of that name. Raises BadRequest for the default one."""
        if name == self._config.model:
            raise BadRequest(f"{name} is the default base model of this engine.")
        if name == self._model.name:
            self._use_model("")
        models = {known: source for known, source in self._config.models.items() if known != name}
        self._config = replace(self._config, models=models)

    def _run(self, request: Request, emit: Emit, cancelled: Callable[[], bool], began: float) -> Result:
        self._use_model(request.model)
        request = self._complete(request)
        meter = Meter(request, self._checked(emit))
        if request.grid is None:
            drawn = self._draw(request, meter, cancelled)
        else:
            drawn = self._draw_grid(request, request.grid, meter, cancelled)
        seconds = time.monotonic() - began
        return Result(drawn.request, drawn.pictures, seconds, drawn.reports, drawn.conduct, drawn.remarks)

    def _checked(self, emit: Emit) -> Emit:
        """`emit` without the previews that the safety checker flags."""
        safety = self._model.safety

        def checked(progress: Progress) -> None:
            if safety.on and progress.preview and safety.flags(Image.open(io.BytesIO(progress.preview))):
                progress = replace(progress, preview=None)
            emit(progress)

        return checked if safety.on else emit

    def _draw(self, request: Request, meter: Meter, cancelled: Callable[[], bool]) -> Drawn:
        """The pictures in the order in which they were asked for; those of one mix are drawn together."""
        drafts = [self._draft(one) for one in drafts_of(request, Wildcards(self._config.wildcard_folders))]
        groups: dict[object, list[Draft]] = {}
        for draft in drafts:
            groups.setdefault(draft.kind, []).append(draft)
        meter.repeat(len(groups))
        pictures: dict[int, list[Picture]] = {}
        done: list[Drawn] = []
        for group in groups.values():
            done.append(self._draw_group(group, meter, cancelled))
            rest = iter(done[-1].pictures)
            pictures |= {id(draft): [next(rest) for _ in range(draft.request.count)] for draft in group}
        if len(drafts) == 1:
            request = drafts[0].request
        else:  # the prompt as it was asked for, with the notes of every picture
            notes = dict.fromkeys(note for draft in drafts for note in draft.request.notes)
            request = noted(replace(request, notes=()), list(notes))
        return together(request, [picture for draft in drafts for picture in pictures[id(draft)]], done)

    def _draft(self, request: Request) -> Draft:
        """The adapters' files. One that only a tag asks for and that cannot be used is left out, with a note."""
        listed = len(request.adapters)
        request = identified(untagged(request))
        found: list[tuple[AdapterUse, Adapter]] = []
        refused: list[tuple[AdapterUse, EngineError]] = []
        for place, use in enumerate(request.adapters):
            try:
                found.append((named(use), self._afforded(partial(self._prepared, use))))
            except AdapterError as error:
                if place < listed:
                    raise
                refused.append((named(use), error))
            except Exception as error:
                if sticky(error):
                    raise
                raise _broken(error, (Conduct(named(use).name, use.sha256),)) from error
        request = left_out(replace(request, adapters=tuple(use for use, _ in found)), refused)
        return Draft(request, tuple(adapter for _, adapter in found))

    def _draw_group(self, group: Sequence[Draft], meter: Meter, cancelled: Callable[[], bool]) -> Drawn:
        """The pictures of all drafts in turn, with the mix of the first. An error says which adapters are to blame."""
        first = group[0]
        _stop_if(cancelled)
        trials = Trials(
            self._paces, lambda draft, emit: self._paint([draft], Meter(draft.request, emit), cancelled), meter
        )
        try:
            painted, reports = self._afforded(partial(self._paint, group, meter, cancelled), meter)
        except PictureBroken as error:
            raise _accusing(error, trials.blamed(first, error)) from error
        except (EngineError, Cancelled):
            raise
        except Exception as error:
            if out_of_memory(error) or sticky(error):
                raise
            raise _broken(error, trials.blamed(first, error)) from error
        pace = self._model.painter.pace
        conduct = () if pace is None else trials.measured(first, pace)
        pictures = [self._picture(draft, one) for draft, several in zip(group, painted, strict=True) for one in several]
        remarks = dict.fromkeys(remark for several in painted for one in several for remark in one.remarks)
        # one file may be known by several names: the report says the one that was asked for
        told = zip(reports, first.request.adapters, strict=True)
        reports = tuple(replace(report, name=use.name) for report, use in told)
        return Drawn(first.request, tuple(pictures), reports, conduct, tuple(remarks))

    def _paint(
        self, group: Sequence[Draft], meter: Meter, cancelled: Callable[[], bool], sparing: bool = False
    ) -> tuple[list[list[Painted]], tuple[AdapterReport, ...]]:
        first = group[0]
        vae = self._vae(first.request.vae)
        reports = self._set_mix(first.mix(1, first.request.steps))  # the text encoders' throughout
        orders = [Order(draft.request, self._reading(draft)) for draft in group]

        def switch(step: int, steps: int, hires: bool) -> None:
            """A mix that changes over the steps costs one switch of the bank wherever it does."""
            mix = first.mix(step, steps, hires=hires)
            if mix != self._mix:
                self._set_mix(mix)

        paint = self._model.painter.paint
        return paint(orders, vae, switch, meter, lambda: _stop_if(cancelled), sparing=sparing), reports

    def _afforded(self, act: Callable[[bool], T], meter: Meter | None = None) -> T:
        """What `act(False)` gives; where the memory runs out, `act(True)`, after everything that can go has gone."""
        mark = meter.mark() if meter is not None else None
        try:
            return act(False)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            log.warning("no memory (%s); once more, in smaller portions", str(error).partition("\n")[0])
        # only here is nothing held any more by the frames of what failed
        self._free()
        if meter is not None and mark is not None:
            meter.alive()
            meter.back(mark)
        return act(True)

    def _draw_grid(self, request: Request, grid: Grid, meter: Meter, cancelled: Callable[[], bool]) -> Drawn:
        """The sheet, then its cells where they are to be kept. Cells of one mix are drawn one after the other."""
        cells = grid.cells(request)
        drawn: dict[int, Drawn] = {}
        for place in sorted(range(len(cells)), key=lambda i: repr(cells[i].adapters)):
            drawn[place] = self._draw(cells[place], meter, cancelled)
        in_order = [drawn[place] for place in range(len(cells))]
        pictures = tuple(picture for one in in_order for picture in one.pictures)
        images = [Image.open(io.BytesIO(picture.png)) for picture in pictures]
        sheet = labelled(images, grid.x.labels, grid.y.labels if grid.y else ())
        draft = self._sheet(request, grid)
        text = f"{self._infotext(draft, draft.request, {})}, {described(grid)}"
        png = to_png(sheet, text, [picture.infotext for picture in pictures])
        flagged = any(picture.flagged for picture in pictures)
        first = Picture(png, sheet.width, sheet.height, seed_of(request), text, flagged)
        notes = dict.fromkeys(note for one in in_order for note in one.request.notes)
        asked = noted(replace(draft.request, notes=(), grid=grid), list(notes))
        return together(asked, (first, *pictures) if grid.keep else (first,), in_order)

    def _sheet(self, request: Request, grid: Grid) -> Draft:
        """What all cells have in common. A prompt that is another in each keeps its tags."""
        plain = replace(request, grid=None)
        if not grid.rewords and not left_to_chance(request.prompt):
            return self._draft(plain)
        draft = self._draft(replace(plain, prompt=""))
        return replace(draft, request=replace(draft.request, prompt=request.prompt))

    def _complete(self, request: Request) -> Request:
        unet, factor = self._model.pipeline.unet, self._model.pipeline.vae_scale_factor
        size = unet.config.sample_size * factor
        cfg = DEFAULT_CFG.get(self._model.family, 7.0) if request.cfg is None else request.cfg
        request = replace(
            request, width=request.width or size, height=request.height or size, cfg=cfg, model=self._model.name
        )
        return seeded(request, lambda: secrets.randbelow(MAX_SEED + 1))

    def _set_mix(self, mix: list[tuple[Adapter, Weights]]) -> tuple[AdapterReport, ...]:
        self._mix, self._merged = None, frozenset()
        reports = self._model.mixer.set(mix)
        self._mix, self._merged = mix, frozenset(adapter.info.sha256 for adapter, _ in mix)
        return reports

    def _reading(self, draft: Draft) -> Reading:
        """How the prompts are read while this mix is in force."""
        brought = {
            embedding.name.casefold(): replace(embedding, short=use.name)
            for use, adapter in zip(draft.request.adapters, draft.adapters, strict=True)
            for embedding in adapter.embeddings
        }
        vocabulary = Vocabulary(embedding_files(self._config.embedding_folders), brought)
        return Reading(draft.request.clip_skip, draft.request.emphasis, self._model.mixer.text_mix, vocabulary)

    def _picture(self, draft: Draft, one: Painted) -> Picture:
        text = self._infotext(draft, one.request, one.embeddings)
        flagged = self._model.safety.flags(one.image)
        return Picture(to_png(one.image, text), one.image.width, one.image.height, seed_of(one.request), text, flagged)

    def _infotext(self, draft: Draft, one: Request, embeddings: Mapping[str, str]) -> str:
        names = zip(draft.request.adapters, draft.adapters, strict=True)
        hashes = {use.name: adapter.info.tensor_sha256 for use, adapter in names}
        model = self._model
        return write_infotext(one, seed_of(one), model.name, hashes, embeddings, model_hash=model.sha256)

    def _prepared(self, use: AdapterUse, sparing: bool = False) -> Adapter:
        adapter = self._adapter(use)
        self._model.mixer.prepare(adapter)
        return adapter

    def _adapter(self, use: AdapterUse) -> Adapter:
        path = self._library.locate(use)
        stamp = (path, path.stat().st_mtime_ns, path.stat().st_size)
        known = self._files.get(use.sha256 or self._hashes.get(stamp, ""))
        if known is None:
            known = read_adapter(path, sha256=use.sha256, name=named(use).name)
            self._hashes[stamp] = known.info.sha256
            self._files.admit(known.info.sha256, known, known.nbytes)
        return known

    def _use_model(self, name: str) -> None:
        wanted = name or self._config.model
        if wanted != self._model.name:
            if self._config.source_of(wanted) is None:
                raise ModelNotFound(self._unknown_model(wanted))
            # the old model's memory goes before the new one comes
            del self._model.pipeline, self._model.painter, self._model.mixer, self._model.vaes, self._model.safety
            self._mix, self._merged = None, frozenset()
            self._paces = Paces()
            self._factors.clear()
            try:
                self._model = self._load_asked(wanted)
            except BaseException:
                self._model = self._load_again()
                raise

    def _load(self, name: str) -> _Model:
        source = self._config.source_of(name)
        if source is None:
            raise ModelNotFound(self._unknown_model(name))
        pipeline = load_pipeline(source, self._device, self._dtype, prediction=self._config.predictions.get(name))
        peft = self._config.adapters == "peft"
        mixer: Mixer = PeftMixer(pipeline) if peft else AdapterBank(pipeline, factors=self._factors)
        family = family_of_pipeline(pipeline)
        every = self._config.preview_every
        painter = Painter(pipeline, self._device, self._dtype, family=family, preview_every=every)
        safety = load_safety(self._config.safety, source, self._device, self._dtype)
        sha256 = model_hash(source)  # now that the system has the file in memory
        return _Model(name, sha256, pipeline, painter, mixer, family, {"": Vae(pipeline.vae)}, safety)

    def _load_asked(self, name: str) -> _Model:
        """As `_load`, for somebody whose business it is not where this machine keeps its files."""
        try:
            return self._load(name)
        except ModelError as error:
            log.error("the base model %s cannot be used: %s", name, error)
            raise ModelUnreadable(f"The base model {name} cannot be loaded.") from error

    def _load_again(self) -> _Model:
        """The default base model, which was there at the start. Raises DeviceLost: without it nothing can be drawn."""
        try:
            return self._load(self._config.model)
        except Exception as error:
            raise DeviceLost("No base model can be loaded any more; the bot starts anew.") from error

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
        """Nothing is in memory that can be had again: factors, files, encoded prompts, VAEs, copies on the device."""
        self._factors.trim()
        self._files.trim()
        self._model.painter.forget()
        self._model.mixer.retreat()
        self._model.vaes = {"": self._model.vaes[""]}
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _accusing(error: PictureBroken, conduct: tuple[Conduct, ...]) -> PictureBroken:
    """The error, with the adapters that may be to blame; in words where they are proven to be."""
    names = [one.name for one in conduct if one.fault]
    sentence = f"{' and '.join(names)} cannot be drawn with here: the base model draws nothing with it. Leave it out."
    fault = PictureBroken(sentence if names else str(error), step=error.step)
    fault.conduct = conduct
    return fault


def _broken(error: Exception, conduct: tuple[Conduct, ...]) -> EngineError:
    """What is raised for an error that nobody foresaw, with the adapters that may be to blame."""
    fault = OutOfMemory(TOO_LARGE) if out_of_memory(error) else EngineFault(DEFECT)
    fault.conduct = conduct
    return fault


@contextmanager
def _typed() -> Iterator[None]:
    """What PyTorch raises where memory or device fail, in words of ours."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            raise OutOfMemory(TOO_LARGE) from error
        if sticky(error):
            raise DeviceLost("The graphics card failed; the bot starts anew.") from error
        raise


def _stop_if(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled
