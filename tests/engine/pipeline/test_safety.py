"""The safety checker: the checkpoint's own, or one plugged in; failing closed, and never painting anything black."""

from __future__ import annotations

import io
import json
import logging
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor

from engine import EngineConfig, ModelUnreadable, Progress, Request, Result
from engine.config import BUILTIN_FOLDER
from engine.pipeline.safety import load_safety
from engine.renderer import Renderer

FAST = Request(prompt="a red flower", seed=7, steps=2)
CPU = torch.device("cpu")
ALWAYS, NEVER = -1.0, 2.0  # thresholds below and above every cosine


def checkpoint(folder: Path, threshold: float) -> Path:
    """The built-in model as a checkpoint that brings a safety checker: small, random, of the real class."""
    shutil.copytree(BUILTIN_FOLDER / "model", folder)
    layers = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**layers, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=layers, vision_config=vision, projection_dim=8))
    for thresholds in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        thresholds.data.fill_(threshold)
    checker.concept_embeds.data.normal_()
    checker.special_care_embeds.data.normal_()
    checker.save_pretrained(folder / "safety_checker")
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder / "feature_extractor")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def drawn(safety: str = "auto", model: Path | None = None, seen: list[Progress] | None = None) -> Result:
    models = {} if model is None else {"own": str(model)}
    name = "builtin" if model is None else "own"
    renderer = Renderer(EngineConfig(models=models, model=name, safety=safety, preview_every=0.0001))
    return renderer.run(FAST, (seen if seen is not None else []).append, lambda: False)


@pytest.fixture(scope="module")
def plain() -> Result:
    return drawn()


@pytest.fixture
def plugged() -> Iterator[types.ModuleType]:
    module = types.ModuleType("a_checker_of_ours")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize(("threshold", "flagged"), [(ALWAYS, True), (NEVER, False)])
def test_a_checkpoint_s_own_checker_flags_and_leaves_the_picture_as_it_is(
    tmp_path: Path, plain: Result, threshold: float, flagged: bool
) -> None:
    (picture,) = drawn(model=checkpoint(tmp_path / "own", threshold)).pictures
    assert picture.flagged is flagged
    same = [np.asarray(Image.open(io.BytesIO(png))) for png in (picture.png, plain.pictures[0].png)]
    assert (same[0] == same[1]).all()
    assert same[0].any(), "not black"


def test_no_preview_of_a_flagged_picture_is_shown(tmp_path: Path) -> None:
    shown: list[Progress] = []
    drawn(model=checkpoint(tmp_path / "own", ALWAYS), seen=shown)
    assert [one.preview for one in shown] == [None] * len(shown)
    drawn(model=checkpoint(tmp_path / "other", NEVER), seen=shown)
    assert any(one.preview for one in shown)


def test_it_can_be_left_out(tmp_path: Path) -> None:
    assert not drawn("off", checkpoint(tmp_path / "own", ALWAYS)).pictures[0].flagged


def test_a_checkpoint_without_one_flags_nothing(plain: Result) -> None:
    assert not plain.pictures[0].flagged


def test_a_checker_whose_files_are_gone_flags_everything_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = checkpoint(tmp_path / "own", NEVER)
    shutil.rmtree(model / "safety_checker")
    safety = load_safety("auto", str(model), CPU, torch.float32)
    assert safety.flags(Image.new("RGB", (8, 8)))
    assert "every picture counts as flagged" in caplog.text


def test_a_function_can_be_plugged_in(plugged: types.ModuleType) -> None:
    sizes: list[tuple[int, int]] = []

    def red(image: Image.Image) -> bool:
        sizes.append(image.size)
        return True

    plugged.red = red  # type: ignore[attr-defined]
    (picture,) = drawn("a_checker_of_ours:red").pictures
    assert picture.flagged
    assert (picture.width, picture.height) in sizes


def test_one_that_breaks_has_flagged_the_picture(plugged: types.ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    def broken(image: Image.Image) -> bool:
        raise RuntimeError("out of order")

    plugged.broken = broken  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR):
        assert drawn("a_checker_of_ours:broken").pictures[0].flagged
    assert "counts as flagged" in caplog.text


@pytest.mark.parametrize("name", ["no_such_module:f", "a_checker_of_ours:missing", "a_checker_of_ours:__name__"])
def test_one_that_is_not_there_is_refused_by_name(plugged: types.ModuleType, name: str) -> None:
    with pytest.raises(ModelUnreadable, match="safety"):
        load_safety(name, "anything", CPU, torch.float32)


def test_the_configuration_takes_no_other_words() -> None:
    with pytest.raises(ValueError, match="module:callable"):
        EngineConfig(safety="on")
