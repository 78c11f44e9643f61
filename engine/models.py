"""What a base model is, by its descriptions and headers alone: no tensor is read, and no torch is loaded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .adapters.family import FAMILIES
from .adapters.header import read_header
from .errors import AdapterInvalid, ModelNotFound, ModelUnreadable

CHECKPOINT = ".safetensors"
_DRAWN_WITH = re.compile(r"StableDiffusion(XL)?(Img2Img|Inpaint)?Pipeline")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_CROSS_ATTENTION = re.compile(r"model\.diffusion_model\..*\.attn2\.to_k\.weight")
_PARTS = (("first_stage_model.",), ("cond_stage_model.", "conditioner.embedders."))  # VAE and text encoders
_FOLDERS = ("unet", "vae", "text_encoder")


def family_of_model(source: str, *, online: bool = True, cache: Path | None = None) -> str:
    """The family of the base model at `source`: a diffusers folder, one .safetensors checkpoint, or a Hugging Face id.

    Of files here every header has been read. Of an id its descriptions, where `online` allows it from the Hub, else
    from `cache` (None: where huggingface_hub keeps everything); its weights are fetched when it is first drawn with.
    Raises ModelNotFound or ModelUnreadable, in a sentence for whoever has written the source.
    """
    path = Path(source).expanduser()
    if path.suffix == CHECKPOINT:
        if not path.is_file():
            raise ModelNotFound(f"There is no base model file {source}.")
        return _known(_width_of_checkpoint(path, source), source)
    if path.is_dir():
        return _known(_width_of_folder(path, source), source)
    if not _HUB_ID.fullmatch(source):
        raise ModelNotFound(f"There is no folder {source}, and it is no Hugging Face id, which is like owner/name.")
    return _known(_width_on_hub(source, online, cache), source)


def _width_of_checkpoint(path: Path, source: str) -> object:
    try:
        tensors = read_header(path).tensors
    except AdapterInvalid as error:
        raise ModelUnreadable(f"{source} cannot be read: {error}") from error
    if not all(any(key.startswith(part) for key in tensors) for part in _PARTS):
        raise ModelUnreadable(f"{source} is no whole checkpoint: a UNet, a VAE and a text encoder belong into it.")
    return next((entry.shape[-1] for key, entry in tensors.items() if _CROSS_ATTENTION.fullmatch(key)), None)


def _width_of_folder(path: Path, source: str) -> object:
    width = _width_of_parts(path / "model_index.json", path / "unet" / "config.json", source)
    for part in _FOLDERS:
        files = [file for file in sorted((path / part).glob(f"*{CHECKPOINT}")) if ".fp16." not in file.name]
        if not files:
            raise ModelUnreadable(f"{source} has no {CHECKPOINT} file in {part}; get the model's files again.")
        for file in files:
            try:
                read_header(file)
            except AdapterInvalid as error:
                raise ModelUnreadable(f"{source} cannot be read: {error}") from error
    return width


def _width_on_hub(source: str, online: bool, cache: Path | None) -> object:
    from huggingface_hub import hf_hub_download  # nobody else here needs it

    def fetched(name: str) -> Path:
        return Path(hf_hub_download(source, name, cache_dir=cache, local_files_only=not online))

    try:
        index, config = fetched("model_index.json"), fetched("unet/config.json")
    except (OSError, ValueError) as error:  # what the Hub answers and what the network says are both OSErrors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelNotFound(f"{source} cannot be had from Hugging Face: {reason}") from error
    return _width_of_parts(index, config, source)


def _width_of_parts(index: Path, config: Path, source: str) -> object:
    kind = _json(index, source).get("_class_name")
    if not isinstance(kind, str) or not _DRAWN_WITH.fullmatch(kind):
        raise ModelUnreadable(f"{source} is a {kind}; Stable Diffusion 1.x, 2.x and XL are drawn with here.")
    return _json(config, source).get("cross_attention_dim")


def _json(path: Path, source: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"{source} is no diffusers model: its {path.name} cannot be read.") from error
    return value if isinstance(value, dict) else {}


def _known(width: object, source: str) -> str:
    if not isinstance(width, int) or width not in FAMILIES:
        raise ModelUnreadable(f"{source} is of no kind that is known: Stable Diffusion 1.x, 2.x or XL.")
    return FAMILIES[width]
