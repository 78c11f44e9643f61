"""What every Fleet promises: each attempt ends in exactly one event, in order, on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engine import (
    AdapterNotFound,
    AdapterUse,
    Attempt,
    BadRequest,
    Cancelled,
    Conduct,
    DeviceLost,
    Done,
    Dropped,
    EngineConfig,
    EngineFault,
    Event,
    Failed,
    Fleet,
    Holds,
    LocalFleet,
    Lost,
    ModelNotFound,
    PictureBroken,
    Progress,
    Request,
    Result,
    Stepped,
    WorkerId,
)
from engine.types import Emit


class FakeRenderer:
    """Draws nothing: 'fail', 'break' and 'wait' in the prompt say what happens instead."""

    def __init__(self, config: EngineConfig) -> None:
        self.threads: set[str] = set()
        self.pins: set[str] = set()
        self.loaded: set[str] = set()
        self.models: dict[str, str] = {}
        self.go = threading.Event()

    def run(self, request: Request, emit: Emit, cancelled: Callable[[], bool]) -> Result:
        self.threads.add(threading.current_thread().name)
        if request.prompt == "fail":
            raise BadRequest("A sentence for a member.")
        if request.prompt == "break":
            raise ZeroDivisionError
        if request.prompt == "lose":
            raise DeviceLost("CUDA error: an illegal memory access was encountered")
        if request.prompt == "blame":
            error = PictureBroken("ink cannot be drawn with here.")
            error.conduct = (Conduct("ink", "ab" * 32, fault="It draws nothing."),)
            raise error
        if request.prompt == "exit":
            raise SystemExit(3)
        for step in range(1, request.steps + 1):
            while request.prompt == "hang" and step == 3 and not self.go.is_set():
                self.go.wait(0.005)  # whatever anybody wants
            if request.prompt == "wait":
                while not cancelled():
                    self.go.wait(0.005)
            if request.prompt == "slow":
                self.go.wait(0.05)
            if cancelled():
                raise Cancelled
            emit(Progress(step, request.steps))
        return Result(request, (), 0.0)

    def holds(self) -> Holds:
        ram = frozenset(self.threads | self.loaded)
        return Holds("fake", "SD 1.5", gpu=frozenset(self.models.items()), ram=ram, pinned=frozenset(self.pins))

    def prefetch(self, adapters: Iterable[AdapterUse]) -> None: ...

    def pin(self, adapter: AdapterUse) -> str:
        if adapter.name == "hang":
            self.go.wait(5)
        if adapter.name == "break":
            raise ZeroDivisionError
        if adapter.name == "lose":
            raise DeviceLost("CUDA error: an illegal memory access was encountered")
        if adapter.name == "gone":
            raise AdapterNotFound("No adapter is called 'gone' here.")
        self.pins.add(adapter.name)
        return adapter.name

    def unpin(self, sha256: str) -> None:
        self.pins.discard(sha256)

    def load(self, adapter: AdapterUse) -> str:
        if adapter.name == "gone":
            raise AdapterNotFound("No adapter is called 'gone' here.")
        self.loaded.add(adapter.name)
        return adapter.name

    def unload(self, sha256: str) -> None:
        if sha256 in self.pins:
            raise BadRequest("This adapter is pinned; unpin it first.")
        self.loaded.discard(sha256)

    def add_model(self, name: str, source: str) -> None:
        self.models[name] = source

    def remove_model(self, name: str) -> None:
        if name == "fake":
            raise BadRequest("fake is the default base model of this engine.")
        self.models.pop(name, None)


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Condition()

    async def __call__(self, event: Event) -> None:
        async with self._news:
            self.events.append(event)
            self._news.notify_all()

    async def until(self, wanted: Callable[[list[Event]], bool]) -> list[Event]:
        async with self._news, asyncio.timeout(10):
            await self._news.wait_for(lambda: wanted(self.events))
        return self.events


def ended(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Stepped)]


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Fleet, WorkerId, Listener]]:
    fleet, listener = LocalFleet(EngineConfig(), make=FakeRenderer), Listener()  # type: ignore[arg-type]
    await fleet.start(listener)
    try:
        yield fleet, next(iter(fleet.workers())), listener
    finally:
        await fleet.aclose()


async def test_an_attempt_steps_and_is_done() -> None:
    """Every step in order, then the result, all with the attempt's own numbers."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("job", 3, Request(prompt="x", steps=3)))
        events = await listener.until(ended)
    assert [type(event) for event in events] == [Stepped, Stepped, Stepped, Done]
    assert {(event.job, event.attempt) for event in events} == {("job", 3)}


