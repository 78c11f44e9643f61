"""What a base model is, told without loading it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save_file

from engine import ModelNotFound, ModelUnreadable, family_of_model
from engine.config import BUILTIN_FOLDER

from .checkpoint import write_checkpoint

CROSS = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"


def checkpoint(path: Path, width: int, *others: str) -> Path:
    tensors = {CROSS: numpy.zeros((4, width), numpy.float16)} | {
        name: numpy.zeros((1,), numpy.float16) for name in others
    }
    save_file(tensors, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the built-in model."""
    return Path(shutil.copytree(BUILTIN_FOLDER / "model", tmp_path / "model"))


def test_the_built_in_model_is_known_as_a_folder_and_as_one_file(builtin: Any, folder: Path, tmp_path: Path) -> None:
    assert family_of_model(str(folder)) == "built-in"
    assert family_of_model(str(write_checkpoint(builtin, tmp_path / "model.safetensors"))) == "built-in"


@pytest.mark.parametrize(
    ("width", "text", "family"),
    [
        (768, "cond_stage_model.x", "SD 1.5"),
        (1024, "cond_stage_model.x", "SD 2"),
        (2048, "conditioner.embedders.1.x", "SDXL"),
    ],
)
def test_a_checkpoint_is_known_by_its_cross_attention(tmp_path: Path, width: int, text: str, family: str) -> None:
    path = checkpoint(tmp_path / "a.safetensors", width, text, "first_stage_model.x")
    assert family_of_model(str(path)) == family


def test_an_id_is_known_by_what_the_hubs_cache_says_of_it(folder: Path, tmp_path: Path) -> None:
    """Through huggingface_hub itself; offline, what is not there is not found."""
    home = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(folder, home / "snapshots" / ("0" * 40))
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    assert family_of_model("owner/name", online=False, cache=tmp_path / "hub") == "built-in"
    with pytest.raises(ModelNotFound, match="owner/other"):
        family_of_model("owner/other", online=False, cache=tmp_path / "hub")


@pytest.mark.parametrize("source", ["/no/such/folder", "gone.safetensors", "one-word", "a/b/c", "../no/such/folder"])
def test_what_is_not_there_is_not_found(source: str) -> None:
    with pytest.raises(ModelNotFound, match="There is no"):
        family_of_model(source)


def test_what_is_no_whole_model_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    """A UNet alone, another width, another pipeline, a broken file, a missing one."""
    for path, reason in (
        (checkpoint(tmp_path / "unet.safetensors", 768), "no whole checkpoint"),
        (checkpoint(tmp_path / "w.safetensors", 5, "cond_stage_model.x", "first_stage_model.x"), "no kind"),
    ):
        with pytest.raises(ModelUnreadable, match=reason):
            family_of_model(str(path))
    (tmp_path / "page.safetensors").write_bytes(b"<html>not a model</html>")
    with pytest.raises(ModelUnreadable, match="web page"):
        family_of_model(str(tmp_path / "page.safetensors"))
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        family_of_model(str(folder))
    weights.unlink()
    with pytest.raises(ModelUnreadable, match="vae"):
        family_of_model(str(folder))
    index = folder / "model_index.json"
    index.write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelUnreadable, match="FluxPipeline"):
        family_of_model(str(folder))
    index.write_text("{")
    with pytest.raises(ModelUnreadable, match="model_index"):
        family_of_model(str(folder))
