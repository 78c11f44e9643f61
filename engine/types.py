"""The values that cross between engine and everyone else: frozen, without tensors, each of them JSON one day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NewType

from .conduct import Conduct as Conduct
from .errors import ERRORS, BadRequest, EngineError
from .strength import MAX_WEIGHT as MAX_WEIGHT
from .strength import Weights as Weights
from .uses import AdapterUse as AdapterUse

if TYPE_CHECKING:
    from .grid import Grid

LATENT_UPSCALERS = {  # the WebUI's, as torch's interpolation mode and whether it is antialiased
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
UPSCALERS = (*LATENT_UPSCALERS, "Lanczos", "Nearest")  # those of pixels need no weights; ESRGAN's would
SCHEDULES = (  # of sigmas, by the WebUI's names; "" is the sampler's own, the WebUI's "Automatic"
    "Uniform",
    "Karras",
    "Exponential",
    "Polyexponential",
    "SGM Uniform",
    "KL Optimal",
    "Simple",
    "Normal",
    "DDIM",
)
NOISES = ("CPU", "NV")  # where noise comes from: PyTorch's CPU generator, or Philox as the WebUI's "NV"
EMPHASES = ("Original", "No norm")
SAMPLERS = (
    "DDIM",
    "Euler",
    "Euler a",
    "Heun",
    "LMS",
    "DPM2",
    "DPM2 a",
    "DPM++ 2M",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Heun",
    "DPM++ 2S a",
    "DPM++ 3M SDE",
    "UniPC",
    "LCM",
    "PLMS",
)
MAX_COUNT = 4
MAX_STEPS = 150
MAX_SIDE = 2048
MAX_PROMPT = 6000  # characters: what Discord lets through in one option
MAX_SEED = 2**32 - 1
MAX_ADAPTERS = 16

WorkerId = NewType("WorkerId", str)


@dataclass(frozen=True, slots=True)
class Hires:
    """A second pass at `scale` times the size: enlarged by `upscaler`, changed by `strength` in `steps` (0: as many).

    ESRGAN and its like need weights that do not come with Loraloom, so they are no upscalers here.
    """

    scale: float = 2.0
    strength: float = 0.7
    steps: int = 0
    upscaler: str = "Latent"

    def __post_init__(self) -> None:
        _require(1 < self.scale <= 4, f"Hires fix by {self.scale}: more than 1 and at most 4 is possible.")
        _require(0 <= self.strength <= 1, f"A hires strength of {self.strength}: 0 to 1 is possible.")
        _require(0 <= self.steps <= MAX_STEPS, f"{self.steps} hires steps: 0 to {MAX_STEPS} are possible.")
        known = ", ".join(UPSCALERS)
        _require(self.upscaler in UPSCALERS, f"No upscaler is called {self.upscaler!r} here; there are {known}.")

    def side(self, side: int) -> int:
        """A side in pixels after the second pass: as the WebUI has it, whole pixels, then whole latent cells."""
        return int(side * self.scale) // 8 * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One order for pictures. None means: what the base model is best at (size, cfg), or a random seed.

    `prompt` may hold `<lora:name:weight>` tags: `engine.prompt.untagged` moves them into `adapters`; `notes` has a
    sentence for each that could not be used and was left out. `known` are the files, by sha256, that names in tags of
    variants and wildcards and on the axes of `grid` stand for; a name that is not among them is looked for as ever.
    `image` (PNG, JPEG or WebP bytes) starts from that picture, changed by `strength` (0 keeps it, 1 forgets it).
    `mask` (same formats) keeps that picture where it is black, to the pixel but for `mask_blur`; a mask that is partly
    transparent counts by what is painted on it, as in the WebUI. Transparency of `image` itself is white paper.
    Picture i of `count` has seed `seed + i`; with a `variation_strength` it has seed `seed` and variation seed
    `variation_seed + i`. A `grid` draws one sheet of cells that differ from this request.
    A schedule may stand behind its sampler, as it did before the WebUI's 1.9: "DPM++ 2M Karras" is taken apart.
    `clip_skip` counts as the WebUI does: 1 skips nothing, 2 the last layer of the text encoder.
    """

    prompt: str
    negative: str = ""
    adapters: tuple[AdapterUse, ...] = ()
    model: str = ""
    width: int | None = None
    height: int | None = None
    steps: int = 20
    cfg: float | None = None
    sampler: str = "DDIM"
    seed: int | None = None
    count: int = 1
    image: bytes | None = field(default=None, repr=False)
    strength: float = 0.6
    mask: bytes | None = field(default=None, repr=False)
    mask_blur: int = 4  # pixels
    hires: Hires | None = None
    vae: str = ""  # by its name in the configuration; "" is the base model's own
    schedule: str = ""
    eta: float | None = None  # None: the sampler's own; counts only for samplers that add noise
    ensd: int = 0  # added to the seed of what ancestral samplers draw
    noise: str = "CPU"
    variation_seed: int | None = None
    variation_strength: float = 0.0
    cfg_rescale: float = 0.0
    clip_skip: int = 1
    emphasis: str = "Original"
    notes: tuple[str, ...] = ()
    grid: Grid | None = None
    known: tuple[AdapterUse, ...] = ()

    @property
    def named(self) -> tuple[AdapterUse, ...]:
        """Every adapter that any of its pictures may be drawn with."""
        return (*self.adapters, *self.known)

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("negative prompt", self.negative)):
            _require(len(text) <= MAX_PROMPT, f"The {name} has {len(text)} characters; {MAX_PROMPT} is the most.")
        _require(
            len(self.adapters) <= MAX_ADAPTERS, f"{len(self.adapters)} adapters at once; {MAX_ADAPTERS} is the most."
        )
        for side in (self.width, self.height):
            good = side is None or (64 <= side <= MAX_SIDE and side % 8 == 0)
            near = "" if side is None else f" {min(max(64, round(side / 8) * 8), MAX_SIDE)} is the nearest."
            _require(good, f"A side of {side} pixels: sides are multiples of 8 from 64 to {MAX_SIDE}.{near}")
        _require(1 <= self.steps <= MAX_STEPS, f"{self.steps} steps: 1 to {MAX_STEPS} are possible.")
        _require(1 <= self.count <= MAX_COUNT, f"{self.count} pictures at once: 1 to {MAX_COUNT} are possible.")
        _require(self.cfg is None or 0 <= self.cfg <= 50, f"A cfg of {self.cfg}: 0 to 50 is possible.")
        _require(self.seed is None or 0 <= self.seed <= MAX_SEED, f"Seed {self.seed}: 0 to {MAX_SEED} are possible.")
        _require(0 <= self.strength <= 1, f"A strength of {self.strength}: 0 to 1 is possible.")
        _require(1 <= self.clip_skip <= 12, f"A clip skip of {self.clip_skip}: 1 to 12 is possible.")
        _require(0 <= self.mask_blur <= 64, f"A mask blur of {self.mask_blur} pixels: 0 to 64 is possible.")
        _require(self.eta is None or 0 <= self.eta <= 1, f"An eta of {self.eta}: 0 to 1 is possible.")
        _require(0 <= self.ensd <= MAX_SEED, f"An eta noise seed delta of {self.ensd}: 0 to {MAX_SEED} is possible.")
        _require(
            0 <= self.variation_strength <= 1,
            f"A variation strength of {self.variation_strength}: 0 to 1 is possible.",
        )
        _require(0 <= self.cfg_rescale <= 1, f"A cfg rescale of {self.cfg_rescale}: 0 to 1 is possible.")
        _require(
            self.variation_seed is None or 0 <= self.variation_seed <= MAX_SEED,
            f"Variation seed {self.variation_seed}: 0 to {MAX_SEED} are possible.",
        )
        self._take_schedule_apart()
        for kind, value, known in (
            ("schedule", self.schedule, ("", *SCHEDULES)),
            ("noise source", self.noise, NOISES),
            ("emphasis", self.emphasis, EMPHASES),
        ):
            _require(value in known, f"No {kind} is called {value!r}; there are {', '.join(filter(None, known))}.")
        _require(self.mask is None or self.image is not None, "A mask needs the picture that it is for: send both.")
        if self.hires is not None:
            sentence = "Hires fix draws the whole picture again, so it cannot keep what a mask keeps; use one of them."
            _require(self.mask is None, sentence)
            for side in filter(None, (self.width, self.height)):
                large = f"Hires fix makes {side} pixels {self.hires.side(side)}; {MAX_SIDE} is the most."
                _require(self.hires.side(side) <= MAX_SIDE, large)
        if self.grid is not None:
            self.grid.cells(self)  # each is a request, and refused like one
        _require(self.sampler in SAMPLERS, f"No sampler is called {self.sampler!r}; there are {', '.join(SAMPLERS)}.")

    def _take_schedule_apart(self) -> None:
        for schedule in SCHEDULES:
            sampler = self.sampler.removesuffix(f" {schedule}")
            if sampler != self.sampler and sampler in SAMPLERS:
                agreed = self.schedule in ("", schedule)
                _require(agreed, f"{self.sampler} has {schedule} in its name and cannot be drawn with {self.schedule}.")
                object.__setattr__(self, "sampler", sampler)
                object.__setattr__(self, "schedule", schedule)
                return