async def test_outstanding_counts_what_is_with_the_worker() -> None:
    """Up on dispatch, down once the end is told."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("job", 1, Request(prompt="x")))
        assert fleet.workers()[worker].outstanding == 1
        await listener.until(ended)
        assert fleet.workers()[worker].outstanding == 0


async def test_an_engine_error_is_failed_with_its_sentence() -> None:
    """The class and the words cross the seam, and the worker goes on."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="fail")))
        await fleet.dispatch(worker, Attempt("b", 1, Request(prompt="x", steps=1)))
        events = await listener.until(lambda events: len(ended(events)) == 2)
    assert ended(events)[0] == Failed("a", 1, "BadRequest", "A sentence for a member.")
    assert isinstance(ended(events)[1], Done)


async def test_a_defect_is_failed_without_its_insides(caplog: pytest.LogCaptureFixture) -> None:
    """Members get a sentence, the log gets the traceback, the thread lives on."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="break")))
        event = ended(await listener.until(ended))[0]
        assert fleet.workers()
    assert isinstance(event, Failed)
    assert (event.error, "ZeroDivision" in event.sentence) == ("EngineFault", False)
    assert "ZeroDivisionError" in caplog.text


async def test_cancelling_a_running_attempt_drops_it() -> None:
    """Between two steps, and told once."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="wait")))
        await fleet.cancel(worker, "a", 1)
        assert ended(await listener.until(ended)) == [Dropped("a", 1)]


async def test_cancelling_a_waiting_attempt_drops_it_without_running_it() -> None:
    """The one before it goes on."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="wait")))
        await fleet.dispatch(worker, Attempt("b", 1, Request(prompt="x")))
        await fleet.cancel(worker, "b", 1)
        await fleet.cancel(worker, "a", 1)
        events = await listener.until(lambda events: len(ended(events)) == 2)
    assert ended(events) == [Dropped("a", 1), Dropped("b", 1)]
    assert not [event for event in events if isinstance(event, Stepped)]


async def test_cancelling_what_is_not_there_does_nothing() -> None:
    """A late cancel, or one for an older attempt, reaches nobody."""
    async with running() as (fleet, worker, listener):
        await fleet.cancel(worker, "ghost", 1)
        await fleet.dispatch(worker, Attempt("a", 2, Request(prompt="x", steps=1)))
        await fleet.cancel(worker, "a", 1)
        assert isinstance(ended(await listener.until(ended))[0], Done)


async def test_closing_loses_what_was_still_out() -> None:
    """Each of them is told, and no worker is left."""
    async with running() as (fleet, worker, listener):
        for job in "abc":
            await fleet.dispatch(worker, Attempt(job, 1, Request(prompt="wait")))
        await fleet.aclose()
        assert fleet.workers() == {}
    assert sorted(event.job for event in ended(listener.events)) == ["a", "b", "c"]
    assert {type(event) for event in ended(listener.events)} == {Lost}


async def test_a_worker_that_is_gone_loses_the_attempt() -> None:
    """Dispatching to an old id is answered by Lost, not by silence."""
    async with running() as (fleet, _, listener):
        await fleet.dispatch(WorkerId("local-old"), Attempt("a", 1, Request(prompt="x")))
        assert ended(await listener.until(ended)) == [Lost("a", 1, begun=False)]


async def test_the_work_happens_on_the_gpu_thread() -> None:
    """Never on the event loop."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="x")))
        await listener.until(ended)
        assert fleet.workers()[worker].holds.ram == {"gpu"}


