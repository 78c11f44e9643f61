"""Which module of a model every spelling of a file means: built from the model's own names, never parsed.

Kohya's underscores cannot be undone ("to_out_0" was "to_out.0"), so each module of the model is spelled in every way
that trainers write it, and a file's spelling is looked up. Two modules never share a spelling: `add` refuses it.
Rules: shared/reference/lora_formats.md §1.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass(frozen=True, slots=True)
class Target:
    """A weight of the model. `slice` is (dimension, start, length) where only a part is meant, for fused layers."""

    component: str
    module: str
    parameter: torch.Tensor
    slice: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        return f"{self.component}.{self.module}"


def key_table(pipeline: Any) -> dict[str, Target]:
    """Spelling -> Target, for every linear and convolution of the pipeline's UNet and text encoders."""
    table: dict[str, Target] = {}
    double = getattr(pipeline, "text_encoder_2", None) is not None
    for component in COMPONENTS:
        model = getattr(pipeline, component, None)
        if model is None:
            continue
        layers = getattr(model.config, "layers_per_block", 2)
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                target = Target(component, _plain(name), module.weight)
                spellings = (
                    _unet_spellings(target.module, layers, model)
                    if component == "unet"
                    else _text_spellings(component, target.module, double)
                )
                _add(table, spellings, target)
    return table


def _add(table: dict[str, Target], spellings: Iterable[str], target: Target) -> None:
    for spelling in spellings:
        if table.setdefault(spelling, target).parameter is not target.parameter:
            raise ValueError(f"{spelling} means both {table[spelling].name} and {target.name}")


def _plain(name: str) -> str:
    """The name without what PEFT wraps around a layer when it is active, and without transformers' wrapper."""
    return name.replace(".base_layer", "").removeprefix("text_model.")


def _unet_spellings(name: str, layers: int, unet: Any) -> Iterable[str]:
    yield "lora_unet_" + name.replace(".", "_")
    yield "lycoris_" + name.replace(".", "_")
    yield "unet." + name
    yield "base_model.model.unet." + name
    ldm = ldm_name(name, layers, _levels_with_attention(unet))
    if ldm:
        yield "lora_unet_" + ldm.replace(".", "_")
        yield "diffusion_model." + ldm


def _text_spellings(component: str, name: str, double: bool) -> Iterable[str]:
    """transformers 5 dropped the wrapper `text_model.` from one of the two encoder classes; files have it or not."""
    kohya = {"text_encoder": ("lora_te1_",) if double else ("lora_te_",), "text_encoder_2": ("lora_te2_",)}[component]
    for wrapped in ("text_model." + name, name):
        for prefix in kohya:
            yield prefix + wrapped.replace(".", "_")
        yield f"{component}.{wrapped}"


def _levels_with_attention(unet: Any) -> tuple[bool, ...]:
    return tuple("Attn" in kind for kind in unet.config.up_block_types)


_INNER = (
    (re.compile(r"\bnorm1\b"), "in_layers.0"),
    (re.compile(r"\bconv1\b"), "in_layers.2"),
    (re.compile(r"\bnorm2\b"), "out_layers.0"),
    (re.compile(r"\bconv2\b"), "out_layers.3"),
    (re.compile(r"\btime_emb_proj\b"), "emb_layers.1"),
    (re.compile(r"\bconv_shortcut\b"), "skip_connection"),
)
_OUTER: Mapping[str, str] = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def ldm_name(name: str, layers: int, up_attention: tuple[bool, ...]) -> str | None:
    """The module's name in the original LDM/SGM code, or None where that has none.

    Input blocks count conv_in as 0, then per level `layers` blocks and a downsampler; output blocks count per level
    `layers + 1`, the upsampler sitting behind the attention of the last one, or in its place where there is none.
    """
    if name in _OUTER:
        return _OUTER[name]
    parts = name.split(".")
    if parts[0] == "mid_block":
        place = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}[f"{parts[1]}.{parts[2]}"]
        return f"middle_block.{place}.{_inner(parts[1], parts[3:])}"
    if parts[0] not in ("down_blocks", "up_blocks"):
        return None
    level, kind, index, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
    if parts[0] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{(level + 1) * (layers + 1)}.0.op"
        return f"input_blocks.{1 + level * (layers + 1) + index}.{_slot(kind)}.{_inner(kind, rest)}"
    if kind == "upsamplers":
        return f"output_blocks.{level * (layers + 1) + layers}.{2 if up_attention[level] else 1}.conv"
    return f"output_blocks.{level * (layers + 1) + index}.{_slot(kind)}.{_inner(kind, rest)}"


def _slot(kind: str) -> int:
    return 0 if kind == "resnets" else 1


def _inner(kind: str, rest: list[str]) -> str:
    inner = ".".join(rest)
    if kind == "resnets":
        for pattern, replacement in _INNER:
            inner = pattern.sub(replacement, inner)
    return inner
