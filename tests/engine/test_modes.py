"""Ways of drawing: inpainting, hires fix, batches, VAEs, grids, with the real built-in model."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image, ImageDraw

from engine import (
    AdapterUse,
    Axis,
    Cancelled,
    EngineConfig,
    Grid,
    Hires,
    ModelNotFound,
    PictureBroken,
    Progress,
    Request,
    Result,
    read_axis,
)
from engine.config import BUILTIN_FOLDER
from engine.pipeline.inpaint import blurred
from engine.renderer import Renderer

FAST = Request(prompt="a red flower", seed=7, steps=4)
OWN_VAE = BUILTIN_FOLDER / "model" / "vae"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0, vaes={"own": str(OWN_VAE), "gone": "nowhere.safetensors"}))


def draw(renderer: Renderer, request: Request, seen: list[Progress] | None = None) -> Result:
    return renderer.run(request, (seen if seen is not None else []).append, lambda: False)


def pixels(result: Result, index: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.pictures[index].png))).astype(int)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def disc() -> Image.Image:
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).ellipse((40, 40, 100, 100), fill=255)
    return mask


@pytest.fixture(scope="module")
def inpainting(renderer: Renderer) -> Request:
    """A red flower, of which the middle is to become something else."""
    sent = draw(renderer, FAST).pictures[0].png
    return replace(FAST, prompt="a blue sky", image=sent, mask=png(disc()), strength=0.9, steps=6)


slow = pytest.mark.slow


@pytest.mark.parametrize("sampler", ["DDIM", *(pytest.param(s, marks=slow) for s in ("Euler a", "UniPC", "Heun"))])
def test_outside_the_mask_every_pixel_stays(renderer: Renderer, inpainting: Request, sampler: str) -> None:
    """Whatever the sampler; inside there is something new, and no seam of noise where the two meet."""
    before, after = pixels(draw(renderer, FAST)), pixels(draw(renderer, replace(inpainting, sampler=sampler)))
    soft = np.asarray(blurred(disc(), inpainting.mask_blur))
    assert (before == after)[soft == 0].all()
    assert (soft == 0).mean() > 0.5
    assert abs(before - after)[soft == 255].mean() > 15
    edge = abs(before - after)[(soft > 0) & (soft < 60)].mean()
    assert edge < abs(before - after)[soft == 255].mean()


@pytest.mark.slow
def test_a_black_mask_keeps_the_whole_picture_and_a_white_one_nothing(renderer: Renderer, inpainting: Request) -> None:
    """The two ends: the picture as sent, and image to image."""
    kept = draw(renderer, replace(inpainting, mask=png(Image.new("L", (128, 128), 0))))
    assert (pixels(kept) == pixels(draw(renderer, FAST))).all()
    free = draw(renderer, replace(inpainting, mask=png(Image.new("L", (128, 128), 255))))
    assert (pixels(free) == pixels(draw(renderer, replace(inpainting, mask=None)))).all()


@pytest.mark.slow
def test_a_model_made_for_inpainting_is_told_the_mask(renderer: Renderer, inpainting: Request, tmp_path: Path) -> None:
    """Nine channels into the UNet. With nothing learned of the new five it draws as before, with something not."""
    base = renderer._model.pipeline
    unet = type(base.unet).from_config({**base.unet.config, "in_channels": 9})
    state = base.unet.state_dict()
    state["conv_in.weight"] = torch.cat(
        [state["conv_in.weight"], torch.zeros_like(state["conv_in.weight"])[:, [0] * 5]], 1
    )
    unet.load_state_dict(state)
    parts = {name: part for name, part in base.components.items() if name != "unet"}
    inpaint = StableDiffusionInpaintPipeline(**parts, unet=unet, requires_safety_checker=False)
    inpaint.save_pretrained(tmp_path)
    nine = Renderer(EngineConfig(models={"nine": str(tmp_path)}, model="nine", preview_every=0))
    for request in (inpainting, FAST):
        assert (pixels(draw(nine, request)) == pixels(draw(renderer, request))).all()
    with torch.no_grad():
        nine._model.pipeline.unet.conv_in.weight[:, 4:].normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    assert (pixels(draw(nine, inpainting)) != pixels(draw(renderer, inpainting))).any()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["image", "mask", "hires"])
def test_a_picture_is_the_same_wherever_it_stood_in_its_batch(
    renderer: Renderer, inpainting: Request, way: str
) -> None:
    """Picture 2 of seed 7 is picture 1 of seed 8, in every way of drawing."""
    request = {
        "image": replace(inpainting, mask=None),
        "mask": inpainting,
        "hires": replace(FAST, hires=Hires(1.5, steps=2, upscaler="Lanczos")),
    }[way]
    second = pixels(draw(renderer, replace(request, count=2)), 1)
    assert (second == pixels(draw(renderer, replace(request, seed=8)))).all()
    assert (second != pixels(draw(renderer, request))).any()


def test_hires_fix_draws_larger_what_the_first_pass_drew(renderer: Renderer) -> None:
    """At strength 0 it is only enlarged; progress counts both passes."""
    small = Image.open(io.BytesIO(draw(renderer, FAST).pictures[0].png))
    seen: list[Progress] = []
    drawn = draw(renderer, replace(FAST, hires=Hires(1.5, strength=0.4, steps=2)), seen)
    assert (drawn.pictures[0].width, drawn.pictures[0].height) == (192, 192)
    assert (drawn.request.width, drawn.request.height) == (128, 128)
    assert [(p.step, p.steps) for p in seen] == [(step, 6) for step in range(1, 7)]
    only = pixels(draw(renderer, replace(FAST, hires=Hires(1.5, strength=0, upscaler="Lanczos"))))
    enlarged = np.asarray(small.resize((192, 192), Image.Resampling.LANCZOS)).astype(int)
    assert abs(only - enlarged).mean() < 8


@pytest.mark.slow
def test_a_prompt_that_changes_stays_in_the_second_pass_what_it_became(renderer: Renderer) -> None:
    """[a:b:0.5] is b there, from its first step on."""
    hires = Hires(1.5, strength=0.9, steps=2)
    edited = draw(renderer, replace(FAST, prompt="a [red:blue:0.99] flower", hires=hires))
    plain = draw(renderer, replace(FAST, hires=hires))
    assert abs(pixels(edited) - pixels(plain)).mean() > 3


@pytest.mark.slow
@pytest.mark.parametrize("field", ["prompt", "negative"])
def test_a_prompt_goes_on_changing_in_the_second_pass(renderer: Renderer, field: str) -> None:
    """1.5 is the middle of its 2 steps, and so is 5 after the 4 steps of the first: neither all red nor all blue."""
    request = replace(FAST, hires=Hires(1.5, strength=0.9, steps=2))
    red, blue, *middle = (
        pixels(draw(renderer, replace(request, **{field: f"a [red:blue:{when}] flower"})))
        for when in ("9", "4", "1.5", "5")
    )
    assert (middle[0] == middle[1]).all()
    assert abs(middle[0] - red).mean() > 1
    assert abs(middle[0] - blue).mean() > 1


def test_another_vae_decodes_without_touching_the_rest(renderer: Renderer) -> None:
    """The model's own under another name gives the same picture, is loaded once, and the weights are the model's."""
    before = draw(renderer, FAST)
    assert (pixels(draw(renderer, replace(FAST, vae="own"))) == pixels(before)).all()
    loaded = renderer._model.vaes["own"]
    with torch.no_grad():
        loaded.module.decoder.conv_out.bias += 0.5
    assert (pixels(draw(renderer, replace(FAST, vae="own"))) != pixels(before)).any()
    assert renderer._model.vaes["own"] is loaded
    assert (pixels(draw(renderer, FAST)) == pixels(before)).all()


def test_a_vae_that_is_not_there_is_refused_by_name(renderer: Renderer) -> None:
    """Unknown to the configuration, or known and missing."""
    with pytest.raises(ModelNotFound, match=r"'dreams'.*own, gone"):
        draw(renderer, replace(FAST, vae="dreams"))
    with pytest.raises(ModelNotFound, match="nowhere"):
        draw(renderer, replace(FAST, vae="gone"))


def test_a_model_that_gives_no_numbers_fails_with_a_sentence(builtin: Any) -> None:
    """NaN in the UNet, and no black picture."""
    broken = Renderer(EngineConfig(preview_every=0.0001))
    unet = broken._model.pipeline.unet
    bias = copy.deepcopy(unet.conv_out.bias.data)
    unet.conv_out.bias.data.fill_(float("nan"))
    with pytest.raises(PictureBroken, match="no numbers"):
        draw(broken, FAST)
    unet.conv_out.bias.data.copy_(bias)
    assert draw(broken, FAST).pictures


def test_every_cell_of_a_grid_is_the_picture_that_its_request_draws(renderer: Renderer) -> None:
    """To the byte; kept cells follow the sheet, whose file says the axes and what each cell is."""
    grid = Grid(read_axis("weight ink: 0-1 [2]"), read_axis("seed: 7-8"), keep=True)
    seen: list[Progress] = []
    result = draw(renderer, replace(FAST, steps=2, grid=grid), seen)
    sheet, *cells = result.pictures
    assert len(cells) == 4
    for cell, request in zip(cells, grid.cells(result.request), strict=True):
        assert cell == draw(renderer, request).pictures[0]
    assert [(p.step, p.steps) for p in seen] == [(step, 8) for step in range(1, 9)]
    stored = Image.open(io.BytesIO(sheet.png))
    assert stored.text["parameters"] == sheet.infotext
    assert 'X Type: weight ink, X Values: "0, 1", Y Type: seed, Y Values: "7, 8"' in sheet.infotext
    assert json.loads(stored.text["cells"]) == [cell.infotext for cell in cells]
    assert [report.name for report in result.reports] == ["ink"]
    assert stored.width > 2 * 128


def test_a_grid_without_a_seed_draws_all_cells_from_the_same_one(renderer: Renderer) -> None:
    """Or the axes would not be what makes the difference. Without `keep` the sheet comes alone."""
    grid = Grid(Axis("steps", (1, 2)))
    result = draw(renderer, replace(FAST, seed=None, grid=grid))
    assert len(result.pictures) == 1
    assert {cell.seed for cell in grid.cells(result.request)} == {result.request.seed}
    assert result.request.seed is not None


def test_a_grid_stops_between_steps_like_everything(renderer: Renderer) -> None:
    """Also in the middle of its cells."""
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        renderer.run(replace(FAST, steps=1, grid=Grid(read_axis("seed: 1-9"))), seen.append, lambda: len(seen) >= 3)
    assert len(seen) == 3


def test_adapters_of_a_file_work_in_a_grid(renderer: Renderer) -> None:
    """By path, as a script may name them; the sheet shows the name alone."""
    path = str(BUILTIN_FOLDER / "ink.safetensors")
    result = draw(
        renderer, replace(FAST, steps=1, adapters=(AdapterUse(path, 0.5),), grid=Grid(read_axis("seed: 1-2")))
    )
    assert result.request.adapters == (AdapterUse("ink", 0.5),)
    assert path not in result.pictures[0].infotext