async def test_pin_and_unpin_are_inverses_and_holds_tells_them() -> None:
    """Known to whoever asks the fleet as soon as the call is over, also while attempts wait."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="x")))
        assert await fleet.pin(worker, AdapterUse("ink")) == "ink"
        assert isinstance(ended(listener.events)[0], Done), "after the attempt that was there before"
        assert fleet.workers()[worker].holds.pinned == {"ink"}
        await fleet.unpin(worker, "ink")
        assert fleet.workers()[worker].holds.pinned == frozenset()


async def test_a_pin_that_fails_raises_what_the_renderer_said(caplog: pytest.LogCaptureFixture) -> None:
    """An EngineError as it is, a defect as EngineFault; the worker goes on."""
    async with running() as (fleet, worker, _):
        with pytest.raises(AdapterNotFound, match="gone"):
            await fleet.pin(worker, AdapterUse("gone"))
        with pytest.raises(EngineFault, match="not your fault"):
            await fleet.pin(worker, AdapterUse("break"))
        assert await fleet.pin(worker, AdapterUse("ink")) == "ink"
    assert "ZeroDivisionError" in caplog.text


async def test_nobody_waits_for_a_pin_at_a_worker_that_is_gone() -> None:
    """Neither with an old id, nor when the fleet closes behind a long attempt."""
    async with running() as (fleet, worker, _):
        with pytest.raises(EngineFault, match="gone"):
            await fleet.pin(WorkerId("local-old"), AdapterUse("ink"))
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="wait")))
        waiting = asyncio.create_task(fleet.pin(worker, AdapterUse("ink")))
        await asyncio.sleep(0.02)
        await fleet.aclose()
        assert await waiting == "ink", "it was in the line before the end"
        with pytest.raises(EngineFault, match="gone"):
            await fleet.pin(worker, AdapterUse("ink"))


async def test_load_and_unload_are_inverses_between_two_attempts() -> None:
    """Holds tells of both; what is pinned is not unloaded, and what is not there makes no noise."""
    async with running() as (fleet, worker, listener):
        before = fleet.workers()[worker].holds
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="x")))
        assert await fleet.load(worker, AdapterUse("ink")) == "ink"
        assert isinstance(ended(listener.events)[0], Done), "after the attempt that was there before"
        assert "ink" in fleet.workers()[worker].holds.ram
        await fleet.unload(worker, "ink")
        await fleet.unload(worker, "ink")
        assert fleet.workers()[worker].holds == replace(before, ram=frozenset({"gpu"}))
        with pytest.raises(AdapterNotFound):
            await fleet.load(worker, AdapterUse("gone"))
        await fleet.pin(worker, AdapterUse("ink"))
        with pytest.raises(BadRequest, match="unpin"):
            await fleet.unload(worker, "ink")


async def test_a_model_is_added_and_removed_without_a_restart() -> None:
    """Inverses; the default one stays."""
    async with running() as (fleet, worker, _):
        await fleet.add_model(worker, "other", "owner/name")
        assert fleet.workers()[worker].holds.gpu == {("other", "owner/name")}
        await fleet.remove_model(worker, "other")
        assert fleet.workers()[worker].holds.gpu == frozenset()
        with pytest.raises(BadRequest, match="default"):
            await fleet.remove_model(worker, "fake")


@pytest.mark.parametrize("errand", ["load", "unload", "add_model", "remove_model"])
async def test_an_errand_to_a_worker_that_is_gone_is_answered(errand: str) -> None:
    async with running() as (fleet, _, _):
        arguments = {"load": (AdapterUse("ink"),), "add_model": ("a", "b")}.get(errand, ("a",))
        with pytest.raises(EngineFault, match="gone"):
            await getattr(fleet, errand)(WorkerId("local-old"), *arguments)


async def test_a_lost_device_ends_the_fleet_for_good() -> None:
    """Everything that was out is lost once, only one had begun, nobody is left to dispatch to, the reason is told."""
    async with running() as (fleet, worker, listener):
        for job, prompt in ("a", "x"), ("b", "lose"), ("c", "x"):
            await fleet.dispatch(worker, Attempt(job, 1, Request(prompt=prompt, steps=1)))
        async with asyncio.timeout(5):
            assert "graphics card" in await fleet.broken()
        await fleet.dispatch(worker, Attempt("d", 1, Request(prompt="x")))
        events = await listener.until(lambda events: len(ended(events)) == 4)
        assert fleet.workers() == {}
    assert isinstance(ended(events)[0], Done)
    assert ended(events)[1:] == [Lost("b", 1), Lost("c", 1, begun=False), Lost("d", 1, begun=False)]


async def test_a_thread_that_ends_in_any_way_is_no_silent_end(caplog: pytest.LogCaptureFixture) -> None:
    """Even an exit of the interpreter, asked for by a library, loses what was out and is told."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="exit")))
        await fleet.dispatch(worker, Attempt("b", 1, Request(prompt="x")))
        async with asyncio.timeout(5):
            assert "thread ended" in await fleet.broken()
        events = await listener.until(lambda events: len(ended(events)) == 2)
        assert fleet.workers() == {}
    assert ended(events) == [Lost("a", 1), Lost("b", 1, begun=False)]
    assert "SystemExit" in caplog.text


