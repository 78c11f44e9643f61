"""Hires fix: how latents grow, and how many steps the second pass has."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from engine import UPSCALERS, BadRequest, Hires, Request
from engine.pipeline.hires import enlarged, second_schedule
from engine.pipeline.vae import Vae


@pytest.mark.parametrize("upscaler", UPSCALERS)
def test_every_upscaler_gives_latents_of_the_new_size(builtin: Any, upscaler: str) -> None:
    """Whatever it works on."""
    latents = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    larger = enlarged(latents, Hires(upscaler=upscaler), (144, 96), Vae(builtin.vae), torch.Generator())
    assert larger.shape == (1, 4, 12, 18)
    assert larger.isfinite().all()


def test_latent_upscalers_are_torchs_interpolations(builtin: Any) -> None:
    """By the WebUI's names."""
    latents = torch.randn(1, 4, 8, 8)
    for name, mode in (("Latent", "bilinear"), ("Latent (bicubic)", "bicubic"), ("Latent (nearest)", "nearest")):
        made = enlarged(latents, Hires(upscaler=name), (128, 128), Vae(builtin.vae), torch.Generator())
        assert torch.equal(made, F.interpolate(latents, size=(16, 16), mode=mode))


def test_the_second_pass_does_all_its_steps() -> None:
    """As the WebUI: strength lengthens the schedule that they end, and never shortens the pass."""
    assert second_schedule(Hires(strength=0.7, steps=14), 20) == (20, 14)
    assert second_schedule(Hires(strength=0.5), 20) == (40, 20)
    assert second_schedule(Hires(strength=1.0), 20) == (20, 20)
    assert second_schedule(Hires(strength=0.0), 20) == (1, 0)


def test_sides_are_whole_latent_cells() -> None:
    """Rounded down, as the WebUI does."""
    assert Hires(1.5).side(512) == 768
    assert Hires(1.3).side(512) == 664
    assert Hires(2).side(1024) == 2048


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hires": Hires(2), "width": 1088}, "1088 pixels 2176; 2048 is the most"),
        ({"hires": Hires(2), "image": b"x", "mask": b"x"}, "use one of them"),
        ({"mask": b"x"}, "needs the picture"),
    ],
)
def test_what_cannot_be_drawn_is_refused_when_it_is_asked_for(fields: dict[str, Any], words: str) -> None:
    """Before anything is recorded."""
    with pytest.raises(BadRequest, match=words):
        Request(prompt="a", **fields)


def test_an_upscaler_that_needs_weights_is_refused_with_those_that_do_not() -> None:
    """There is no ESRGAN here, and the sentence says what there is."""
    with pytest.raises(BadRequest, match=r"R-ESRGAN 4x\+.*Latent \(nearest-exact\), Lanczos, Nearest"):
        Hires(upscaler="R-ESRGAN 4x+")
