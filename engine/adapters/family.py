"""Which base models an adapter fits, told by the shapes of its layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .layers import Layer
from .layout import LAYOUTS, Module, spelled_modules
from .spelling import underscored

# cross_attention_dim -> family
FAMILIES: Mapping[int, str] = {layout.cross: family for family, layout in LAYOUTS.items()}
# attn2's k and v in every spelling; of the positional one's nine layers a block they are the seventh and the eighth
_CROSS_ATTENTION = re.compile(r".*attn2[._](?:processor\.)?to_[kv](?:_lora)?")
_POSITIONAL = re.compile(r"unet:(\d+)")


def family_of_width(width: int) -> str:
    return FAMILIES.get(width, f"width {width}")


def family_of_pipeline(pipeline: Any) -> str:
    """The family of a loaded diffusers pipeline."""
    return family_of_width(int(pipeline.unet.config.cross_attention_dim))


def families_of_layers(layers: Mapping[str, Layer]) -> tuple[str, ...]:
    """The families that the layers (the file's spelling -> layer) fit best; none where nothing about them is known.

    The inputs of cross-attention tell it alone. A file without them (rotations, gains, norms, a text encoder) is
    compared with the modules of every family, and some fit two: SD 1.5 and 2 have the same norms.
    """
    widths = Counter(layer.columns for module, layer in layers.items() if layer.columns and _crosses(module))
    if widths:
        return (family_of_width(widths.most_common(1)[0][0]),)
    fitting = {family: _num_fitting(layers, spelled_modules(family)) for family in LAYOUTS}
    most = max(fitting.values())
    return tuple(family for family, number in fitting.items() if number == most > 0)


def _crosses(module: str) -> bool:
    counted = _POSITIONAL.fullmatch(module)
    return bool(_CROSS_ATTENTION.fullmatch(module) or (counted and int(counted[1]) % 9 in (6, 7)))


def _num_fitting(layers: Mapping[str, Layer], modules: Mapping[str, Module]) -> int:
    found = ((layer, modules.get(underscored(name))) for name, layer in layers.items())
    return sum(module is not None and _fits(layer, module) for layer, module in found)


def _fits(layer: Layer, module: Module) -> bool:
    """As far as the layer's tensors tell; IA3 is as long as the outputs or as the inputs."""
    if layer.either:
        return layer.either in (module.rows, module.inputs)
    columns = (0, module.inputs * module.kernel)
    return layer.rows in (0, module.rows) and layer.columns in columns
