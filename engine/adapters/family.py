"""Which base models an adapter fits, told by the width of cross-attention."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# cross_attention_dim -> family
FAMILIES: Mapping[int, str] = {96: "built-in", 768: "SD 1.5", 1024: "SD 2", 2048: "SDXL"}
# attn2's k and v in every spelling; of the positional one's nine layers a block they are the seventh and the eighth
_CROSS_ATTENTION = re.compile(r".*attn2[._](?:processor\.)?to_[kv](?:_lora)?")
_POSITIONAL = re.compile(r"unet:(\d+)")
Shapes = Mapping[str, tuple[int, ...]]  # role -> shape


def family_of_width(width: int) -> str:
    return FAMILIES.get(width, f"width {width}")


def family_of_pipeline(pipeline: Any) -> str:
    """The family of a loaded diffusers pipeline."""
    return family_of_width(int(pipeline.unet.config.cross_attention_dim))


def family_of_shapes(modules: Mapping[str, Shapes]) -> str:
    """The family that the shapes of the cross-attention layers (module -> role -> shape) tell, or "" without any."""
    for module, shapes in modules.items():
        counted = _POSITIONAL.fullmatch(module)
        if _CROSS_ATTENTION.fullmatch(module) or (counted and int(counted[1]) % 9 in (6, 7)):
            width = _inputs(shapes)
            if width:
                return family_of_width(width)
    return ""


def _inputs(shapes: Shapes) -> int:
    """How many inputs the layer has, as far as its tensors tell; 0 where they do not (OFT, IA3 on the output)."""
    for role in ("down", "hada_w1_b", "diff"):
        if len(shapes.get(role, ())) >= 2:
            return shapes[role][1]
    if "b1" in shapes and "b2" in shapes and len(shapes["b1"]) >= 2 and len(shapes["b2"]) >= 2:
        rank_first = shapes["b1"][0] < shapes["b1"][1]  # the older layout
        return shapes["b1" if rank_first else "b2"][1]
    left = shapes.get("lokr_w1") or shapes.get("lokr_w1_b") or ()
    right = shapes.get("lokr_w2") or shapes.get("lokr_w2_b") or ()
    return left[1] * right[1] if len(left) >= 2 and len(right) >= 2 else 0
