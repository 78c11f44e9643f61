"""Base models come as a diffusers folder, a Hugging Face id, or one .safetensors checkpoint."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import ModelNotFound, ModelUnreadable
from engine.config import BUILTIN_FOLDER, Prediction
from engine.pipeline.load import load_pipeline, model_hash, pick_device, pick_dtype
from engine.pipeline.samplers import make_scheduler

from ..checkpoint import write_checkpoint
from ..conftest import same, weights_of

CPU = torch.device("cpu")


def test_a_checkpoint_in_the_original_layout_gives_the_same_weights_as_the_folder(builtin: Any, tmp_path: Path) -> None:
    """One file in CompVis' names, no download: UNet, text encoder and autoencoder equal bit for bit."""
    loaded = load_pipeline(str(write_checkpoint(builtin, tmp_path / "model.safetensors")), CPU, torch.float32)
    assert same(weights_of(builtin), weights_of(loaded))
    assert same(builtin.vae.state_dict(), loaded.vae.state_dict())
    assert loaded.scheduler.config.prediction_type == builtin.scheduler.config.prediction_type
    assert loaded.tokenizer("a red flower").input_ids == builtin.tokenizer("a red flower").input_ids


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The description that goes with a checkpoint's layout says epsilon, as Stable Diffusion's do."""
    shutil.copytree(BUILTIN_FOLDER / "model", tmp_path / "model")
    described = tmp_path / "model" / "scheduler" / "scheduler_config.json"
    said = json.loads(described.read_text()) | {"prediction_type": "epsilon"}
    described.write_text(json.dumps(said))
    monkeypatch.setattr("engine.pipeline.load.BUILTIN_FOLDER", tmp_path)


def marked(builtin: Any, path: Path, *marks: str) -> str:
    """A checkpoint with these empty tensors, as merging tools and trainers write them."""
    tensors = load_file(write_checkpoint(builtin, path))
    save_file(tensors | {mark: torch.empty(0) for mark in marks}, path)
    return str(path)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("marks", "predicted", "highest"),
    [
        ((), "epsilon", 14.6146),
        (("v_pred",), "v_prediction", 14.6146),
        (("v_pred", "ztsnr"), "v_prediction", 4518.75),
    ],
)
def test_a_checkpoint_s_marks_say_what_it_predicts(
    builtin: Any, tmp_path: Path, marks: tuple[str, ...], predicted: str, highest: float
) -> None:
    """diffusers reads none of them; the sampler begins at the level that the model was trained up to."""
    loaded = load_pipeline(marked(builtin, tmp_path / "model.safetensors", *marks), CPU, torch.float32)
    assert loaded.scheduler.config.prediction_type == predicted
    scheduler = make_scheduler("Euler", loaded.scheduler.config)
    scheduler.set_timesteps(10, CPU)
    assert scheduler.sigmas[0] == pytest.approx(highest, rel=1e-4)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        ("epsilon", ("epsilon", False)),
        ("v_prediction", ("v_prediction", False)),
        ("v_prediction_zero_snr", ("v_prediction", True)),
    ],
)
def test_who_runs_the_bot_may_say_it_otherwise(
    builtin: Any, tmp_path: Path, prediction: Prediction, said: tuple[str, bool]
) -> None:
    """Of a checkpoint with marks and of a folder."""
    for source in (marked(builtin, tmp_path / "x.safetensors", "v_pred", "ztsnr"), str(BUILTIN_FOLDER / "model")):
        config = load_pipeline(source, CPU, torch.float32, prediction=prediction).scheduler.config
        assert (config.prediction_type, config.rescale_betas_zero_snr) == said


def test_a_hugging_face_id_is_looked_up_in_the_hubs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builtin: Any
) -> None:
    """`owner/name` loads what the hub's cache holds, through huggingface_hub itself, offline."""
    commit = "0" * 40
    home = tmp_path / "models--loraloom--builtin"
    shutil.copytree(BUILTIN_FOLDER / "model", home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("diffusers.pipelines.pipeline_utils.HF_HUB_OFFLINE", True, raising=False)
    loaded = load_pipeline("loraloom/builtin", CPU, torch.float32, cache=tmp_path)
    assert same(weights_of(builtin), weights_of(loaded))


def test_a_checkpoint_is_hashed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size and its time; a folder and an id are no one file, and have none."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4's example
    assert model_hash(str(path)) == abc
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        assert model_hash(str(path)) == abc
    path.write_bytes(b"abcd")
    assert model_hash(str(path)) == hashlib.sha256(b"abcd").hexdigest()
    assert model_hash(str(tmp_path)) == model_hash("owner/name") == ""


def test_what_is_not_there_and_what_is_no_model_are_told_apart(tmp_path: Path) -> None:
    """A missing file is not found; a folder without a model cannot be read; both sentences name it."""
    with pytest.raises(ModelNotFound, match=r"gone\.safetensors"):
        load_pipeline(str(tmp_path / "gone.safetensors"), CPU, torch.float32)
    with pytest.raises(ModelUnreadable, match=str(tmp_path)):
        load_pipeline(str(tmp_path), CPU, torch.float32)
    (tmp_path / "text.safetensors").write_bytes(b"<html>not a model</html>")
    with pytest.raises(ModelUnreadable, match="web page"):
        load_pipeline(str(tmp_path / "text.safetensors"), CPU, torch.float32)


def test_half_precision_is_for_graphics_cards() -> None:
    """float32 on the CPU, float16 elsewhere, and what is asked for by name."""
    assert pick_dtype("auto", CPU) is torch.float32
    assert pick_dtype("auto", torch.device("cuda")) is torch.float16
    assert pick_dtype("bfloat16", CPU) is torch.bfloat16
    assert pick_device("cpu") == CPU
