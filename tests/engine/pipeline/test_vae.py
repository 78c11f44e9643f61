"""VAEs: which one, in what, in tiles or whole, and what is done when it gives no numbers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from engine.config import BUILTIN_FOLDER
from engine.errors import ModelNotFound, ModelUnreadable, PictureBroken
from engine.pipeline.image import to_pixels
from engine.pipeline.vae import Vae, load_vae, too_large

from ..checkpoint import write_checkpoint
from ..conftest import same

OWN = BUILTIN_FOLDER / "model" / "vae"


@pytest.fixture
def module(builtin: Any) -> Any:
    return copy.deepcopy(builtin.vae)


@pytest.fixture
def latents(builtin: Any) -> torch.Tensor:
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))


class Overflowing:
    """Stands before a VAE's decode, and gives infinity in every type but those that bear its numbers."""

    def __init__(self, module: Any, *bears: torch.dtype, error: Exception | None = None) -> None:
        self.module, self.bears, self.error = module, bears, error
        self.decode = module.decode
        self.calls: list[tuple[torch.dtype, bool]] = []
        module.decode = self

    def __call__(self, latents: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        self.calls.append((latents.dtype, self.module.use_tiling))
        if self.error is not None and not self.module.use_tiling:
            raise self.error
        (pixels,) = self.decode(latents, return_dict=return_dict)
        return (pixels if latents.dtype in self.bears else pixels * float("inf"),)


def test_what_is_decoded_is_encoded_again_to_about_the_same(builtin: Any) -> None:
    """In the UNet's scale, both ways."""
    vae = Vae(builtin.vae)
    picture = vae.decode(vae.encode(torch.zeros(1, 3, 128, 128), torch.Generator().manual_seed(0)))
    assert abs(np.asarray(picture).astype(int) - 128).mean() < 12
    again = vae.decode(vae.encode(to_pixels(picture), torch.Generator().manual_seed(0)))
    assert abs(np.asarray(picture).astype(int) - np.asarray(again)).mean() < 6
    assert vae.factor == 8


def test_a_vae_that_overflows_decodes_once_more_in_float32(module: Any, latents: torch.Tensor) -> None:
    """And is afterwards in half precision as it was, to the bit."""
    module.to(torch.bfloat16)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    door = Overflowing(module, torch.float32)
    assert np.asarray(Vae(module).decode(latents)).std() > 1
    assert [dtype for dtype, _ in door.calls] == [torch.bfloat16, torch.float32]
    assert same(before, module.state_dict())


def test_a_vae_that_gives_no_numbers_at_all_fails_with_a_sentence(module: Any, latents: torch.Tensor) -> None:
    """Never a black picture."""
    door = Overflowing(module)
    with pytest.raises(PictureBroken, match="Another VAE"):
        Vae(module).decode(latents)
    assert len(door.calls) == 1  # it was in float32 already


def test_latents_that_are_no_numbers_are_not_decoded(module: Any, latents: torch.Tensor) -> None:
    """The VAE is not to blame, so it is not asked again."""
    door = Overflowing(module, torch.float32)
    latents[0, 0, 0, 0] = float("nan")
    with pytest.raises(PictureBroken, match="model or an adapter"):
        Vae(module).decode(latents)
    assert door.calls == []


@pytest.mark.parametrize(("force_upcast", "first"), [(True, torch.float32), (False, torch.float16)])
def test_a_vae_that_says_it_overflows_in_halves_is_not_tried_in_them(
    module: Any, latents: torch.Tensor, force_upcast: bool, first: torch.dtype
) -> None:
    """SDXL's `force_upcast`; the weights stay halves."""
    module.register_to_config(force_upcast=force_upcast)
    module.to(torch.float16)
    door = Overflowing(module, torch.float32, torch.float16)
    Vae(module).decode(latents)
    assert door.calls == [(first, False)]
    assert module.dtype == torch.float16


def test_memory_that_runs_out_while_decoding_is_met_with_tiles_once(module: Any, latents: torch.Tensor) -> None:
    """The same picture but for the seams; afterwards it decodes whole again."""
    whole = np.asarray(Vae(module).decode(latents)).astype(int)
    door = Overflowing(module, torch.float32, error=torch.OutOfMemoryError("no memory"))
    tiled = np.asarray(Vae(module).decode(latents)).astype(int)
    assert [tiles for _, tiles in door.calls] == [False, True]
    assert abs(whole - tiled).mean() < 8
    assert not module.use_tiling


def test_tiles_are_taken_where_the_memory_is_short() -> None:
    """A 1024 x 1024 picture needs about 4.3 GiB in halves, twice that in float32."""
    assert not too_large(1024 * 1024, 2, 6 << 30)
    assert too_large(1024 * 1024, 2, 4 << 30)
    assert too_large(1024 * 1024, 4, 6 << 30)
    assert not too_large(512 * 512, 2, 2 << 30)


@pytest.mark.parametrize("form", ["folder", "pipeline", "file", "checkpoint"])
def test_a_vae_loads_from_every_form_that_people_have(builtin: Any, tmp_path: Path, form: str) -> None:
    """A diffusers folder, a whole pipeline, one file in diffusers' names, or a checkpoint in CompVis' names."""
    source = {
        "folder": OWN,
        "pipeline": OWN.parent,
        "file": OWN / "diffusion_pytorch_model.safetensors",
        "checkpoint": tmp_path / "model.safetensors",
    }[form]
    if form == "checkpoint":
        write_checkpoint(builtin, source)
    loaded = load_vae(str(source), builtin.vae)
    assert same(builtin.vae.state_dict(), loaded.module.state_dict())
    assert (loaded.module.dtype, loaded.module.training) == (builtin.vae.dtype, False)


def test_a_vae_that_cannot_be_loaded_is_told_by_name(builtin: Any, tmp_path: Path) -> None:
    """What is missing, what is no VAE, and what is one for other latents."""
    with pytest.raises(ModelNotFound, match=r"gone\.safetensors"):
        load_vae(str(tmp_path / "gone.safetensors"), builtin.vae)
    (tmp_path / "page.safetensors").write_bytes(b"<html>no</html>")
    with pytest.raises(ModelUnreadable, match="web page"):
        load_vae(str(tmp_path / "page.safetensors"), builtin.vae)
    save_file({"x": torch.zeros(2)}, tmp_path / "else.safetensors")
    with pytest.raises(ModelUnreadable, match="cannot be loaded"):
        load_vae(str(tmp_path / "else.safetensors"), builtin.vae)
    part = load_file(OWN / "diffusion_pytorch_model.safetensors")
    del part["decoder.conv_out.weight"]
    save_file(part, tmp_path / "part.safetensors")
    with pytest.raises(ModelUnreadable, match="tensors are missing"):
        load_vae(str(tmp_path / "part.safetensors"), builtin.vae)
    wide = AutoencoderKL(latent_channels=16, block_out_channels=(32,), norm_num_groups=8)
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelUnreadable, match="16 channels of latents; this base model has 4"):
        load_vae(str(tmp_path / "wide"), builtin.vae)
