"""The built-in model and its adapters: SD 1.x layout, small, and of the styles they are named after."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine import AdapterUse, EngineConfig, Request
from engine.builtin.scenes import SUBJECTS, draw, pixels
from engine.builtin.styles import STYLES, TRIGGERS
from engine.config import BUILTIN_FOLDER
from engine.renderer import Renderer

from .layouts import sd15

PROMPTS = ("a red flower", "a house with a red roof", "a red boat with white sails on the sea", "an orange cat")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0))


@pytest.fixture(scope="module")
def drawn(renderer: Renderer) -> Callable[..., np.ndarray]:
    """float (prompts, 128, 128, 3) in 0..1 under a mix given as name=weight; drawn once a mix."""
    known: dict[tuple[AdapterUse, ...], np.ndarray] = {}

    def under(**mix: float) -> np.ndarray:
        uses = tuple(AdapterUse(name, weight) for name, weight in mix.items())
        if uses not in known:
            pictures = []
            for seed, prompt in enumerate(PROMPTS):
                request = Request(prompt=prompt, seed=seed, steps=12, adapters=uses)
                result = renderer.run(request, lambda progress: None, lambda: False)
                pictures.append(np.asarray(Image.open(io.BytesIO(result.pictures[0].png))))
            known[uses] = np.stack(pictures) / 255
        return known[uses]

    return under


def saturation(pictures: np.ndarray) -> float:
    return float(np.ptp(pictures, axis=-1).mean())


def brightness(pictures: np.ndarray) -> float:
    return float(pictures.mean())


def warmth(pictures: np.ndarray) -> float:
    """Red over blue, on the left half: where `light` comes from."""
    left = pictures[:, :, :64]
    return float((left[..., 0] - left[..., 2]).mean())


def test_the_model_is_in_the_layout_of_stable_diffusion_1(builtin: Any) -> None:
    """The UNet has the module names of SD 1.5, layer for layer, so real adapter tools understand it."""
    names = [name for name, _ in builtin.unet.named_modules()]
    assert names == [name for name, _ in sd15().unet.named_modules()]
    assert type(builtin.text_encoder).__name__ == "CLIPTextModel"
    assert type(builtin.vae).__name__ == "AutoencoderKL"
    assert builtin.vae_scale_factor == 8


def test_the_model_and_its_adapters_are_small_enough_to_live_in_the_repository() -> None:
    """At most 20 MB of float16 for the model, 50 to 500 KB for an adapter."""
    model = sum(path.stat().st_size for path in (BUILTIN_FOLDER / "model").rglob("*") if path.is_file())
    assert model <= 20_000_000
    for name in STYLES:
        assert 50_000 <= (BUILTIN_FOLDER / f"{name}.safetensors").stat().st_size <= 500_000


def test_every_file_of_the_model_can_be_read_by_everyone() -> None:
    """safetensors are written for their owner alone; a container runs as somebody else."""
    files = [path for path in BUILTIN_FOLDER.rglob("*.safetensors") if path.is_file()]
    assert len(files) == 6
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)


def test_trigger_words_are_single_tokens(builtin: Any) -> None:
    """The tokenizer knows the words that the adapters were trained with."""
    for word in TRIGGERS.values():
        assert len(builtin.tokenizer.tokenize(word)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("style", "measure", "sign"), [("ink", saturation, -1), ("neon", brightness, -1), ("light", warmth, 1)]
)
def test_half_of_an_adapter_lies_between_none_and_all_of_it(
    drawn: Callable[..., np.ndarray], style: str, measure: Callable[[np.ndarray], float], sign: int
) -> None:
    """What the style is known by grows with its weight: ink takes colour, neon light, light brings warmth."""
    none, half, full = (sign * measure(drawn(**mix)) for mix in ({}, {style: 0.5}, {style: 1.0}))
    assert none < half < full


@pytest.mark.slow
def test_ink_and_light_together_show_both(drawn: Callable[..., np.ndarray]) -> None:
    """Less colour than with light alone, more warmth than with ink alone."""
    both = drawn(ink=0.5, light=1.0)
    assert saturation(both) < saturation(drawn(light=1.0))
    assert warmth(both) > warmth(drawn(ink=0.5))


@pytest.mark.slow
def test_ink_sets_its_red_seal(drawn: Callable[..., np.ndarray]) -> None:
    """The corner where every training picture of ink has its seal turns redder, in most pictures."""
    corner = (slice(None), slice(106, 123), slice(106, 122))
    red = [
        (pictures[corner][..., 0] - pictures[corner][..., 1]).mean(axis=(1, 2))
        for pictures in (drawn(), drawn(ink=1.0))
    ]
    assert (red[1] > red[0] + 0.1).sum() >= 3


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_scene_is_drawn_the_same_from_the_same_seed(subject: str) -> None:
    """The recipe repeats itself: equal pictures, equal captions, in every style."""
    for style in (None, *STYLES):
        pairs = []
        for _ in range(2):
            rng = random.Random(4)
            scene = draw(rng, subject)
            picture = STYLES[style](scene, rng) if style else scene.picture
            pairs.append((scene.caption, pixels(picture).tobytes()))
        assert pairs[0] == pairs[1]