@dataclass(frozen=True, slots=True)
class Progress:
    """`step` of `steps` is done. `preview` is a small JPEG now and then, else None."""

    step: int
    steps: int
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished PNG with its infotext inside. `seed` alone draws it again, whatever its place in the batch was.

    `flagged`: the safety checker finds it not fit for everybody, or could not tell.
    """

    png: bytes = field(repr=False)
    width: int
    height: int
    seed: int
    infotext: str
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class AdapterReport:
    """What became of one adapter file: `applied` of `layers` layers changed the picture's model.

    `embeddings` are names that it brings along: each is drawn where a prompt holds it.
    """

    name: str
    applied: int
    layers: int
    ignored: Mapping[str, str] = field(default_factory=dict)  # key -> reason
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what of the use's wishes came to nothing
    embeddings: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = (
            f"{self.name}: {self.applied} of {self.layers} layers",
            f"embeddings {', '.join(self.embeddings)}" if self.embeddings else "",
            self._ignored(),
            f"{len(self.unknown)} keys unknown" if self.unknown else "",
            *self.notes,
        )
        return ", ".join(filter(None, said))

    def _ignored(self) -> str:
        reasons = list(dict.fromkeys(self.ignored.values()))
        told = "; ".join(reasons[:2]) + (" and more" if len(reasons) > 2 else "")
        return f"{len(self.ignored)} keys ignored ({told})" if reasons else ""


@dataclass(frozen=True, slots=True)
class Result:
    """The pictures of one request. `request` is complete: seed, size and cfg are what was used.

    `reports` are by adapter file, and so is `conduct`; `notes` say which tags of the prompt were left out, and why.
    `remarks` say in what the pictures were not drawn as they would be on a larger machine.
    """

    request: Request
    pictures: tuple[Picture, ...]
    seconds: float
    reports: tuple[AdapterReport, ...] = ()
    conduct: tuple[Conduct, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return self.request.notes


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What the header of an adapter file says, without reading its tensors.

    `family` is told by tensor shapes: "SD 1.5", "SD 2", "SDXL", "built-in", or "" where they do not tell; `fits` are
    all families that the shapes allow. `modules` counts layers by part: unet, text_encoder, text_encoder_2. `triggers`
    come most frequent first. `trained` is what the metadata states about the training (what -> a text fit to show), and
    `notes` are sentences about metadata that cannot be read or that the tensors contradict.
    """

    name: str
    sha256: str
    tensor_sha256: str
    size: int
    format: str
    family: str
    ranks: tuple[int, ...]
    modules: Mapping[str, int]
    triggers: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    license: str = ""
    alphas: tuple[float, ...] = ()
    autov1: str = ""
    fits: tuple[str, ...] = ()
    trained: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def autov2(self) -> str:
        """The name that Civitai gives to the first ten digits of the file's SHA-256."""
        return self.sha256[:10]

    @property
    def autov3(self) -> str:
        """The first twelve digits of the tensor hash, which changes of the metadata leave as it is."""
        return self.tensor_sha256[:12]


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """A store within a budget of bytes: how many it holds and how large, and since the start how often what was asked
    for was there (`hits`) or not (`misses`), and how many had to go for others (`evictions`)."""

    resident: int
    nbytes: int
    budget: int
    hits: int
    misses: int
    evictions: int


