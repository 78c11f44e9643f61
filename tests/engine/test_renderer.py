"""The renderer: one request to pictures, with the real built-in model."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import (
    SAMPLERS,
    AdapterMismatch,
    AdapterNotFound,
    AdapterUse,
    Cancelled,
    EngineConfig,
    ImageUnreadable,
    ModelNotFound,
    ModelUnreadable,
    Progress,
    PromptError,
    Request,
    Result,
)
from engine.config import BUILTIN_FOLDER
from engine.renderer import Renderer

from .conftest import same, weights_of
from .files import write_kohya

FAST = Request(prompt="a red flower", seed=7, steps=4)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0.0001))


def draw(renderer: Renderer, request: Request) -> Result:
    return renderer.run(request, lambda progress: None, lambda: False)


def pixels(result: Result, index: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.pictures[index].png))).astype(int)


def test_the_same_request_gives_the_same_bytes(renderer: Renderer) -> None:
    """A seed is a picture."""
    assert draw(renderer, FAST).pictures[0].png == draw(renderer, FAST).pictures[0].png


def test_another_seed_gives_another_picture(renderer: Renderer) -> None:
    """And another seed is another one."""
    assert (pixels(draw(renderer, FAST)) != pixels(draw(renderer, replace(FAST, seed=8)))).any()


def test_a_plain_prompt_gives_the_pixels_of_diffusers_own_pipeline(renderer: Renderer, builtin: Any) -> None:
    """Our loop, conditioning and decoding against StableDiffusionPipeline.__call__, to the pixel."""
    request = replace(FAST, prompt="a house with a red roof, best quality", negative="blurry", steps=6, cfg=5.0)
    theirs = builtin(
        request.prompt,
        negative_prompt=request.negative,
        num_inference_steps=6,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    assert (pixels(draw(renderer, request)) == np.asarray(theirs).astype(int)).all()


def test_a_picture_does_not_depend_on_its_place_in_the_batch(renderer: Renderer) -> None:
    """Picture 2 of seed 7 is picture 1 of seed 8, to the byte of its pixels."""
    assert (pixels(draw(renderer, replace(FAST, count=2)), 1) == pixels(draw(renderer, replace(FAST, seed=8)))).all()


def test_a_tag_and_an_option_give_identical_pixels(renderer: Renderer) -> None:
    """<lora:ink:0.5> in the prompt is AdapterUse("ink", 0.5) beside it."""
    tag = draw(renderer, replace(FAST, prompt="a red flower <lora:ink:0.5>"))
    option = draw(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.5),)))
    assert tag.pictures == option.pictures
    assert (pixels(tag) != pixels(draw(renderer, FAST))).any()


def test_the_infotext_in_the_file_names_mix_seed_and_hashes(renderer: Renderer) -> None:
    """What the WebUI would show of this picture."""
    result = draw(renderer, replace(FAST, prompt="a red flower <lora:ink:0.5>", negative="blurry", count=2))
    stored = Image.open(io.BytesIO(result.pictures[1].png)).text["parameters"]
    assert stored == result.pictures[1].infotext
    first, second, fields = stored.split("\n")
    assert first == "a red flower <lora:ink:0.5>"
    assert second == "Negative prompt: blurry"
    assert "Steps: 4, Sampler: DDIM, Schedule type: Automatic, CFG scale: 4, Seed: 8, Size: 128x128, Model: builtin" in fields
    assert 'Lora hashes: "ink: ' in fields


def test_the_report_says_how_many_layers_of_how_many_were_applied(renderer: Renderer) -> None:
    """The built-in adapters fit whole."""
    assert str(draw(renderer, replace(FAST, adapters=(AdapterUse("ink"),))).reports[0]) == "ink: 204 of 204 layers"


@pytest.mark.slow
def test_both_ways_of_the_chapter_give_the_same_picture(renderer: Renderer) -> None:
    """diffusers + PEFT (load_lora_weights, set_adapters) and merged weights, for one and for two plain LoRA files."""
    peft = Renderer(EngineConfig(adapters="peft"))
    for mix in ((AdapterUse("ink", 0.5),), (AdapterUse("ink", 0.5), AdapterUse("light", 1.0)), ()):
        request = replace(FAST, adapters=mix)
        difference = np.abs(pixels(draw(renderer, request)) - pixels(draw(peft, request)))
        assert difference.max() <= 2, mix  # of 255: float32 sums in another order


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_a_picture(renderer: Renderer, sampler: str) -> None:
    """Finite, of the right size, and not one flat colour."""
    result = draw(renderer, replace(FAST, sampler=sampler, steps=6))
    assert pixels(result).shape == (128, 128, 3)
    assert pixels(result).std() > 5


def test_progress_counts_every_step_and_brings_previews(renderer: Renderer) -> None:
    """Steps 1 to n, previews as small JPEGs, none at the last step."""
    seen: list[Progress] = []
    renderer.run(FAST, seen.append, lambda: False)
    assert [p.step for p in seen] == [1, 2, 3, 4]
    assert seen[0].preview is not None
    assert Image.open(io.BytesIO(seen[0].preview)).size == (128, 128)
    assert seen[-1].preview is None


def test_cancelling_stops_between_steps(renderer: Renderer) -> None:
    """No step runs after the one during which it was cancelled."""
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        renderer.run(FAST, seen.append, lambda: len(seen) >= 2)
    assert len(seen) == 2


def test_size_cfg_and_seed_are_filled_in(renderer: Renderer) -> None:
    """The result says what was used, so that it can be drawn again."""
    used = draw(renderer, Request(prompt="a boat", steps=1)).request
    assert (used.width, used.height, used.cfg, used.model) == (128, 128, 4.0, "builtin")
    assert used.seed is not None


def test_other_sizes_are_drawn_in_that_size(renderer: Renderer) -> None:
    """Width and height reach the picture the right way round."""
    result = draw(renderer, replace(FAST, width=192, height=128))
    assert pixels(result).shape == (128, 192, 3)


def test_strength_says_how_much_of_a_sent_picture_stays(renderer: Renderer) -> None:
    """0 keeps it (up to the autoencoder), 0.3 stays nearer to it than 0.9."""
    buffer = io.BytesIO()
    Image.new("RGB", (150, 130), (200, 40, 40)).save(buffer, "PNG")
    sent = replace(FAST, image=buffer.getvalue(), steps=10)
    distances = [
        np.abs(pixels(draw(renderer, replace(sent, strength=s))) - np.array([200, 40, 40])).mean()
        for s in (0.0, 0.3, 0.9)
    ]
    assert distances[0] < 12
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n broken"])
def test_a_picture_that_is_none_is_refused(renderer: Renderer, data: bytes) -> None:
    """And the sentence says what is taken."""
    with pytest.raises(ImageUnreadable, match="PNG, JPEG and WebP"):
        draw(renderer, replace(FAST, image=data))


def test_a_picture_bomb_is_refused_before_it_is_decoded(renderer: Renderer) -> None:
    """The size is read from the header, not after allocating the pixels."""
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    with pytest.raises(ImageUnreadable):
        draw(renderer, replace(FAST, image=buffer.getvalue()))


def test_an_unknown_adapter_is_refused_with_near_names(renderer: Renderer) -> None:
    """A typo is answered with what was meant."""
    with pytest.raises(AdapterNotFound, match="Did you mean neon"):
        draw(renderer, replace(FAST, adapters=(AdapterUse("noen"),)))


def test_a_bad_tag_is_refused_by_itself(renderer: Renderer) -> None:
    """Never an image without the adapters that were asked for."""
    with pytest.raises(PromptError, match="abc"):
        draw(renderer, replace(FAST, prompt="a boat <lora:ink:abc>"))


def test_adapters_are_found_by_file_name_and_by_hash(tmp_path: Path, builtin: Any) -> None:
    """A folder of files works by stem in any case; a content-addressed one by hash."""
    layer = (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q",
        builtin.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight,
    )
    path = write_kohya(tmp_path / "Mine.safetensors", [layer], size=0.5)
    by_name = Renderer(EngineConfig(adapter_folders=(tmp_path,)))
    assert draw(by_name, replace(FAST, adapters=(AdapterUse("mine"),))).reports[0].applied == 1
    digest = by_name._adapter(AdapterUse("mine")).info.sha256
    home = tmp_path / "store" / digest[:2]
    home.mkdir(parents=True)
    path.rename(home / f"{digest}.safetensors")
    by_hash = Renderer(EngineConfig(adapter_folders=(tmp_path / "store",)))
    assert draw(by_hash, replace(FAST, adapters=(AdapterUse("any name", sha256=digest),))).reports[0].applied == 1
    assert by_hash.holds().gpu == {digest}


def test_a_failed_request_leaves_the_base_model_as_it_was(renderer: Renderer, tmp_path: Path) -> None:
    """After a mismatch the picture without adapters is the same to the byte."""
    before = draw(renderer, FAST).pictures[0].png
    layer = ("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q", torch.empty(99, 80))
    path = write_kohya(tmp_path / "wrong.safetensors", [layer])
    with pytest.raises(AdapterMismatch):
        draw(renderer, replace(FAST, adapters=(AdapterUse(str(path)),)))
    assert draw(renderer, FAST).pictures[0].png == before


def test_an_unknown_model_is_refused_and_the_old_one_goes_on(renderer: Renderer) -> None:
    """The sentence lists the names there are."""
    with pytest.raises(ModelNotFound, match="builtin"):
        draw(renderer, replace(FAST, model="dreams"))
    assert draw(renderer, FAST).pictures


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """At start, before anything is promised to anyone."""
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelUnreadable):
        Renderer(EngineConfig(models={"x": str(tmp_path)}, model="x"))
    with pytest.raises(ModelNotFound):
        Renderer(EngineConfig(models={"x": str(tmp_path / "none.safetensors")}, model="x"))


@pytest.mark.slow
def test_models_switch_and_switch_back() -> None:
    """A request names its model; going back gives the first one's pictures again."""
    renderer = Renderer(EngineConfig(models={"copy": str(BUILTIN_FOLDER / "model")}))
    first = draw(renderer, FAST)
    assert draw(renderer, replace(FAST, model="copy")).request.model == "copy"
    assert renderer.holds().model == "copy"
    assert draw(renderer, replace(FAST, model="builtin")).pictures[0].png == first.pictures[0].png


def test_prefetched_adapters_are_in_memory(renderer: Renderer) -> None:
    """And those that do not exist are left for the request that names them."""
    renderer.prefetch([AdapterUse("light"), AdapterUse("no such")])
    assert len(renderer.holds().ram) >= 1


def test_rendering_changes_no_weight_of_the_base(renderer: Renderer, builtin: Any) -> None:
    """After all of the above and an empty mix, the renderer's model equals a freshly loaded one bit for bit."""
    draw(renderer, FAST)
    assert same(weights_of(renderer._model.pipeline), weights_of(builtin))
