"""The renderer: one request to pictures, with the real built-in model."""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine import (
    SAMPLERS,
    AdapterMismatch,
    AdapterNotFound,
    AdapterUnsupported,
    AdapterUse,
    Axis,
    BadRequest,
    Cancelled,
    EngineConfig,
    Grid,
    Hires,
    ImageUnreadable,
    ModelNotFound,
    ModelUnreadable,
    Progress,
    PromptError,
    Request,
    Result,
    builtin_adapter,
    read_picture,
)
from engine.adapters.file import read_adapter
from engine.config import BUILTIN_FOLDER
from engine.pipeline.load import load_pipeline
from engine.renderer import Renderer
from engine.strength import PRESETS

from .checkpoint import write_checkpoint
from .conftest import attention_layers, same, weights_of
from .files import write_kohya

FAST = Request(prompt="a red flower", seed=7, steps=4)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(EngineConfig(preview_every=0.0001))


def draw(renderer: Renderer, request: Request) -> Result:
    return renderer.run(request, lambda progress: None, lambda: False)


def pixels(result: Result, index: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.pictures[index].png))).astype(int)


def test_what_a_model_is_said_to_predict_counts(renderer: Renderer) -> None:
    """The built-in model predicts velocities: told so it draws what it always draws, told otherwise it does not."""
    told = [
        Renderer(EngineConfig(preview_every=0, predictions={"builtin": said})) for said in ("v_prediction", "epsilon")
    ]
    same, other = (pixels(draw(one, FAST)) for one in told)
    assert (same == pixels(draw(renderer, FAST))).all()
    assert (other != same).any()


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


@pytest.mark.parametrize(
    ("tag", "use"),
    [
        ("<lora:ink:0.8:lbw=MIDD>", AdapterUse("ink", 0.8, blocks=PRESETS["MIDD"])),
        ("<lora:ink:0.8:dyn=2>", AdapterUse("ink", 0.8, rank=2)),
        ("<lora:ink:0.8:start=2>", AdapterUse("ink", 0.8, start=2)),
        ("<lora:ink:1:1@0,0@1>", AdapterUse("ink", te_weight=1.0, curve=((1, 0), (0, 1)))),
    ],
)
def test_a_tag_with_arguments_is_the_option_with_the_same(renderer: Renderer, tag: str, use: AdapterUse) -> None:
    """Pixels, infotext and all; and another picture than without the arguments."""
    by_tag = draw(renderer, replace(FAST, prompt=f"a red flower {tag}"))
    assert by_tag.pictures == draw(renderer, replace(FAST, adapters=(use,))).pictures
    plain = replace(FAST, adapters=(AdapterUse("ink", use.weight, use.te_weight),))
    assert (pixels(by_tag) != pixels(draw(renderer, plain))).any()


