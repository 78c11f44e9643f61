"""Writing: the text that every picture carries, in the words and the order of AUTOMATIC1111's WebUI (1.10).

On purpose unlike it: `Eta`, `ENSD` and a zero `Mask blur` are written whenever they are not our default, since our
default is the sampler's own and not a setting; and see `grammar.compose` for prompts that its form cannot carry.
What no text holds: the picture and the mask to start from, and `count`, for each picture has a text of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..prompt import tagged
from ..types import Request
from .grammar import compose

VERSION = "Loraloom 0.1.0"
AUTOMATIC = "Automatic"
HIRES_STRENGTH = "Hires denoising strength"  # ours: the WebUI has no hires fix for a picture made from another one
_SHORT = 12  # hexadecimal digits


def write_infotext(
    request: Request,
    seed: int | None,
    model: str,
    hashes: Mapping[str, str],
    ti_hashes: Mapping[str, str] | None = None,
    *,
    model_hash: str = "",
) -> str:
    """`request` is complete; what it leaves open is left out. `seed` is this picture's own.

    `hashes` gives each adapter's tensor SHA-256 by name, `ti_hashes` each embedding's (the WebUI shows 12 digits),
    `model_hash` is the SHA-256 of the base model's file (10 digits), where it is one file and known.
    """
    varied = request.variation_strength != 0
    hires = request.hires
    strength = request.strength if request.image is not None else hires.strength if hires else None
    size = f"{request.width}x{request.height}" if request.width and request.height else None
    fields: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": request.schedule or AUTOMATIC,
        "CFG scale": _number(request.cfg),
        "Seed": seed,
        "Size": size,
        "Model hash": model_hash[:10] or None,
        "Model": model or None,
        "VAE": request.vae or None,
        "Variation seed": request.variation_seed if varied else None,
        "Variation seed strength": _number(request.variation_strength) if varied else None,
        "Denoising strength": _number(strength),
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "ENSD": request.ensd or None,
        "RNG": request.noise,
        "Mask blur": request.mask_blur if request.mask is not None else None,
        "Hires upscale": _number(hires.scale) if hires else None,
        "Hires steps": hires.steps or None if hires else None,
        "Hires upscaler": hires.upscaler if hires else None,
        HIRES_STRENGTH: _number(hires.strength) if hires and request.image is not None else None,
        "Lora hashes": _listed(hashes),
        "TI hashes": _listed(ti_hashes or {}),
        "Emphasis": request.emphasis if _weighted(request) and request.emphasis != "Original" else None,
        "Eta DDIM" if request.sampler.startswith("DDIM") else "Eta": _number(request.eta),
        "CFG Rescale": _number(request.cfg_rescale or None),
        "Version": VERSION,
    }
    return compose(
        tagged(request), request.negative, {key: value for key, value in fields.items() if value is not None}
    )


def _weighted(request: Request) -> bool:
    return any(sign in text for text in (request.prompt, request.negative) for sign in "([")


def _listed(hashes: Mapping[str, str]) -> str | None:
    return ", ".join(f"{plain(name)}: {digest[:_SHORT]}" for name, digest in hashes.items()) or None


def plain(name: str) -> str:
    """The name as it stands in a list of hashes."""
    return name.replace(":", "").replace(",", "").strip()


def _number(value: float | None) -> str | None:
    return None if value is None else repr(float(value)).removesuffix(".0")