async def test_a_device_that_is_lost_while_an_adapter_is_pinned_ends_the_fleet_too() -> None:
    """Whoever waits for the pin hears it, and what is out is lost."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="slow", steps=2)))
        pinning = asyncio.create_task(fleet.pin(worker, AdapterUse("lose")))
        await asyncio.sleep(0.02)
        await fleet.dispatch(worker, Attempt("b", 1, Request(prompt="x")))
        with pytest.raises(DeviceLost):
            await pinning
        async with asyncio.timeout(5):
            assert "graphics card" in await fleet.broken()
        await listener.until(lambda events: len(ended(events)) == 2)
    assert ended(listener.events)[1] == Lost("b", 1, begun=False)


async def test_who_may_be_to_blame_crosses_the_seam_with_the_failure() -> None:
    """As values, beside the sentence."""
    async with running() as (fleet, worker, listener):
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="blame")))
        (event,) = ended(await listener.until(ended))
    conduct = (Conduct("ink", "ab" * 32, fault="It draws nothing."),)
    assert event == Failed("a", 1, "PictureBroken", "ink cannot be drawn with here.", conduct)


async def test_an_engine_that_hangs_is_given_up_and_what_it_says_later_counts_for_nothing() -> None:
    """Found soon after the time that a step may take; closing does not wait for it."""
    renderer = FakeRenderer(EngineConfig())
    fleet, listener = LocalFleet(EngineConfig(stall_seconds=0.2), make=lambda _: renderer), Listener()  # type: ignore[arg-type,return-value]
    await fleet.start(listener)
    await fleet.dispatch(next(iter(fleet.workers())), Attempt("a", 1, Request(prompt="hang", steps=4)))
    async with asyncio.timeout(5):
        assert "0.2 s" in await fleet.broken()
    assert ended(await listener.until(ended)) == [Lost("a", 1)]
    told = len(listener.events)
    renderer.go.set()
    await asyncio.sleep(0.05)
    await fleet.aclose()
    assert len(listener.events) == told


async def test_an_engine_that_is_slow_but_steps_is_left_alone() -> None:
    """Ten steps take longer together than one may, and waiting for work is no hanging."""
    renderer = FakeRenderer(EngineConfig())
    fleet, listener = LocalFleet(EngineConfig(stall_seconds=0.2), make=lambda _: renderer), Listener()  # type: ignore[arg-type,return-value]
    await fleet.start(listener)
    await asyncio.sleep(0.4)
    await fleet.dispatch(next(iter(fleet.workers())), Attempt("a", 1, Request(prompt="slow", steps=10)))
    assert isinstance(ended(await listener.until(ended))[0], Done)
    assert fleet.workers()
    await fleet.aclose()


async def test_a_model_that_cannot_be_loaded_is_told_at_start() -> None:
    """The error of the GPU thread comes out of `start`."""
    fleet = LocalFleet(EngineConfig(model="no such"))
    with pytest.raises(ModelNotFound):
        await fleet.start(Listener())
    await fleet.aclose()


async def test_two_fleets_never_share_a_worker_id() -> None:
    """A restarted worker is another worker."""
    async with running() as (_, one, _), running() as (_, two, _):
        assert one != two


async def test_closing_does_not_wait_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that looks up too late, and an errand: both are told of the end in time, and once."""
    monkeypatch.setattr("engine.thread.CLOSING", 0.2)
    renderer = FakeRenderer(EngineConfig())
    fleet, listener = LocalFleet(EngineConfig(), make=lambda _: renderer), Listener()  # type: ignore[arg-type,return-value]
    await fleet.start(listener)
    worker = next(iter(fleet.workers()))
    await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="hang", steps=4)))
    pinning = asyncio.create_task(fleet.pin(worker, AdapterUse("ink")))
    await listener.until(lambda events: len(events) == 2)
    async with asyncio.timeout(2):
        await fleet.aclose()
        with pytest.raises(EngineFault, match="gone"):
            await pinning
    assert ended(listener.events) == [Lost("a", 1)]
    assert fleet.workers() == {}
    renderer.go.set()
    await asyncio.sleep(0.05)
    assert ended(listener.events) == [Lost("a", 1)]


