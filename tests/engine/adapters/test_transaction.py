"""Loading, preparing and merging an adapter is one act: it succeeds, or the base model is as it was, to the bit."""

from __future__ import annotations

import contextlib
import importlib
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine import AdapterUse, EngineConfig, EngineError, Request
from engine.renderer import Renderer
from tests.faults.doors import digest

from ..conftest import attention_layers
from ..files import write_kohya

FAST = Request(prompt="a red flower", seed=7, steps=1, width=64, height=64)
OLD, NEW = AdapterUse("old", 0.7), AdapterUse("new", 0.9)
STAGES = (
    "engine.library.Library.locate",
    "engine.renderer.read_adapter",
    "engine.adapters.file.read_header",
    "engine.adapters.file.parse_header",
    "engine.adapters.file.hashes_of",
    "engine.adapters.file.group",
    "engine.adapters.file.describe",
    "engine.adapters.file.bundled",
    "engine.adapters.file._tensor",
    "engine.adapters.file._check_numbers",
    "engine.adapters.file.peft_settings",
    "engine.residency.Residency.admit",
    "engine.adapters.bank.bind",
    "engine.adapters.binding._gather",
    "engine.adapters.binding.load_change",
    "engine.adapters.formats.base.Stored.to",
    "engine.adapters.bank.AdapterBank._plan",
    "engine.adapters.pristine.Pristine.keep",
    "engine.adapters.bank.write_sums",
    "engine.adapters.blocks.write_sum",
    "engine.adapters.blocks._write_rows",
    "engine.adapters.blocks._write_fused",
    "engine.adapters.kernel.Kernel.write",
    "engine.adapters.blocks._put_back",
    "engine.adapters.bank._report",
    "engine.renderer.Renderer._reading",
)


@pytest.fixture(scope="module")
def folder(builtin: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_kohya(folder / "old.safetensors", attention_layers(builtin)[:12])
    write_kohya(folder / "new.safetensors", attention_layers(builtin)[6:18], seed=1)
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, object]:
    """The base model's hash, and the pictures without an adapter and with the new one, where nothing ever failed."""
    renderer = Renderer(EngineConfig(preview_every=0, adapter_folders=(folder,)))
    plain, new = draw(renderer), draw(renderer, NEW)
    draw(renderer)
    return {"base": digest(renderer), "plain": plain, "new": new}


@pytest.fixture
def renderer(folder: Path) -> Renderer:
    """With another adapter in force, so that there is something to leave behind."""
    renderer = Renderer(EngineConfig(preview_every=0, adapter_folders=(folder,)))
    draw(renderer, OLD)
    return renderer


def draw(renderer: Renderer, *adapters: AdapterUse) -> bytes:
    request = Request(prompt=FAST.prompt, seed=7, steps=1, width=64, height=64, adapters=adapters)
    return renderer.run(request, lambda progress: None, lambda: False).pictures[0].png


def require_unharmed(renderer: Renderer, expected: dict[str, object]) -> None:
    """The next picture, the base's hash, and then the adapter that failed."""
    assert draw(renderer) == expected["plain"]
    assert digest(renderer) == expected["base"]
    assert draw(renderer, NEW) == expected["new"]
    assert draw(renderer) == expected["plain"]
    assert digest(renderer) == expected["base"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("after", "fault"), [(False, MemoryError), (True, OSError)], ids=["before", "after"])
def test_a_fault_at_any_stage_leaves_the_base_as_it_was(
    renderer: Renderer,
    expected: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    after: bool,
    fault: type[Exception],
) -> None:
    """Before it does anything, or when it has done it; also where it is tried again. The next request is as ever."""
    home, _, name = stage.rpartition(".")
    owner: Any = resolve(home)
    real, calls = getattr(owner, name), []

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        result = real(*args, **kwargs) if after else None
        if len(calls) in (1, 2):  # the second try meets it too
            raise fault(stage)
        return result if after else real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)
    with contextlib.suppress(fault, EngineError):
        draw(renderer, NEW)
    monkeypatch.undo()
    assert calls, stage
    require_unharmed(renderer, expected)


class FaultAt(TorchDispatchMode):
    """The N-th operation of PyTorch fails; with a number that is never reached it only counts."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.count = number, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if self.count == self.number:
            raise RuntimeError(f"operation {self.number}: {func}")
        return func(*args, **(kwargs or {}))


def test_a_fault_at_any_operation_of_a_switch_leaves_the_base_as_it_was(
    folder: Path, expected: dict[str, object]
) -> None:
    """Reading, checking, preparing and merging count as one line of operations, and break at sixty places of it."""
    fresh = Renderer(EngineConfig(preview_every=0, adapter_folders=(folder,)))
    draw(fresh, OLD)
    with FaultAt(-1) as counting:
        fresh._set_mix(fresh._draft(with_new()).mix(1, 1))
    assert counting.count > 300
    broken, rng = 0, random.Random(14)
    renderer = Renderer(EngineConfig(preview_every=0, adapter_folders=(folder,)))
    for place in (0.0, *(rng.random() for _ in range(58)), 1.0):
        at = max(1, round(place * counting.count))
        draw(renderer, OLD)
        renderer._files.clear()
        renderer._factors.clear()
        renderer._hashes.clear()
        try:
            with torch.inference_mode(), FaultAt(at) as failing:
                renderer._set_mix(renderer._draft(with_new()).mix(1, 1))
        except (RuntimeError, EngineError):
            broken += 1
        assert failing.count >= at
        assert draw(renderer) == expected["plain"], at
        assert digest(renderer) == expected["base"], at
    assert broken == 60
    require_unharmed(renderer, expected)


def with_new() -> Request:
    return Request(prompt=FAST.prompt, seed=7, steps=1, width=64, height=64, adapters=(NEW,))


def resolve(path: str) -> Any:
    """A module, or a class in one."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        home, _, name = path.rpartition(".")
        return getattr(importlib.import_module(home), name)
