"""What can go wrong in the engine, as a tree. `str(error)` is a sentence a member can read and act on.

Cancelled                  the one who asked took it back; not an error of anything
EngineError
├── BadRequest             a value of the request is out of bounds
├── PromptError            the prompt cannot be read
├── AdapterError
│   ├── AdapterNotFound    no adapter of that name here
│   ├── AdapterInvalid     the file is damaged, hostile, or no safetensors file at all
│   ├── AdapterUnsupported a known kind of file that is not an adapter for Stable Diffusion
│   └── AdapterMismatch    a good adapter, made for another base model
├── ModelError
│   ├── ModelNotFound      no base model or VAE of that name here
│   └── ModelUnreadable    the checkpoint cannot be loaded
├── ImageUnreadable        the picture sent along is no picture, or too large
├── MetadataUnreadable     a picture or text does not say how it was made, or says it in a way that cannot be read
├── OutOfMemory            the picture does not fit this machine
└── EngineFault            a defect of ours or of the machine; details are in the log
    ├── PictureBroken      the model, an adapter or the VAE gave no picture, whatever was tried
    └── DeviceLost         the device failed in a way that only a new process mends
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conduct import Conduct

DEFECT = "Something broke while drawing; it is not your fault. The people who run this bot find the details in its log."
NO_NUMBERS = "The drawing came to nothing: the base model or an adapter gave no numbers. Other weights may help."


class Cancelled(Exception):
    """The work was taken back before it was done."""


class EngineError(Exception):
    """Base of everything the engine refuses or fails at. `conduct` are the adapters that may be to blame."""

    conduct: tuple[Conduct, ...] = ()


class BadRequest(EngineError):
    """A value of the request is out of bounds."""


class PromptError(EngineError):
    """The prompt cannot be read."""


class AdapterError(EngineError):
    """Something about one adapter."""


class AdapterNotFound(AdapterError):
    """No adapter of that name here."""


class AdapterInvalid(AdapterError):
    """The file is damaged, hostile, or no safetensors file at all."""


class AdapterUnsupported(AdapterError):
    """A known kind of file that is not an adapter for Stable Diffusion."""


class AdapterMismatch(AdapterError):
    """A good adapter, made for another base model."""


class ModelError(EngineError):
    """Something about the base model."""


class ModelNotFound(ModelError):
    """No base model or VAE of that name here."""


class ModelUnreadable(ModelError):
    """The checkpoint cannot be loaded."""


class ImageUnreadable(EngineError):
    """The picture sent along is no picture, or too large."""


class MetadataUnreadable(EngineError):
    """A picture or text does not say how it was made, or says it in a way that cannot be read."""


class OutOfMemory(EngineError):
    """The picture does not fit this machine."""


class EngineFault(EngineError):
    """A defect of ours or of the machine; details are in the log."""


class PictureBroken(EngineFault):
    """The model, an adapter or the VAE gave no numbers (NaN) or one flat colour, whatever was tried.

    `step` is the one by which it was seen, from 1; 0 where only the finished picture showed it.
    """

    def __init__(self, sentence: str, *, step: int = 0) -> None:
        super().__init__(sentence)
        self.step = step


class DeviceLost(EngineFault):
    """The device failed in a way that only a new process mends."""


ERRORS: dict[str, type[EngineError]] = {
    error.__name__: error
    for error in (
        EngineError,
        BadRequest,
        PromptError,
        AdapterError,
        AdapterNotFound,
        AdapterInvalid,
        AdapterUnsupported,
        AdapterMismatch,
        ModelError,
        ModelNotFound,
        ModelUnreadable,
        ImageUnreadable,
        MetadataUnreadable,
        OutOfMemory,
        EngineFault,
        PictureBroken,
        DeviceLost,
    )
}
"""By name: an error crosses the seam as (name, sentence) and is raised again on the other side."""