@dataclass(frozen=True, slots=True)
class Holds:
    """What a worker has ready. Adapters by sha256; `gpu` are merged or on the device, `ram` are parsed in memory.

    `device` is PyTorch's name of what it draws on, such as "cpu" or "cuda". `caches` are "files", the adapters parsed
    in RAM, and "factors", what is prepared of them on the device; `pinned` adapters leave neither.
    """

    model: str
    family: str
    device: str = ""
    gpu: frozenset[str] = frozenset()
    ram: frozenset[str] = frozenset()
    free_vram: int | None = None
    seconds_per_step: float | None = None
    pinned: frozenset[str] = frozenset()
    caches: Mapping[str, CacheFigures] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A live worker as the scheduler sees it: `slots` attempts run at once, `outstanding` are with it now."""

    id: WorkerId
    slots: int
    outstanding: int
    holds: Holds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How busy an engine is: jobs waiting, jobs running, and its workers."""

    waiting: int
    running: int
    workers: tuple[WorkerView, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """The `attempt`-th try at `job`."""

    job: str
    attempt: int
    request: Request


@dataclass(frozen=True, slots=True)
class Event:
    """Something about one attempt; counts only while that attempt is the running one."""

    job: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Stepped(Event):
    progress: Progress


@dataclass(frozen=True, slots=True)
class Done(Event):
    result: Result


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    """The attempt was cancelled before it finished."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """`error` names a class of `engine.errors`; `sentence` is fit for a member. `conduct`: who may be to blame."""

    error: str
    sentence: str
    conduct: tuple[Conduct, ...] = ()

    def exception(self) -> EngineError:
        return ERRORS.get(self.error, EngineError)(self.sentence)


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """The worker went away with the attempt; it may be tried again elsewhere. Not `begun`: it cannot be why."""

    begun: bool = True


Emit = Callable[[Progress], None]


def seeded(request: Request, draw: Callable[[], int]) -> Request:
    """The request with a seed and, where it varies, a variation seed: `draw` gives those that it has not."""
    seed = draw() if request.seed is None else request.seed
    varied = request.variation_seed
    if request.variation_strength and varied is None:
        varied = draw()
    return replace(request, seed=seed, variation_seed=varied)


def alone(request: Request, index: int) -> Request:
    """The request that draws picture `index` of a seeded request by itself: seeds count up as the WebUI's do."""
    if request.variation_strength:
        return replace(request, count=1, variation_seed=_counted(request.variation_seed, index))
    return replace(request, count=1, seed=_counted(request.seed, index))


def _counted(seed: int | None, index: int) -> int:
    assert seed is not None  # `seeded` has given it
    return (seed + index) % (MAX_SEED + 1)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise BadRequest(sentence)
