"""What the renderer does when the machine or an adapter fails: no other picture suffers, and the guilty are named."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import (
    DeviceLost,
    EngineConfig,
    EngineError,
    EngineFault,
    ModelError,
    OutOfMemory,
    PictureBroken,
    Progress,
    Request,
    Result,
)
from engine.pipeline.faults import out_of_memory as is_out_of_memory
from engine.pipeline.faults import sticky as is_sticky
from engine.pipeline.painting import SPARED, TILED
from engine.pipeline.vae import Vae, is_picture
from engine.renderer import Renderer
from engine.types import AdapterUse
from tests.faults import doors
from tests.faults.doors import Door, Slow, digest

FAST = Request(prompt="a red flower", seed=7, steps=4, width=64, height=64)
INK, LIGHT = AdapterUse("ink", 0.8), AdapterUse("light", 1.0)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0))


@pytest.fixture(scope="module")
def every_door(renderer: Renderer) -> dict[str, Door]:
    return {part: Door(renderer, part) for part in doors.PARTS}


@pytest.fixture
def door(every_door: dict[str, Door], renderer: Renderer) -> Iterator[Door]:
    """At the UNet; whatever a test arms, the picture after it is as ever, and the base model to the bit."""
    before = draw(renderer, FAST).pictures, digest(renderer)
    yield every_door["unet"]
    for one in every_door.values():
        one.disarm()
    assert draw(renderer, FAST).pictures == before[0]
    assert digest(renderer) == before[1]


def draw(renderer: Renderer, request: Request, seen: list[Progress] | None = None) -> Result:
    return renderer.run(request, (seen if seen is not None else []).append, lambda: False)


def failure(renderer: Renderer, request: Request) -> EngineError:
    with pytest.raises(EngineError) as caught:
        draw(renderer, request)
    return caught.value


@pytest.mark.parametrize("act", [doors.out_of_memory, doors.no_memory_on_the_cpu])
@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_memory_that_runs_out_once_costs_a_second_try(
    renderer: Renderer, door: Door, every_door: dict[str, Door], part: str, act: Any
) -> None:
    """In portions of one text of one picture, which is said; steps are counted anew, and the picture is the same."""
    request = replace(FAST, prompt=f"a boat, {part} {act.__name__}", count=2, adapters=(INK,))
    sizes: list[int] = []
    hook = renderer._model.pipeline.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    every_door[part].arm(act, skip=int(part == "unet"), times=1)
    seen: list[Progress] = []
    result = draw(renderer, request, seen)
    hook.remove()
    assert every_door[part].hits == 1
    assert result.remarks == (SPARED,)
    assert sizes[-16:] == [1] * 16
    assert [now.step for now in seen][-4:] == [1, 2, 3, 4]
    whole = draw(renderer, request)
    assert whole.remarks == ()
    for one, other in zip(result.pictures, whole.pictures, strict=True):
        assert np.abs(pixels(one.png) - pixels(other.png)).max() <= 1


def test_memory_that_stays_short_fails_this_job_alone(renderer: Renderer, door: Door) -> None:
    """With what to do; no adapter answers for the size of a picture, and all that could go has gone."""
    door.arm(doors.out_of_memory)
    error = failure(renderer, replace(FAST, adapters=(INK,)))
    assert isinstance(error, OutOfMemory)
    assert "smaller size" in str(error)
    assert error.conduct == ()
    assert door.hits == 2
    caches = renderer.holds().caches
    assert (caches["files"].resident, caches["factors"].resident) == (0, 1), "what the second try needed"


def test_memory_that_runs_out_while_a_picture_is_decoded_leads_to_tiles_and_that_is_said(
    renderer: Renderer, door: Door, every_door: dict[str, Door]
) -> None:
    """Whole first; in tiles only then, and the next one whole again."""
    every_door["vae"].arm(doors.out_of_memory, times=1)
    assert draw(renderer, FAST).remarks == (TILED,)
    assert draw(renderer, FAST).remarks == ()


@pytest.mark.parametrize("stage", ["_prepared", "_set_mix"])
def test_memory_that_runs_out_for_an_adapter_is_not_blamed_on_the_picture(
    renderer: Renderer, door: Door, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Where its factors do not fit, the adapter is suspected; where the mix does not, nobody."""
    ink = draw(renderer, replace(FAST, adapters=(INK,))).conduct[0].sha256

    def no_room(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(renderer, stage, no_room)
    error = failure(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.8, sha256=ink),)))
    assert isinstance(error, OutOfMemory)
    assert [one.sha256 for one in error.conduct] == ([ink] if stage == "_prepared" else [])