@asynccontextmanager
async def hanging(seconds: float) -> AsyncIterator[tuple[LocalFleet, WorkerId, FakeRenderer]]:
    """A fleet whose steps may take so long, with a renderer that hangs until its `go` is set."""
    renderer = FakeRenderer(EngineConfig())
    fleet = LocalFleet(EngineConfig(stall_seconds=seconds), make=lambda _: renderer)  # type: ignore[arg-type,return-value]
    await fleet.start(Listener())
    try:
        yield fleet, next(iter(fleet.workers())), renderer
    finally:
        renderer.go.set()
        await fleet.aclose()


async def test_an_errand_that_hangs_is_found_too() -> None:
    """It may take as long as a first step; then the engine is given up, and who waits for the errand hears it."""
    async with hanging(0.05) as (fleet, worker, _):
        pinning = asyncio.create_task(fleet.pin(worker, AdapterUse("hang")))
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(3):
            assert "0.5 s" in await fleet.broken()
        assert asyncio.get_running_loop().time() - begun > 0.4
        assert not await fleet.answers(worker, 0.05)
        async with asyncio.timeout(1):
            with pytest.raises(EngineFault, match="gone"):
                await pinning


async def test_a_worker_answers_while_it_is_idle_and_while_it_gets_on() -> None:
    """Not while nothing comes of what it is at, nor when it is gone."""
    async with hanging(0.2) as (fleet, worker, renderer):
        assert await fleet.answers(worker, 2.0)
        assert not await fleet.answers(WorkerId("local-old"), 2.0)
        await fleet.dispatch(worker, Attempt("a", 1, Request(prompt="slow", steps=8)))
        await asyncio.sleep(0.3)  # longer than one step may take
        assert await fleet.answers(worker, 0.01)
        pinning = asyncio.create_task(fleet.pin(worker, AdapterUse("hang")))
        await asyncio.sleep(0.5)
        assert not await fleet.answers(worker, 0.01)
        renderer.go.set()
        await pinning
        assert await fleet.answers(worker, 2.0)
        await fleet.aclose()
        assert not await fleet.answers(worker, 2.0)


async def test_a_worker_that_hangs_between_two_pieces_of_work_does_not_answer() -> None:
    """Nobody is waiting for anything, so only asking finds it."""
    async with hanging(0.05) as (fleet, worker, renderer):
        renderer.holds = lambda: Holds("fake" if renderer.go.wait(5) else "", "SD 1.5")  # type: ignore[method-assign]
        assert not await fleet.answers(worker, 0.1)
        async with asyncio.timeout(3):
            assert "0.5 s" in await fleet.broken()


async def test_whoever_cannot_be_told_of_events_is_not_left_waiting_for_them(caplog: pytest.LogCaptureFixture) -> None:
    """A defect in who listens ends the fleet for good, instead of every later event unheard."""

    async def listener(event: Event) -> None:
        raise ZeroDivisionError

    fleet = LocalFleet(EngineConfig(), make=FakeRenderer)  # type: ignore[arg-type]
    await fleet.start(listener)
    await fleet.dispatch(next(iter(fleet.workers())), Attempt("a", 1, Request(prompt="x")))
    async with asyncio.timeout(5):
        assert "cannot be told" in await fleet.broken()
        await fleet.aclose()
    assert "ZeroDivisionError" in caplog.text
