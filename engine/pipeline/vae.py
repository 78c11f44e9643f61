"""Pictures to latents and back, by the base model's own VAE or by one that a request names."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import SingleFileComponentError
from PIL import Image

from ..adapters.header import read_header
from ..errors import NO_NUMBERS, AdapterInvalid, ModelNotFound, ModelUnreadable, PictureBroken
from .faults import out_of_memory

log = logging.getLogger(__name__)
NUMBERS_A_PIXEL = 2178  # in memory at the decoder's peak, for the VAE of SD 1.x and SDXL: ComfyUI's measurement
SPARE = 256 << 20  # bytes that stay free beside the decoder's
FAR = 4.0  # what a decoder gives lies between -1 and 1, and a little beyond at the edges of things


class Vae:
    """An AutoencoderKL that finishes what it can: in tiles where memory is short, in float32 where halves overflow."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.tiled = False  # whether the last picture was decoded in tiles
        self.factor = 2 ** (len(module.config.block_out_channels) - 1)  # pixels a latent cell

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> Image.Image:
        """`latents` (1, 4, h, w) as the UNet leaves them, to an RGB picture of (8w, 8h) pixels.

        Raises PictureBroken where they are no numbers, or the picture is none even in float32.
        """
        if not bool(latents.isfinite().all()):
            raise PictureBroken(NO_NUMBERS)
        pixels = self._pixels(latents, self._own_dtype())
        if not is_picture(pixels) and self.module.dtype != torch.float32:
            log.info("the VAE gave no picture in %s and decodes once more in float32", self.module.dtype)
            pixels = self._pixels(latents, torch.float32)
        if not is_picture(pixels):
            raise PictureBroken(
                "The picture came to nothing: the VAE gave no numbers, or one flat colour. Another VAE may help."
            )
        # the same arithmetic as diffusers' VaeImageProcessor, so that equal latents give equal bytes
        unit = (pixels * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
        return Image.fromarray((unit[0] * 255).round().astype("uint8"))

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Latents (1, 4, h, w) in the UNet's scale of `pixels` (1, 3, 8h, 8w) from -1 to 1."""
        with self._ready(self._own_dtype(), tiled=self._short_of_memory(pixels.shape[-2] * pixels.shape[-1])):
            posterior = self.module.encode(pixels.to(self.module.device, self.module.dtype)).latent_dist
            latents: torch.Tensor = posterior.sample(generator) * self.module.config.scaling_factor
        return latents.to(self.module.dtype)

    def _pixels(self, latents: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(1, 3, 8h, 8w), decoded in `dtype`; in tiles where the memory is short, or turns out to be."""
        tiled = self._short_of_memory(self.factor**2 * latents.shape[-2] * latents.shape[-1])
        try:
            return self._decoded(latents, dtype, tiled=tiled)
        except (RuntimeError, MemoryError) as error:
            if tiled or not out_of_memory(error):
                raise
        log.info("no memory to decode in one piece: once more in tiles")
        torch.cuda.empty_cache()
        return self._decoded(latents, dtype, tiled=True)

    def _decoded(self, latents: torch.Tensor, dtype: torch.dtype, *, tiled: bool) -> torch.Tensor:
        with self._ready(dtype, tiled=tiled):
            self.tiled = tiled
            scaled = latents.to(dtype) / self.module.config.scaling_factor
            pixels: torch.Tensor = self.module.decode(scaled, return_dict=False)[0]
        return pixels

    def _own_dtype(self) -> torch.dtype:
        """SDXL's first VAE overflows in half precision and says so."""
        halves = self.module.dtype == torch.float16
        return torch.float32 if halves and self.module.config.get("force_upcast") else self.module.dtype

    def _short_of_memory(self, pixels: int) -> bool:
        device = self.module.device
        if device.type != "cuda":
            return False
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return too_large(pixels, self._own_dtype().itemsize, torch.cuda.mem_get_info(device)[0] + cached)

    @contextmanager
    def _ready(self, dtype: torch.dtype, *, tiled: bool) -> Iterator[None]:
        """The module in `dtype` and in tiles or not, and afterwards as it was: up and down again loses no bit."""
        own = self.module.dtype
        try:  # also where only half of it is in the other type when the memory runs out
            if dtype != own:
                self.module.to(dtype)
            if tiled:
                self.module.enable_tiling()
            yield
        finally:
            if tiled:
                self.module.disable_tiling()
            if dtype != own:
                self.module.to(own)


def is_picture(pixels: torch.Tensor) -> bool:
    """Whether these are numbers, and not the one flat colour that a decoder gives when it is overwhelmed.

    A decoder that works gives no two pixels alike to the last bit, not even of a white wall, because its edges are
    padded: what is flat before it is clamped is broken. What only clamping makes flat is a picture, like a black night
    of a model that can draw one, unless it lies far out of the range. In half precision a wall may be flat; then
    float32 has the last word.
    """
    if not bool(pixels.isfinite().all()):
        return False
    shown = pixels if float(pixels.abs().max()) <= FAR else pixels.clamp(-1, 1)
    return not bool((shown.amin(dim=(-2, -1)) == shown.amax(dim=(-2, -1))).all())


def too_large(pixels: int, bytes_a_number: int, free: int) -> bool:
    """Whether a picture of so many pixels should go through the VAE in tiles, with `free` bytes of memory.

    The decoder's peak grows with the pixels alone, and the encoder's is smaller.
    """
    return pixels * NUMBERS_A_PIXEL * bytes_a_number + SPARE > free


@torch.inference_mode(False)  # weights that may be changed, also when a request in the making asks for them
def load_vae(source: str, like: Any, *, cache: Path | None = None) -> Vae:
    """The VAE of `source` with the device, type and latents of `like`, the base model's own.

    A diffusers folder (also a whole pipeline's), one .safetensors file in either spelling, or a Hugging Face id.
    Raises ModelNotFound or ModelUnreadable.
    """
    path = Path(source).expanduser()
    if path.suffix == ".safetensors" and not path.is_file():
        raise ModelNotFound(f"There is no VAE file {path}.")
    try:
        module = _from_file(path, like) if path.is_file() else _from_folder(source, path, cache)
    except (OSError, ValueError, KeyError, RuntimeError, AdapterInvalid, SingleFileComponentError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelUnreadable(f"The VAE {source} cannot be loaded: {reason}") from error
    theirs, ours = module.config.latent_channels, like.config.latent_channels
    if theirs != ours:
        raise ModelUnreadable(f"The VAE {source} has {theirs} channels of latents; this base model has {ours}.")
    return Vae(module.to(like.device, like.dtype).eval())


def _from_file(path: Path, like: Any) -> Any:
    """Its description is the base model's: a file has none, and asking the network for one would take a network."""
    read_header(path)
    with tempfile.TemporaryDirectory() as folder:
        like.save_config(folder)
        try:
            return AutoencoderKL.from_single_file(str(path), config=folder, local_files_only=True)
        except NotImplementedError as error:  # what was not in the file has no data to copy
            raise ValueError("some of its tensors are missing") from error


def _from_folder(source: str, path: Path, cache: Path | None) -> Any:
    inside = {"subfolder": "vae"} if (path / "vae").is_dir() else {}
    return AutoencoderKL.from_pretrained(
        source, cache_dir=cache, local_files_only=path.is_dir(), use_safetensors=True, **inside
    )
