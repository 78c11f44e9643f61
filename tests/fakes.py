"""Stand-ins for what is slow or far away, and builders of the values that tests hand around."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy
from safetensors.numpy import save_file

from bot.jobs import Quarantine, Runner, Undeliverable, Unreachable
from bot.orders import Job, Order, Press, Ticket, Who
from bot.store import Store, open_store
from bot.store.jobs import utc_now
from engine import (
    AdapterReport,
    AdapterUse,
    Attempt,
    Conduct,
    Done,
    Dropped,
    Event,
    Failed,
    Holds,
    Lost,
    OnEvent,
    Picture,
    Progress,
    Request,
    Result,
    Scheduler,
    Stepped,
    WorkerId,
    WorkerView,
    cost,
)

MEMBER, GUILD, CHANNEL = 1001, 2001, 3001
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_interactions = itertools.count(10**18)


def who(member_id: int = MEMBER, *, guild_id: int | None = GUILD, moderator: bool = False) -> Who:
    return Who(member_id, f"member {member_id}", guild_id, CHANNEL, moderator)


def order(prompt: str = "a red flower", *, by: Who | None = None, interaction_id: int = 0, **request: object) -> Order:
    """An order of a new interaction; `request` are fields of the Request."""
    asked = Request(prompt=prompt, **request)  # type: ignore[arg-type]
    return Order(interaction_id or next(_interactions), 4001, "token", NOW, by or who(), asked)


def press(*, by: Who | None = None) -> Press:
    return Press(next(_interactions), 4001, "token", NOW, by or who())


def png(width: int = 8, height: int = 8, grey: int = 128) -> bytes:
    """A real PNG, all of one grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([grey]) * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def result(request: Request, *, seconds: float = 1.5, flagged: bool = False) -> Result:
    """What an engine would give for the request: complete, with pictures of the right size."""
    width, height = request.width or 128, request.height or 128
    seed = 7 if request.seed is None else request.seed
    complete = replace(request, width=width, height=height, seed=seed, cfg=request.cfg or 7.0)
    pictures = tuple(
        Picture(png(width, height, 50 + i), width, height, seed + i, f"{request.prompt}\nSeed: {seed + i}", flagged)
        for i in range(request.count)
    )
    reports = tuple(AdapterReport(use.name, 204, 204) for use in request.adapters)
    return Result(complete, pictures, seconds, reports)


def adapter_file(path: Path, *, width: int = 96, text: str = "", value: float = 1) -> Path:
    """A LoRA of one cross-attention layer; `width` tells its family (96 built-in, 768 SD 1.5), `text` its metadata,
    `value` its tensors.
    """
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{module}.lora_down.weight": numpy.full((2, width), value, dtype=numpy.float32),
        f"{module}.lora_up.weight": numpy.ones((32, 2), dtype=numpy.float32),
        f"{module}.alpha": numpy.array(2.0, dtype=numpy.float32),
    }
    tags = json.dumps({"img": {f"{path.stem}style": 5}})
    save_file(tensors, path, metadata={"modelspec.title": text or path.stem, "ss_tag_frequency": tags})
    return path


def checkpoint(path: Path, *, width: int = 2048) -> Path:
    """As much of a base model as tells its family, by `width` (768 SD 1.5, 2048 SDXL)."""
    names = ("first_stage_model.x", "conditioner.embedders.0.x")
    cross = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    parts = {cross: numpy.zeros((1, width), numpy.float16)}
    save_file(parts | {name: numpy.zeros(1, numpy.float16) for name in names}, path)
    return path