@pytest.mark.parametrize("part", ["text_encoder", "unet", "vae"])
def test_one_number_that_is_none_fails_the_picture_and_nobody_is_blamed_for_a_broken_base(
    renderer: Renderer, door: Door, every_door: dict[str, Door], part: str
) -> None:
    """Wherever it comes from; what the text encoder said then is not remembered."""
    every_door[part].arm(doors.not_a_number)
    error = failure(renderer, replace(FAST, prompt=f"nothing of the {part}", adapters=(INK,)))
    assert isinstance(error, PictureBroken)
    assert error.conduct == ()
    every_door[part].disarm()
    assert draw(renderer, replace(FAST, prompt=f"nothing of the {part}", adapters=(INK,))).pictures


def test_a_broken_picture_is_not_drawn_to_its_end(renderer: Renderer, door: Door) -> None:
    """The step after the one that broke it is the last."""
    door.arm(doors.not_a_number, skip=1)
    seen: list[Progress] = []
    with pytest.raises(PictureBroken):
        draw(renderer, replace(FAST, steps=12), seen)
    assert [now.step for now in seen] == [1, 2]


def test_the_adapter_that_breaks_the_picture_is_proven_guilty_and_the_others_are_not_listed(
    renderer: Renderer, door: Door
) -> None:
    """By drawing without any, and with each alone."""
    ink = draw(renderer, replace(FAST, adapters=(INK,))).conduct[0].sha256
    door.arm(doors.not_a_number, sha256=ink)
    error = failure(renderer, replace(FAST, adapters=(LIGHT, INK), count=2))
    assert isinstance(error, PictureBroken)
    assert str(error).startswith("ink cannot be drawn with here")
    assert [(one.name, one.sha256) for one in error.conduct] == [("ink", ink)]
    assert "without it" in error.conduct[0].fault


