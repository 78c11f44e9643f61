"""Which base models an adapter fits, told by the width of cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# cross_attention_dim -> family
FAMILIES: Mapping[int, str] = {96: "built-in", 768: "SD 1.5", 1024: "SD 2", 2048: "SDXL"}
_CROSS_ATTENTION = ("attn2_to_k", "attn2.to_k", "attn2_to_v", "attn2.to_v")


def family_of_width(width: int) -> str:
    return FAMILIES.get(width, f"width {width}")


def family_of_pipeline(pipeline: Any) -> str:
    """The family of a loaded diffusers pipeline."""
    return family_of_width(int(pipeline.unet.config.cross_attention_dim))


def family_of_shapes(downs: Mapping[str, tuple[int, ...]]) -> str:
    """The family that the shapes of the `down` matrices (module -> shape) tell, or "" where none of them is telling."""
    for module, shape in downs.items():
        if module.endswith(_CROSS_ATTENTION) and len(shape) >= 2:
            return family_of_width(shape[1])
    return ""