class FakeFleet:
    """A Fleet of one worker that does nothing until told how an attempt goes on; with `auto` it is done at once."""

    def __init__(self, *, family: str = "built-in", model: str = "builtin", slots: int = 1, auto: bool = False) -> None:
        self.id = WorkerId("fake-1")
        self.holds = Holds(model=model, family=family)
        self.slots = slots
        self.auto = auto
        self.attempts: list[Attempt] = []  # every attempt ever dispatched
        self._out: dict[str, Attempt] = {}
        self._on_event: OnEvent | None = None
        self.models: dict[str, str] = {}  # that were added
        self.silent = False  # the worker hangs, and nobody has found out
        self.reason = ""  # why the worker never comes back
        self._down = asyncio.Event()

    async def start(self, on_event: OnEvent) -> None:
        self._on_event = on_event

    def workers(self) -> Mapping[WorkerId, WorkerView]:
        return {} if self.reason else {self.id: WorkerView(self.id, self.slots, len(self._out), self.holds)}

    async def dispatch(self, worker: WorkerId, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self._out[attempt.job] = attempt
        if self.auto:
            await self.step(attempt.job, attempt.request.steps)
            await self.finish(attempt.job)

    async def cancel(self, worker: WorkerId, job: str, attempt: int) -> None:
        if job in self._out and self._out[job].attempt == attempt:
            await self._end(Dropped(job, attempt))

    async def pin(self, worker: WorkerId, adapter: AdapterUse) -> str:
        sha256 = await self.load(worker, adapter)
        self.holds = replace(self.holds, pinned=self.holds.pinned | {sha256})
        return sha256

    async def unpin(self, worker: WorkerId, sha256: str) -> None:
        self.holds = replace(self.holds, pinned=self.holds.pinned - {sha256})

    async def load(self, worker: WorkerId, adapter: AdapterUse) -> str:
        sha256 = adapter.sha256 or adapter.name
        self.holds = replace(self.holds, gpu=self.holds.gpu | {sha256}, ram=self.holds.ram | {sha256})
        return sha256

    async def unload(self, worker: WorkerId, sha256: str) -> None:
        self.holds = replace(self.holds, gpu=self.holds.gpu - {sha256}, ram=self.holds.ram - {sha256})

    async def add_model(self, worker: WorkerId, name: str, source: str) -> None:
        self.models[name] = source

    async def remove_model(self, worker: WorkerId, name: str) -> None:
        self.models.pop(name, None)

    async def switch(self, model: str, family: str = "built-in") -> None:
        """The worker has loaded another base model, as it does for a request that names one."""
        self.holds = replace(self.holds, model=model, family=family, gpu=frozenset())

    async def answers(self, worker: WorkerId, patience: float) -> bool:
        return worker in self.workers() and not self.silent

    async def broken(self) -> str:
        await self._down.wait()
        return self.reason

    async def break_down(self, why: str = "it hangs") -> None:
        """The worker never comes back; what was with it is lost."""
        self.reason = why
        self._down.set()
        await FakeFleet.aclose(self)

    async def aclose(self) -> None:
        for place, attempt in enumerate(list(self._out.values())):
            await self._end(Lost(attempt.job, attempt.attempt, begun=place < self.slots))

    async def step(self, job: str, step: int = 1, *, preview: bytes | None = None) -> None:
        attempt = self._out[job]
        await self.tell(Stepped(job, attempt.attempt, Progress(step, attempt.request.steps, preview)))

    async def finish(self, job: str, conduct: tuple[Conduct, ...] = (), *, flagged: bool = False) -> None:
        attempt = self._out[job]
        drawn = result(attempt.request, flagged=flagged)
        await self._end(Done(job, attempt.attempt, replace(drawn, conduct=conduct)))

    async def fail(
        self,
        job: str,
        sentence: str = "It does not fit.",
        error: str = "OutOfMemory",
        conduct: tuple[Conduct, ...] = (),
    ) -> None:
        await self._end(Failed(job, self._out[job].attempt, error, sentence, conduct))

    async def lose(self, job: str) -> None:
        await self._end(Lost(job, self._out[job].attempt))

    async def tell(self, event: Event) -> None:
        """Any event, also one that no worker should send."""
        assert self._on_event is not None
        await self._on_event(event)

    async def _end(self, event: Event) -> None:
        del self._out[event.job]
        await self.tell(event)


@dataclass
class FakeLine:
    """A line in which jobs wait for ever."""

    store: Store
    model_family: str = "built-in"
    submitted: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        return len(self.submitted)

    @property
    def running(self) -> int:
        return 0

    async def submit(self, job_id: str) -> None:
        if await self.store.jobs.queue(job_id):
            self.submitted.append(job_id)

    async def cancel(self, job_id: str) -> bool:
        return await self.store.jobs.cancelled(job_id, "Cancelled.")

    def ticket(self, job: Job) -> Ticket:
        return Ticket(job.id, self.submitted.index(job.id) + 1 if job.id in self.submitted else self.waiting + 1)

    def price(self, request: Request) -> float:
        return cost(request)

    def family(self, model: str = "") -> str:
        return self.model_family

    def estimate(self, request: Request) -> float | None:
        return cost(request)


@dataclass
class FakePoster:
    """Remembers what it was asked to show. `outages` calls raise Unreachable first, `gone` raises Undeliverable."""

    outages: int = 0
    unanswered: bool = False  # Discord knows of no answer
    gone: bool = False
    age_restricted: bool = False  # the place of every job, now
    refuses_pictures: bool = False
    defect: Exception | None = None
    slow: asyncio.Event | None = None  # progress is under way until it is set
    shown: list[tuple[str, Progress]] = field(default_factory=list)
    posts: list[tuple[Job, str]] = field(default_factory=list)
    closed: list[Job] = field(default_factory=list)

    async def adult(self, job: Job) -> bool:
        return self.age_restricted

    async def answered(self, job: Job) -> bool:
        self._reach()
        return not self.unanswered

    async def progress(self, job: Job, progress: Progress) -> None:
        if self.slow is not None:
            await self.slow.wait()
        self.shown.append((job.id, progress))

    async def post(self, job: Job, nonce: str) -> tuple[int, int]:
        self._reach()
        if self.refuses_pictures:
            raise Undeliverable("too large")
        self.posts.append((job, nonce))
        return CHANNEL, 5000 + len(self.posts)

    async def close(self, job: Job) -> None:
        self._reach()
        self.closed.append(job)

    def _reach(self) -> None:
        if self.defect is not None:
            raise self.defect
        if self.gone:
            raise Undeliverable("the channel is gone")
        if self.outages:
            self.outages -= 1
            raise Unreachable("no answer")


class FakeClock:
    """Time that passes only when somebody sleeps or says so."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


@dataclass
class Bench:
    """A runner with everything around it that is not Discord."""

    store: Store
    fleet: FakeFleet
    poster: FakePoster
    clock: FakeClock
    runner: Runner

    async def job(self, job_id: str) -> Job:
        job = await self.store.jobs.get(job_id)
        assert job is not None
        return job

    async def ordered(self, an_order: Order | None = None) -> str:
        """The id of a job that was recorded and submitted."""
        job = await self.store.jobs.record(an_order or order())
        assert job is not None
        await self.runner.submit(job.id)
        return job.id

    async def dispatched(self, job_id: str, attempt: int = 1) -> None:
        await until(lambda: any((one.job, one.attempt) == (job_id, attempt) for one in self.fleet.attempts))


@asynccontextmanager
async def bench(
    data: Path,
    *,
    fleet: FakeFleet | None = None,
    poster: FakePoster | None = None,
    quarantine: Quarantine | None = None,
    longest_wait: timedelta | None = None,
    now: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Bench]:
    """A started bench on the data folder; entered again on the same folder it is the bot after a restart."""
    fleet, poster, clock = fleet or FakeFleet(), poster or FakePoster(), FakeClock()
    async with open_store(None, data, now=now) as store:
        runner = Runner(
            store,
            fleet,
            Scheduler(),
            poster,
            quarantine=quarantine,
            longest_wait=longest_wait,
            clock=clock,
            sleep=clock.sleep,
        )
        await runner.start()
        try:
            yield Bench(store, fleet, poster, clock, runner)
        finally:
            await runner.aclose()


async def until(condition: Callable[[], bool], *, seconds: float = 5.0) -> None:
    """Returns once the condition holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  a condition may be anything, also what nobody announces
            await asyncio.sleep(0.005)