def test_an_adapter_that_breaks_only_at_weights_that_nobody_uses_is_not_to_blame(
    renderer: Renderer, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 1 it draws; what a member asked of it beyond is theirs."""
    monkeypatch.setattr(Door, "_is_merged", lambda self: any(abs(w.unet) > 1 for _, w in self.renderer._mix or []))
    door.arm(doors.not_a_number, sha256="any")
    error = failure(renderer, replace(FAST, adapters=(AdapterUse("ink", 6.0),)))
    assert isinstance(error, PictureBroken)
    assert "Other weights" in str(error)
    assert error.conduct == ()


def test_adapters_that_break_a_picture_only_together_are_suspected(
    renderer: Renderer, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is proven, so no fault is named."""
    monkeypatch.setattr(Door, "_is_merged", lambda self: len(self.renderer._mix or []) == 2)
    door.arm(doors.not_a_number, sha256="any")
    error = failure(renderer, replace(FAST, adapters=(INK, LIGHT)))
    assert [(one.name, one.fault) for one in error.conduct] == [("ink", ""), ("light", "")]


def test_an_adapter_is_suspected_of_a_defect_that_only_it_meets(renderer: Renderer, door: Door) -> None:
    """Any error that nobody foresaw, in words for a member. It proves nothing: the defect may be ours."""
    ink = draw(renderer, replace(FAST, adapters=(INK,))).conduct[0].sha256
    door.arm(doors.defect, sha256=ink)
    error = failure(renderer, replace(FAST, adapters=(LIGHT, INK)))
    assert type(error) is EngineFault
    assert "not your fault" in str(error)
    assert [(one.name, one.fault) for one in error.conduct] == [("ink", "")]
    door.arm(doors.defect)
    assert failure(renderer, replace(FAST, adapters=(INK,))).conduct == ()


def test_a_slow_adapter_is_proven_slow_and_a_slow_machine_blames_nobody(renderer: Renderer, door: Door) -> None:
    """More than twice the time of the same drawing without it, measured again there and then."""
    request = replace(FAST, steps=5)
    draw(renderer, request)
    ink = draw(renderer, replace(request, adapters=(INK,))).conduct[0].sha256
    door.arm(Slow(0.25), sha256=ink)
    light, found = draw(renderer, replace(request, adapters=(LIGHT, INK))).conduct
    assert (light.name, light.fault) == ("light", "")
    assert "times what they take without" in found.fault
    assert found.seconds_per_step > 2 * found.base_seconds_per_step > 0
    door.arm(Slow(0.25))
    (again,) = draw(renderer, replace(request, adapters=(INK,))).conduct
    assert (again.fault, again.seconds_per_step > 0.25) == ("", True)


def test_a_sticky_fault_is_a_lost_device_wherever_it_comes(
    renderer: Renderer, door: Door, every_door: dict[str, Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one for a second try, nor for a trial; also when an adapter is pinned."""
    for one in every_door.values():
        one.arm(doors.sticky, times=1)
        assert isinstance(failure(renderer, replace(FAST, prompt=f"a {one.part}", adapters=(INK,))), DeviceLost)
        assert one.hits == 1
    monkeypatch.setattr(renderer._model.mixer, "prepare", lambda adapter: doors.sticky(torch.ones(1)))
    with pytest.raises(DeviceLost):
        renderer.pin(INK)


def test_what_pytorch_says_of_memory_is_told_from_what_only_a_new_process_mends() -> None:
    """CUDA's "out of memory" is an error of CUDA and yet not sticky."""
    memory = ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
    broken = ["CUDA error: device-side assert triggered", "CUDA error: an illegal memory access was encountered"]
    for words in memory:
        assert (is_out_of_memory(RuntimeError(words)), is_sticky(RuntimeError(words))) == (True, False)
    for words in broken:
        assert (is_out_of_memory(RuntimeError(words)), is_sticky(RuntimeError(words))) == (False, True)
    assert is_out_of_memory(MemoryError())
    assert not is_sticky(RuntimeError("mat1 and mat2"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_where_no_base_model_can_be_loaded_any_more_only_a_new_process_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model that cannot be loaded is refused and the old one is back; without that one nothing can be drawn."""
    own = Renderer(EngineConfig(preview_every=0, models={"gone": str(tmp_path / "gone.safetensors")}))
    before = draw(own, FAST).pictures
    with pytest.raises(ModelError):
        draw(own, replace(FAST, model="gone"))
    assert draw(own, FAST).pictures == before
    monkeypatch.setattr(own, "_load", lambda name: doors.defect(torch.ones(1)))
    with pytest.raises(DeviceLost, match="No base model"):
        draw(own, replace(FAST, model="gone"))


def test_a_decoder_that_gives_one_flat_colour_is_broken_and_a_flat_picture_is_not(builtin: Any) -> None:
    """A white wall, decoded, is not white to the last bit; a night that is black once clamped is near it."""
    flat = torch.full((1, 3, 64, 64), -1.0)
    assert not is_picture(flat)
    assert not is_picture(torch.full((1, 3, 64, 64), 0.25))
    assert not is_picture(flat * float("nan"))
    night = flat - torch.rand(1, 3, 64, 64) * 0.2
    assert is_picture(night)
    assert not is_picture(night * 1000)
    one_red_pixel = flat.clone()
    one_red_pixel[0, 0, 0, 0] = 1.0
    assert is_picture(one_red_pixel)
    vae = Vae(builtin.vae)
    for level in (-1.0, 0.0, 1.0):
        latents = vae.encode(torch.full((1, 3, 64, 64), level), torch.Generator().manual_seed(0))
        assert vae.decode(latents).size == (64, 64)
    assert vae.decode(torch.zeros(1, 4, 8, 8)).size == (64, 64)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_uniform_picture_that_was_asked_for_is_drawn(renderer: Renderer, grey: int) -> None:
    """Sent along and kept, whole or by a mask: black stays black."""
    sent, mask = (png(Image.new("L", (64, 64), level)) for level in (grey, 0))
    kept = replace(FAST, image=sent, mask=mask, strength=0.5, mask_blur=0)
    assert (pixels(draw(renderer, kept).pictures[0].png) == grey).all()
    assert draw(renderer, replace(FAST, image=sent, strength=0.0)).pictures


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
