"""Base models: a diffusers folder, a Hugging Face id, or one .safetensors checkpoint, as a diffusers pipeline."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from ..adapters.header import read_header
from ..config import BUILTIN_FOLDER, Prediction
from ..errors import AdapterInvalid, ModelNotFound, ModelUnreadable

_DRAWN_WITH = (  # an inpainting model has the same parts, and a UNet that sees a mask
    *(StableDiffusionPipeline, StableDiffusionInpaintPipeline),
    *(StableDiffusionXLPipeline, StableDiffusionXLInpaintPipeline),
)
_CROSS_ATTENTION = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_SAID: Mapping[Prediction, Mapping[str, object]] = {  # in the words of diffusers' schedulers
    "epsilon": {"prediction_type": "epsilon", "rescale_betas_zero_snr": False},
    "v_prediction": {"prediction_type": "v_prediction", "rescale_betas_zero_snr": False},
    "v_prediction_zero_snr": {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
}


def load_pipeline(
    source: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    prediction: Prediction | None = None,
    cache: Path | None = None,
) -> Any:
    """The pipeline on `device` in `dtype`, in evaluation mode. Raises ModelNotFound or ModelUnreadable.

    Its scheduler's config says what the model predicts: `prediction`, or what the model itself tells (None).
    A Hugging Face id is downloaded once, to `cache` (None: where huggingface_hub keeps everything).
    """
    path = Path(source).expanduser()
    if path.suffix == ".safetensors" and not path.is_file():
        raise ModelNotFound(f"There is no base model file {path}.")
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()  # their notes are for developers of models; errors are raised anyway
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    try:
        if path.is_file():
            pipeline = _from_checkpoint(path, options)
        else:
            pipeline = DiffusionPipeline.from_pretrained(
                source,
                cache_dir=cache,
                local_files_only=path.is_dir(),
                # SD 1.x brings a safety checker, which .safety loads; SDXL knows none and takes no notice
                safety_checker=None,
                requires_safety_checker=False,
                **options,
            )
    except (OSError, ValueError, KeyError, RuntimeError, AdapterInvalid) as error:
        raise ModelUnreadable(f"The base model {source} cannot be loaded: {_first_line(error)}") from error
    if not isinstance(pipeline, _DRAWN_WITH):
        raise ModelUnreadable(
            f"{source} is a {type(pipeline).__name__}; Stable Diffusion 1.x, 2.x and XL are drawn with here."
        )
    if prediction is not None:
        pipeline.scheduler.register_to_config(**_SAID[prediction])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def model_hash(source: str) -> str:
    """The SHA-256 of a checkpoint, by which the WebUI and sites know it. An unchanged file is read once.

    "" for a folder or an id: there it is no one file, and the hash of a part of it would be that of no model anywhere.
    Raises ModelUnreadable.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        return ""
    try:
        state = path.stat()
        return _sha256(path, state.st_size, state.st_mtime_ns)
    except OSError as error:
        raise ModelUnreadable(f"The base model {source} cannot be read: {error.strerror or error}.") from error


def pick_device(wanted: str) -> torch.device:
    """ "auto" takes CUDA, then MPS, then the CPU; anything else is taken by its word."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """ "auto" is float16 on a GPU and float32 on the CPU, where half precision is slower."""
    if wanted == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    dtype: torch.dtype = getattr(torch, wanted)
    return dtype


def _from_checkpoint(path: Path, options: dict[str, Any]) -> Any:
    tensors = read_header(path).tensors
    kind: Any = StableDiffusionPipeline
    if any(key.startswith("conditioner.embedders.1") for key in tensors):
        kind = StableDiffusionXLPipeline
    else:
        options = options | {"safety_checker": None}
    width = tensors[_CROSS_ATTENTION].shape[1] if _CROSS_ATTENTION in tensors else None
    if width == 96:  # a checkpoint in the built-in model's layout: its description lies here, no download is needed
        options = options | {"config": str(BUILTIN_FOLDER / "model"), "local_files_only": True}
    pipeline = kind.from_single_file(str(path), **options)
    pipeline.scheduler.register_to_config(**_marked(tensors))
    return pipeline


def _marked(names: Container[str]) -> dict[str, object]:
    """What a checkpoint says of its training by empty tensors of these names, which diffusers does not read."""
    said: dict[str, object] = {}
    if "v_pred" in names:
        said["prediction_type"] = "v_prediction"
    if "ztsnr" in names:
        said["rescale_betas_zero_snr"] = True
    return said


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