def test_a_mix_is_switched_only_between_steps_where_it_changes(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In force from step 4 of 5; the text encoders are as in the first step throughout."""
    set_mix = renderer._set_mix
    seen: list[tuple[float, float]] = []
    monkeypatch.setattr(renderer, "_set_mix", lambda mix: (seen.append(mix[0][1][:2]), set_mix(mix))[1])
    draw(renderer, replace(FAST, steps=5, prompt="a red flower <lora:ink:0.25:0.8:start=3>"))
    assert seen == [(0.0, 0.25), (0.8, 0.25)]  # for the prompt and from step 1, from step 4
    seen.clear()
    draw(renderer, replace(FAST, steps=4, prompt="a red flower <lora:ink:0@0,1@1>"))
    assert seen == [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)]


@pytest.mark.slow
def test_a_mix_that_comes_too_late_changes_nothing_and_one_from_the_start_everything(renderer: Renderer) -> None:
    late = draw(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.8, 0.0, start=100),)))
    assert (pixels(late) == pixels(draw(renderer, FAST))).all()
    early = draw(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.8, start=1, stop=100),)))
    assert (pixels(early) == pixels(draw(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.8),))))).all()


def test_after_a_cancelled_schedule_the_next_picture_is_as_ever(renderer: Renderer) -> None:
    """Stopped while the mix was half-way, the weights of the next mix are its own."""
    before = draw(renderer, FAST).pictures
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        renderer.run(replace(FAST, prompt="a <lora:ink:1@0,0@1>"), lambda now: seen.append(now), lambda: len(seen) >= 3)
    assert draw(renderer, FAST).pictures == before


@pytest.mark.slow
def test_pictures_of_one_batch_can_have_mixes_of_their_own(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is the picture that its seed and its prompt give alone, in the order asked for; tags count by picture."""
    prompts = ("a house <lora:ink:0.8>", "a red flower", "a boat <lora:INK:0.8> <lora:nobody>", "a boat <lora:light>")
    monkeypatch.setattr("engine.draft.expanded", lambda request, i, files: replace(request, prompt=prompts[i]))
    seen: list[Progress] = []
    batch = renderer.run(replace(FAST, count=4), seen.append, lambda: False)
    monkeypatch.undo()
    assert [picture.seed for picture in batch.pictures] == [7, 8, 9, 10]
    for index, prompt in enumerate(prompts):
        alone = draw(renderer, replace(FAST, prompt=prompt, seed=7 + index))
        assert (pixels(alone) == pixels(batch, index)).all()
        assert alone.pictures[0].infotext == batch.pictures[index].infotext
    assert {report.name for report in batch.reports} == {"ink", "light"}
    assert len(batch.notes) == 1
    assert "nobody" in batch.notes[0]
    steps = [
        now.step for now in seen
    ]  # three mixes of four steps; one is told anew while an adapter is put to the test
    assert list(dict.fromkeys(steps)) == list(range(1, 13)) == sorted(set(steps))
    assert {now.steps for now in seen} == {12}


def test_the_infotext_in_the_file_names_mix_seed_and_hashes(renderer: Renderer) -> None:
    """What the WebUI would show of this picture."""
    result = draw(renderer, replace(FAST, prompt="a red flower <lora:ink:0.5>", negative="blurry", count=2))
    stored = Image.open(io.BytesIO(result.pictures[1].png)).text["parameters"]
    assert stored == result.pictures[1].infotext
    first, second, fields = stored.split("\n")
    assert first == "a red flower <lora:ink:0.5>"
    assert second == "Negative prompt: blurry"
    assert (
        "Steps: 4, Sampler: DDIM, Schedule type: Automatic, CFG scale: 4, Seed: 8, Size: 128x128, Model: builtin"
        in fields
    )
    assert 'Lora hashes: "ink: ' in fields


def test_the_infotext_names_a_checkpoint_by_its_hash(builtin: Any, tmp_path: Path) -> None:
    """As the WebUI does, in every picture. The built-in model is a folder and has none. It is read as it was asked."""
    path = write_checkpoint(builtin, tmp_path / "mine.safetensors")
    one = Renderer(EngineConfig(preview_every=0, models={"mine": str(path)}))
    assert "Model hash" not in draw(one, FAST).pictures[0].infotext
    result = draw(one, replace(FAST, model="mine", count=2))
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    assert all(f", Model hash: {digits}, Model: mine, " in picture.infotext for picture in result.pictures)
    assert replace(read_picture(result.pictures[0].png).request, count=2) == result.request


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


@pytest.mark.slow
def test_peft_follows_steps_and_refuses_blocks(renderer: Renderer) -> None:
    """What it cannot say it does not leave out in silence."""
    peft = Renderer(EngineConfig(adapters="peft"))
    request = replace(FAST, adapters=(AdapterUse("ink", 0.8, start=2), AdapterUse("light", curve=((0, 0), (1, 1)))))
    difference = np.abs(pixels(draw(renderer, request)) - pixels(draw(peft, request)))
    assert difference.max() <= 2
    with pytest.raises(AdapterUnsupported, match='ink: block weights and dynamic ranks need adapters = "merge"'):
        draw(peft, replace(FAST, adapters=(AdapterUse("ink", blocks=PRESETS["MIDD"]),)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_a_picture(renderer: Renderer, sampler: str) -> None:
    """Finite, of the right size, and not one flat colour."""
    result = draw(renderer, replace(FAST, sampler=sampler, width=64, height=64))
    assert pixels(result).shape == (64, 64, 3)
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


def test_a_tag_that_cannot_be_used_is_noted_and_the_others_stay_on(renderer: Renderer, tmp_path: Path) -> None:
    """Unreadable, unknown, or for another model: each has its sentence, and the picture is that of the others."""
    layer = ("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q", torch.empty(99, 80))
    path = write_kohya(tmp_path / "wrong.safetensors", [layer])
    tags = f"<lora:neon:abc> <lora:ink:0.5> <lora:noen:1> <lora:{path}:1>"
    result = draw(renderer, replace(FAST, prompt=f"a red flower {tags}"))
    assert pixels(result).tolist() == pixels(draw(renderer, replace(FAST, adapters=(AdapterUse("ink", 0.5),)))).tolist()
    unread, unknown, wrong = result.notes
    assert "<lora:neon:abc> at character 14 is left out: 'abc' is not a number" in unread
    assert "<lora:noen:1> is left out: No adapter is called 'noen' here. Did you mean neon?" in unknown
    assert "<lora:wrong:1> is left out: wrong does not fit this base model" in wrong
    assert [report.name for report in result.reports] == ["ink"]
    assert result.pictures[0].infotext.startswith("a red flower <lora:ink:0.5>\n")


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


def test_clip_skip_and_emphasis_reach_the_picture(renderer: Renderer) -> None:
    """Each of them alone makes another picture; emphasis only where something is weighted."""
    weighted = replace(FAST, prompt="a (red:1.4) flower")
    plain, stressed = pixels(draw(renderer, FAST)), pixels(draw(renderer, weighted))
    assert (plain != pixels(draw(renderer, replace(FAST, clip_skip=2)))).any()
    assert (plain == pixels(draw(renderer, replace(FAST, emphasis="No norm")))).all()
    assert (stressed != pixels(draw(renderer, replace(weighted, emphasis="No norm")))).any()


def test_each_picture_has_its_own_choices_and_its_infotext_says_which(tmp_path: Path) -> None:
    """Picture i is the picture of seed + i with the prompt as expanded, to the byte."""
    (tmp_path / "thing.txt").write_text("flower\nboat\nhouse\n")
    renderer = Renderer(EngineConfig(wildcard_folders=(tmp_path,)))
    chosen = replace(FAST, prompt="a {red|blue|green} __thing__", negative="{blurry|dark}", count=3, seed=2)
    result = draw(renderer, chosen)
    assert result.request == replace(chosen, width=128, height=128, cfg=4.0, model="builtin")
    prompts = set()
    for i, picture in enumerate(result.pictures):
        prompt, negative, _ = picture.infotext.split("\n")
        assert "{" not in prompt + negative
        alone = replace(FAST, prompt=prompt, negative=negative.removeprefix("Negative prompt: "), seed=2 + i)
        assert draw(renderer, alone).pictures[0].png == picture.png
        prompts.add(prompt)
    assert len(prompts) > 1
    with pytest.raises(PromptError, match="Did you mean __thing__"):
        draw(renderer, replace(FAST, prompt="__thin__"))


def test_with_a_catalog_no_prompt_opens_a_file_by_name_or_path(tmp_path: Path) -> None:
    """Not even one that a variant puts together; the picture is drawn without it, and says so."""
    ink = builtin_adapter("ink")
    sha256 = hashlib.sha256(ink.read_bytes()).hexdigest()
    kept = tmp_path / sha256[:2] / f"{sha256}.safetensors"
    kept.parent.mkdir()
    shutil.copy(ink, kept)
    renderer = Renderer(EngineConfig(catalog=tmp_path, adapter_folders=(ink.parent,)))
    plain = pixels(draw(renderer, replace(FAST, prompt="a flower")))
    for name in ("ink", str(ink), str(kept), sha256):
        result = draw(renderer, replace(FAST, prompt=f"a flower <{{lora|lora}}:{name}:1>"))
        assert (pixels(result) == plain).all(), name
        assert "is left out" in result.notes[0]
    known = (AdapterUse("Ink", sha256=sha256),)
    drawn = draw(renderer, replace(FAST, prompt="a flower <{lora|lora}:ink:1>", known=known))
    assert [(use.name, use.sha256) for use in drawn.request.adapters] == [("ink", sha256)]
    assert (pixels(drawn) != plain).any()


def test_a_grid_over_words_of_tags_draws_each_cell_with_its_own(renderer: Renderer) -> None:
    """Every cell is the picture that its request draws."""
    grid = Grid(Axis("prompt", ("ink:0", "ink:1", "neon:1")), keep=True)
    result = draw(renderer, replace(FAST, prompt="a flower <lora:ink:0>", steps=1, grid=grid))
    cells = [picture.png for picture in result.pictures[1:]]
    assert len(set(cells)) == 3
    alone = [draw(renderer, cell).pictures[0].png for cell in grid.cells(result.request)]
    assert cells == alone


def test_an_embedding_gives_the_pixels_of_diffusers_own_loader(tmp_path: Path) -> None:
    """One file in the folder, its stem in the prompt, its hash in the infotext."""
    vectors = torch.randn(2, 96, generator=torch.Generator().manual_seed(0)) * 0.05
    save_file({"emb_params": vectors}, tmp_path / "toy.safetensors")
    renderer = Renderer(EngineConfig(embedding_folders=(tmp_path,)))
    theirs = load_pipeline(str(BUILTIN_FOLDER / "model"), torch.device("cpu"), torch.float32)
    theirs.load_textual_inversion(str(tmp_path / "toy.safetensors"), token="toy")
    request = replace(FAST, prompt="a toy on white", cfg=4.0)
    result = draw(renderer, request)
    image = theirs(
        request.prompt, num_inference_steps=4, guidance_scale=4.0, generator=torch.Generator().manual_seed(7)
    ).images[0]
    assert (pixels(result) == np.asarray(image).astype(int)).all()
    digest = hashlib.sha256((tmp_path / "toy.safetensors").read_bytes()).hexdigest()
    assert f'TI hashes: "toy: {digest[:12]}"' in result.pictures[0].infotext
    assert "TI hashes" not in draw(renderer, FAST).pictures[0].infotext
    late = replace(FAST, prompt="a [cat:toy:1.5]", hires=Hires(1.5, steps=2))  # only the second pass comes to it
    assert f'TI hashes: "toy: {digest[:12]}"' in draw(renderer, late).pictures[0].infotext


def test_an_adapters_embeddings_are_there_while_it_is_in_the_mix(renderer: Renderer, tmp_path: Path) -> None:
    """And named in report and infotext; without the adapter the name is a word again."""
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {f"{layer}.lora_up.weight": torch.zeros(80, 1), f"{layer}.lora_down.weight": torch.ones(1, 80)}
    tensors["bundle_emb.toy.emb_params"] = torch.randn(2, 96, generator=torch.Generator().manual_seed(0)) * 0.05
    path = tmp_path / "mine.safetensors"
    save_file(tensors, path)
    word = replace(FAST, prompt="a toy")
    before = draw(renderer, word)
    result = draw(renderer, replace(word, adapters=(AdapterUse(str(path)),)))
    assert (pixels(result) != pixels(before)).any()
    assert str(result.reports[0]) == "mine: 1 of 1 layers, embeddings toy"
    assert 'TI hashes: "toy: mine"' in result.pictures[0].infotext
    assert draw(renderer, word).pictures == before.pictures


def test_what_does_not_change_the_text_is_not_encoded_again(renderer: Renderer) -> None:
    """Seed, steps, size, sampler and an adapter's UNet weight; its text weight does."""
    calls: list[int] = []
    hook = renderer._model.pipeline.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    base = replace(FAST, prompt="a boat, a cat and a flower", adapters=(AdapterUse("ink", 0.5, 0.5),), steps=2)
    draw(renderer, base)
    assert calls
    calls.clear()
    for same_text in (
        replace(base, seed=9, steps=3, width=64, height=64, sampler="Euler", count=2),
        replace(base, adapters=(AdapterUse("ink", 0.9, 0.5),)),
        replace(base, prompt="a (boat:1.2), a cat and a flower"),
    ):
        draw(renderer, same_text)
    assert not calls
    draw(renderer, replace(base, adapters=(AdapterUse("ink", 0.5, 0.4),)))
    assert len(calls) == 2  # the prompt, and the empty one
    hook.remove()


def test_prompts_of_different_length_go_through_the_unet_apart(renderer: Renderer) -> None:
    """As in the WebUI: the shorter one is not filled up, which would change its picture."""
    seen: list[tuple[int, ...]] = []
    hook = renderer._model.pipeline.unet.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(tuple(kwargs["encoder_hidden_states"].shape)), with_kwargs=True
    )
    for prompt, negative in (("red " * 80, "dark"), ("red", "dark " * 80), ("red", "dark"), ("a AND b", "dark " * 80)):
        draw(renderer, replace(FAST, prompt=prompt, negative=negative, steps=1))
    hook.remove()
    short, long = (1, 77, 96), (1, 154, 96)
    assert seen == [short, long, long, short, (2, 77, 96), long, (2, 77, 96)]


def test_rendering_changes_no_weight_of_the_base(renderer: Renderer, builtin: Any) -> None:
    """After all of the above and an empty mix, the renderer's model equals a freshly loaded one bit for bit."""
    draw(renderer, FAST)
    assert same(weights_of(renderer._model.pipeline), weights_of(builtin))


def test_pinned_adapters_stay_and_the_figures_say_what_happened(tmp_path: Path, builtin: Any) -> None:
    """With room for two adapters, the pinned one is never read again; every other one has to go for the next."""
    for name in ("one", "two", "three"):
        write_kohya(tmp_path / f"{name}.safetensors", attention_layers(builtin)[:4], seed=len(name) + ord(name[1]))
    size = read_adapter(tmp_path / "one.safetensors").nbytes
    renderer = Renderer(EngineConfig(adapter_folders=(tmp_path,), adapter_cache=2 * size, preview_every=0))
    pinned = renderer.pin(AdapterUse("one"))
    for name in ("two", "three", "one"):
        draw(renderer, replace(FAST, steps=1, adapters=(AdapterUse(name),)))
    holds = renderer.holds()
    assert (holds.pinned, len(holds.ram)) == ({pinned}, 2)
    assert pinned in holds.ram & holds.gpu
    files, factors = holds.caches["files"], holds.caches["factors"]
    assert (files.hits, files.misses, files.evictions) == (1, 3, 1)
    assert (files.nbytes, factors.misses) == (2 * size, 3)
    renderer.unpin(pinned)
    for name in ("two", "three"):
        draw(renderer, replace(FAST, steps=1, adapters=(AdapterUse(name),)))
    assert pinned not in renderer.holds().ram


def test_a_pin_outlives_a_change_of_the_base_model(tmp_path: Path, builtin: Any) -> None:
    """What is prepared belongs to one model and goes with it; the next picture prepares it again."""
    renderer = Renderer(EngineConfig(models={"copy": str(BUILTIN_FOLDER / "model")}, preview_every=0))
    pinned = renderer.pin(AdapterUse("ink"))
    draw(renderer, replace(FAST, steps=1, model="copy"))
    assert renderer.holds().caches["factors"].resident == 0
    assert renderer.holds().pinned == {pinned}
    draw(renderer, replace(FAST, steps=1, model="copy", adapters=(AdapterUse("ink"),)))
    assert renderer.holds().caches["factors"].resident == 1


def test_loading_and_unloading_leave_nothing_behind(renderer: Renderer, builtin: Any) -> None:
    """Not even in the weights, where the adapter was in force; what is pinned stays."""
    sha256 = renderer.load(AdapterUse("ink"))
    assert sha256 in renderer.holds().ram & renderer.holds().gpu
    draw(renderer, replace(FAST, steps=1, adapters=(AdapterUse("ink"),)))
    renderer.unload(sha256)
    renderer.unload(sha256)
    assert sha256 not in renderer.holds().ram | renderer.holds().gpu
    assert same(weights_of(renderer._model.pipeline), weights_of(builtin))
    renderer.pin(AdapterUse("ink"))
    with pytest.raises(BadRequest, match="pinned"):
        renderer.unload(sha256)
    renderer.unpin(sha256)


def test_peft_lets_an_adapter_go_too() -> None:
    """Unloaded, it is loaded anew for the next picture, which is the same."""
    renderer = Renderer(EngineConfig(adapters="peft", preview_every=0))
    request = replace(FAST, steps=2, seed=1, adapters=(AdapterUse("ink"),))
    first = draw(renderer, request).pictures[0].png
    renderer.unload(renderer.load(AdapterUse("ink")))
    assert renderer.holds().ram == frozenset()
    assert draw(renderer, request).pictures[0].png == first


def test_a_model_that_was_added_is_drawn_with_until_it_is_removed() -> None:
    """Removed while it is loaded, the default one takes its place; the default one itself stays."""
    renderer = Renderer(EngineConfig(preview_every=0))
    request = replace(FAST, steps=1, model="copy")
    renderer.add_model("copy", str(BUILTIN_FOLDER / "model"))
    assert draw(renderer, request).request.model == "copy"
    renderer.remove_model("copy")
    assert renderer.holds().model == "builtin"
    with pytest.raises(ModelNotFound, match="copy"):
        draw(renderer, request)
    with pytest.raises(BadRequest, match="default"):
        renderer.remove_model("builtin")


def test_members_read_nothing_about_this_machines_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A base model that cannot be loaded is told by its name; the log says where and why."""
    (tmp_path / "secret").mkdir()
    models = {"broken": str(tmp_path / "secret"), "gone": str(tmp_path / "gone.safetensors")}
    renderer = Renderer(EngineConfig(models=models, preview_every=0))
    for name in models:
        with pytest.raises(ModelUnreadable, match=name) as caught:
            draw(renderer, replace(FAST, steps=1, model=name))
        assert str(tmp_path) not in str(caught.value)
        assert models[name] in caplog.text


def test_an_adapter_that_cannot_be_used_is_not_pinned(renderer: Renderer) -> None:
    """The error names what is wrong, and the books are as before."""
    with pytest.raises(AdapterNotFound):
        renderer.pin(AdapterUse("no such"))
    assert renderer.holds().pinned == frozenset()
