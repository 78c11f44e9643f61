"""The text that every picture carries, in the words of AUTOMATIC1111's WebUI, so that other tools can read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .prompt import tagged
from .types import Request

VERSION = "Loraloom 0.1.0"


def write_infotext(
    request: Request,
    seed: int,
    model: str,
    hashes: Mapping[str, str],
    ti_hashes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """`request` is complete; `hashes` gives each adapter's tensor SHA-256 by name (the WebUI shows 12 digits).

    `ti_hashes` gives what is said of each textual inversion in the prompts: 12 digits of its file's SHA-256, or, as the
    WebUI does, the name of the adapter that brought it along.
    """
    fields: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "CFG scale": f"{request.cfg:g}",
        "Seed": seed,
        "Size": f"{request.width}x{request.height}",
        "Model": model,
    }
    if request.image is not None:
        fields["Denoising strength"] = f"{request.strength:g}"
    if hashes:
        listed = ", ".join(f"{_plain(name)}: {digest[:12]}" for name, digest in hashes.items())
        fields["Lora hashes"] = f'"{listed}"'
    if ti_hashes:
        listed = ", ".join(f"{_plain(name)}: {_plain(short)}" for name, short in ti_hashes.items())
        fields["TI hashes"] = f'"{listed}"'
    fields["Version"] = VERSION
    lines = [tagged(request)]
    if request.negative:
        lines.append(f"Negative prompt: {request.negative}")
    lines.append(", ".join(f"{key}: {value}" for key, value in fields.items()))
    return "\n".join(lines)


def _plain(name: str) -> str:
    return name.replace(":", "").replace(",", "")
