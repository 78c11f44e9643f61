"""Whether a file's layers are what a trainer can have written: whole, of proper types, with proper alphas. No torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import AdapterInvalid
from .header import Header, TensorEntry
from .layers import Layer, layer_of
from .naming import Grouped
from .pattern import MAX_PATTERNS, MAX_WRITTEN, is_name, read_pattern
from .spelling import underscored

MAX_SCALE = 64.0  # alpha / rank; trainers write 0.5 to 2, LyCORIS' rsLoRA up to the root of the rank
NUMBERS = ("alpha", "scale", "on_input")  # roles of tensors that hold a single number
WHOLE = ("bias_indices", "bias_size", *NUMBERS)  # roles that may be whole numbers; the others are factors
_PACKED = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b", "U8": "<B"}
Read = Callable[[TensorEntry], bytes | bytearray]


def check_layers(header: Header, grouped: Grouped, read: Read) -> tuple[dict[str, Layer], set[float]]:
    """Module -> layer, and the alphas in the file. Raises AdapterInvalid for a layer that nothing was trained as."""
    whole: dict[str, dict[str, str]] = {}
    for module, roles in grouped.modules.items():  # a magnitude may have dots where its factors have underscores
        whole.setdefault(underscored(module), {}).update(roles)
    layers: dict[str, Layer] = {}
    alphas: set[float] = set()
    for module, roles in whole.items():
        entries = {role: header.tensors[key] for role, key in roles.items()}
        layers[module] = layer = layer_of(module, {role: entry.shape for role, entry in entries.items()})
        for role, entry in entries.items():
            if role in NUMBERS:
                alphas |= _check_number(module, layer, role, entry, read)
            elif not entry.dtype.startswith(("F", "BF", "I", "U") if role in WHOLE else ("F", "BF")):
                raise AdapterInvalid(f"Layer {module}: {role} is stored as {entry.dtype}, which is no type of factors.")
    return layers, alphas


def peft_settings(metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    """What diffusers >= 0.34 writes about alpha and rsLoRA, by "<component>.<setting>". Raises AdapterInvalid."""
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # it holds alphas: without it the file would be misapplied
        raise AdapterInvalid(f"The metadata lora_adapter_metadata of {name} cannot be read: {error}.") from error
    if not isinstance(settings, dict):
        raise AdapterInvalid(f"The metadata lora_adapter_metadata of {name} holds no settings by name.")
    for key, patterns in settings.items():
        if key.endswith("alpha_pattern"):
            settings[key] = _patterns(patterns, name)
    return settings


def _patterns(patterns: Any, name: str) -> dict[str, Any]:
    """Alphas by expressions that can be matched in bounded time. Raises AdapterInvalid."""
    if not isinstance(patterns, dict | None) or len(patterns or ()) > MAX_PATTERNS:
        raise AdapterInvalid(
            f"The metadata lora_adapter_metadata of {name} gives no alphas by pattern, or more than {MAX_PATTERNS}."
        )
    written = 0
    for pattern in patterns or ():
        try:
            read_pattern(pattern)
        except ValueError as error:
            raise AdapterInvalid(
                f"The metadata lora_adapter_metadata of {name} names layers by {pattern[:60]!r}, "
                f"which cannot be read: {error}."
            ) from error
        written += 0 if is_name(pattern) else len(pattern)
    if written > MAX_WRITTEN:
        raise AdapterInvalid(
            f"The metadata lora_adapter_metadata of {name} names layers by expressions of {written} characters; "
            f"{MAX_WRITTEN} is the most."
        )
    return patterns or {}


def peft_alphas(settings: Mapping[str, Any], layers: Mapping[str, Layer]) -> set[float]:
    """The alphas that PEFT states. Raises AdapterInvalid for one that no layer of the file was trained with."""
    stated = [value for key, value in settings.items() if key.endswith("lora_alpha")]
    for key, patterns in settings.items():
        if key.endswith("alpha_pattern"):
            stated += patterns.values()
    most = MAX_SCALE * max((layer.rank for layer in layers.values()), default=0)
    for alpha in stated:
        if type(alpha) not in (int, float):
            raise AdapterInvalid(f"The metadata lora_adapter_metadata states the alpha {alpha!r:.40}, no number.")
        if not abs(alpha) <= most:
            said = f"{alpha:g}" if abs(alpha) < 1e300 else "beyond all numbers"
            raise AdapterInvalid(f"The metadata lora_adapter_metadata states the alpha {said}; {most:g} is the most.")
    return {float(alpha) for alpha in stated}


def _check_number(module: str, layer: Layer, role: str, entry: TensorEntry, read: Read) -> set[float]:
    """The alpha, where this is one that counts: a full LoKr writes its 100,000 where nothing is divided by it."""
    if math.prod(entry.shape) != 1:
        raise AdapterInvalid(f"Layer {module}: {role} has {math.prod(entry.shape)} values instead of one.")
    value = single(entry.dtype, read(entry))
    counts = role != "alpha" or layer.rank or layer.format in ("OFT", "BOFT")
    scale = value / layer.rank if role == "alpha" and layer.rank else value if role == "scale" else 0.0
    if counts and not (math.isfinite(value) and abs(scale) <= MAX_SCALE):
        rank = f" at rank {layer.rank}" if role == "alpha" else ""
        raise AdapterInvalid(f"Layer {module} has the {role} {value:g}{rank}; nothing is trained with that.")
    return {value} if role == "alpha" and counts else set()


def single(dtype: str, data: bytes | bytearray) -> float:
    """The one number of a tensor of that type, without torch."""
    if dtype in _PACKED:
        return float(struct.unpack(_PACKED[dtype], data)[0])
    if dtype == "BF16":  # the upper half of a float32, as F8_E5M2 is of a float16
        return float(struct.unpack("<f", b"\0\0" + data)[0])
    if dtype == "F8_E5M2":
        return float(struct.unpack("<e", b"\0" + data)[0])
    if dtype == "F8_E4M3":
        sign, exponent, fraction = data[0] >> 7, data[0] >> 3 & 15, data[0] & 7
        if (exponent, fraction) == (15, 7):
            return math.nan
        size = math.ldexp(8 + fraction, exponent - 10) if exponent else math.ldexp(fraction, -9)
        return -size if sign else size
    return float(data[0]) if data[0] < 2 else math.nan  # BOOL, where another byte means what each reader likes


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")
