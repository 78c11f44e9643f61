"""Previews by one matrix."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from engine.pipeline.preview import preview


@pytest.mark.parametrize(("cells", "size"), [((16, 16), (128, 128)), ((64, 96), (192, 128)), ((128, 128), (256, 256))])
def test_a_preview_is_small_and_has_the_pictures_shape(cells: tuple[int, int], size: tuple[int, int]) -> None:
    """At most 256 pixels, at most what the VAE would give; only the first row is shown."""
    image = Image.open(io.BytesIO(preview(torch.randn(2, 4, *cells), "SDXL")))
    assert image.size == size
    assert image.format == "JPEG"


@pytest.mark.parametrize("family", ["SD 1.5", "SD 2", "SDXL", "built-in", "width 5"])
def test_no_latents_break_a_preview(family: str) -> None:
    """Noise of the first steps of Euler, infinity, NaN, halves."""
    for latents in (
        torch.randn(1, 4, 8, 8) * 15,
        torch.full((1, 4, 8, 8), float("nan")),
        torch.ones(1, 4, 8, 8).half(),
    ):
        assert Image.open(io.BytesIO(preview(latents, family))).size == (64, 64)


def test_the_published_factors_give_the_published_colours() -> None:
    """SD 1.x: the second channel lights up, the fourth takes blue away; 0 is grey."""

    def colour(*latent: float) -> np.ndarray:
        small = Image.open(io.BytesIO(preview(torch.tensor(latent).view(1, 4, 1, 1).expand(1, 4, 8, 8), "SD 1.5")))
        return np.asarray(small)[32, 32].astype(int)

    assert abs(colour(0, 0, 0, 0) - 128).max() <= 2
    assert (colour(0, 1, 0, 0) > 150).all()
    assert colour(0, 0, 0, 1)[2] < colour(0, 0, 0, 1)[0] - 40
