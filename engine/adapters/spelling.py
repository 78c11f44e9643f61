"""How trainers spell the modules of a model. Every function goes from the model's own name to the spellings.

Sources by family: shared/reference/lora_formats.md §1.4; the positional one: shared/real/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

KOHYA_UNET = ("lora_unet_", "oft_unet_", "lycoris_")  # what stands before a name whose dots became underscores
KOHYA_TEXT = ("lora_te_", "lora_te1_", "lora_te2_", "oft_te_", "oft_te1_", "oft_te2_")
_UNDERSCORED = tuple(prefix[:-1] + end for prefix in (*KOHYA_UNET, *KOHYA_TEXT) for end in "_.")
_PROCESSOR = re.compile(r"(.+\.attn[12])\.(to_q|to_k|to_v|to_out)(?:\.0)?")
_TEXT_ATTENTION = re.compile(r"(.+\.self_attn)\.(q|k|v|out)_proj")


def underscored(module: str) -> str:
    """A module as kohya spells it where its prefix says so: some files have dots behind that prefix."""
    return module.replace(".", "_") if module.startswith(_UNDERSCORED) else module


def unet_spellings(name: str, layers: int, up_attention: tuple[bool, ...]) -> Iterator[str]:
    """`name` is diffusers' own: down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q

    The UNet has `layers` blocks a level on the way down, and attention on those levels of the way up.
    """
    for prefix in KOHYA_UNET:
        yield prefix + name.replace(".", "_")
    ldm = ldm_name(name, layers, up_attention)
    if ldm:
        yield "lora_unet_" + ldm.replace(".", "_")
        yield "oft_unet_" + ldm.replace(".", "_")
        yield "diffusion_model." + ldm
    processor = _PROCESSOR.fullmatch(name)
    for prefix in ("unet.", ""):
        yield prefix + name
        yield f"base_model.model.{prefix}{name}"
        if processor:
            yield f"{prefix}{processor[1]}.processor.{processor[2]}_lora"


def text_spellings(component: str, name: str, double: bool) -> Iterator[str]:
    """transformers 5 dropped the wrapper `text_model.` from one of the two encoder classes; files have it or not."""
    number = {"text_encoder": "1" if double else "", "text_encoder_2": "2"}[component]
    comfy = {"text_encoder": ("clip_l",) if double else ("clip_l", "clip_h"), "text_encoder_2": ("clip_g",)}[component]
    attention = _TEXT_ATTENTION.fullmatch(name)
    for wrapper in ("text_model.", ""):
        for network in ("lora", "oft"):
            yield f"{network}_te{number}_" + (wrapper + name).replace(".", "_")
        yield f"{component}.{wrapper}{name}"
        yield from (f"text_encoders.{model}.transformer.{wrapper}{name}" for model in comfy)
        if attention:  # diffusers 0.17 spelled the encoder's attention like the UNet's
            yield f"{component}.{wrapper}{attention[1]}.to_{attention[2]}_lora"
        if not double:  # with two encoders this would be a guess
            yield f"base_model.model.{wrapper}{name}"


def positions(component: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(`unet:N`, name) of cloneofsimo's first format: the linear layers of CrossAttention, Attention and GEGLU in the
    order of early 2023: down, up, mid; in a block attn1, GEGLU, attn2. Of CLIPAttention: k, v, q, out in each layer.
    """
    order: tuple[str, ...] = ("k_proj", "v_proj", "q_proj", "out_proj")
    if component == "unet":
        first, second = ([f"attn{i}.{layer}" for layer in ("to_q", "to_k", "to_v", "to_out.0")] for i in (1, 2))
        order = (*first, "ff.net.0.proj", *second)
    blocks: dict[str, set[str]] = {}
    for name in names:
        block, inner = _cut(name, order)
        if inner:
            blocks.setdefault(block, set()).add(inner)
    stage = ("down_blocks", "up_blocks", "mid_block", "encoder")
    count = 0
    for block in sorted(blocks, key=lambda block: stage.index(block.split(".")[0])):
        for inner in order:
            if inner in blocks[block]:
                yield f"{component}:{count}", f"{block}.{inner}"
                count += 1


def _cut(name: str, inners: Iterable[str]) -> tuple[str, str]:
    return next(((name[: -len(inner) - 1], inner) for inner in inners if name.endswith("." + inner)), ("", ""))


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
