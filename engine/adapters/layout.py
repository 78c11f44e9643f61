"""The modules of the known base models and their sizes, so that a file's family can be told without a model.

Names and sizes follow diffusers' UNet2DConditionModel and transformers' CLIPTextModel; a test compares every one of
them with the models themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .spelling import positions, text_spellings, unet_spellings

BLOCKS = 2  # resnets a level on the way down; one more on the way up


@dataclass(frozen=True, slots=True)
class Module:
    """A layer of a base model: `inputs` channels, each `kernel` numbers; a norm has one input."""

    component: str
    name: str
    rows: int
    inputs: int = 1
    kernel: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A text encoder; `projected` has a linear layer at the end."""

    width: int
    layers: int
    projected: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """`channels` by level; `depths` are the transformer blocks in each attention of a level, 0 where it has none."""

    cross: int
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    texts: tuple[Text, ...]
    pooled: int = 0  # inputs of SDXL's add_embedding


LAYOUTS: Mapping[str, Layout] = {
    "built-in": Layout(96, (32, 64, 80, 80), (1, 1, 1, 0), (Text(96, 2),)),
    "SD 1.5": Layout(768, (320, 640, 1280, 1280), (1, 1, 1, 0), (Text(768, 12),)),
    "SD 2": Layout(1024, (320, 640, 1280, 1280), (1, 1, 1, 0), (Text(1024, 23),)),
    "SDXL": Layout(2048, (320, 640, 1280), (0, 2, 10), (Text(768, 12), Text(1280, 32, projected=True)), 2816),
}


@lru_cache
def spelled_modules(family: str) -> Mapping[str, Module]:
    """Every spelling in which a file may have a module of that family."""
    layout = LAYOUTS[family]
    modules = tuple(modules_of(layout))
    double = len(layout.texts) > 1
    up_attention = tuple(depth > 0 for depth in reversed(layout.depths))
    found: dict[str, Module] = {}
    for module in modules:
        unet = module.component == "unet"
        spellings = (
            unet_spellings(module.name, BLOCKS, up_attention)
            if unet
            else text_spellings(module.component, module.name, double)
        )
        found |= dict.fromkeys(spellings, module)
    for component in ("unet", "text_encoder") if not double else ():
        names = {module.name: module for module in modules if module.component == component}
        found |= {spelling: names[name] for spelling, name in positions(component, names)}
    return found


def modules_of(layout: Layout) -> Iterator[Module]:
    """Every linear layer, convolution and norm."""
    yield from _unet(layout)
    for text, component in zip(layout.texts, ("text_encoder", "text_encoder_2"), strict=False):
        yield from _text(component, text)


def _unet(layout: Layout) -> Iterator[Module]:
    first, time = layout.channels[0], 4 * layout.channels[0]
    yield Module("unet", "conv_in", first, 4, 9)
    yield Module("unet", "time_embedding.linear_1", time, first)
    yield Module("unet", "time_embedding.linear_2", time, time)
    if layout.pooled:
        yield Module("unet", "add_embedding.linear_1", time, layout.pooled)
        yield Module("unet", "add_embedding.linear_2", time, time)
    yield from _down(layout, time)
    last, depth = layout.channels[-1], max(layout.depths[-2:])
    yield from _resnet("mid_block.resnets.0", last, last, time)
    yield from _attention("mid_block.attentions.0", last, depth, layout.cross)
    yield from _resnet("mid_block.resnets.1", last, last, time)
    yield from _up(layout, time)
    yield Module("unet", "conv_norm_out", first)
    yield Module("unet", "conv_out", 4, first, 9)


def _down(layout: Layout, time: int) -> Iterator[Module]:
    inputs = layout.channels[0]
    for level, (width, depth) in enumerate(zip(layout.channels, layout.depths, strict=True)):
        for i in range(BLOCKS):
            yield from _resnet(f"down_blocks.{level}.resnets.{i}", inputs, width, time)
            if depth:
                yield from _attention(f"down_blocks.{level}.attentions.{i}", width, depth, layout.cross)
            inputs = width
        if level < len(layout.channels) - 1:
            yield Module("unet", f"down_blocks.{level}.downsamplers.0.conv", width, width, 9)


def _up(layout: Layout, time: int) -> Iterator[Module]:
    """Each resnet reads what comes from below beside what the way down kept."""
    channels, depths = layout.channels[::-1], layout.depths[::-1]
    below = channels[0]
    for level, (width, depth) in enumerate(zip(channels, depths, strict=True)):
        above = channels[min(level + 1, len(channels) - 1)]
        for i in range(BLOCKS + 1):
            kept = above if i == BLOCKS else width
            yield from _resnet(f"up_blocks.{level}.resnets.{i}", below + kept, width, time)
            if depth:
                yield from _attention(f"up_blocks.{level}.attentions.{i}", width, depth, layout.cross)
            below = width
        if level < len(channels) - 1:
            yield Module("unet", f"up_blocks.{level}.upsamplers.0.conv", width, width, 9)


def _resnet(name: str, inputs: int, width: int, time: int) -> Iterator[Module]:
    yield Module("unet", f"{name}.norm1", inputs)
    yield Module("unet", f"{name}.conv1", width, inputs, 9)
    yield Module("unet", f"{name}.time_emb_proj", width, time)
    yield Module("unet", f"{name}.norm2", width)
    yield Module("unet", f"{name}.conv2", width, width, 9)
    if inputs != width:
        yield Module("unet", f"{name}.conv_shortcut", width, inputs)


def _attention(name: str, width: int, depth: int, cross: int) -> Iterator[Module]:
    yield Module("unet", f"{name}.norm", width)
    yield Module("unet", f"{name}.proj_in", width, width)
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        yield from (Module("unet", f"{block}.norm{number}", width) for number in (1, 2, 3))
        for attention, read in (("attn1", width), ("attn2", cross)):
            yield Module("unet", f"{block}.{attention}.to_q", width, width)
            yield Module("unet", f"{block}.{attention}.to_k", width, read)
            yield Module("unet", f"{block}.{attention}.to_v", width, read)
            yield Module("unet", f"{block}.{attention}.to_out.0", width, width)
        yield Module("unet", f"{block}.ff.net.0.proj", 8 * width, width)
        yield Module("unet", f"{block}.ff.net.2", width, 4 * width)
    yield Module("unet", f"{name}.proj_out", width, width)


def _text(component: str, text: Text) -> Iterator[Module]:
    width = text.width
    for i in range(text.layers):
        layer = f"encoder.layers.{i}"
        yield from (
            Module(component, f"{layer}.self_attn.{part}_proj", width, width) for part in ("k", "v", "q", "out")
        )
        yield Module(component, f"{layer}.layer_norm1", width)
        yield Module(component, f"{layer}.mlp.fc1", 4 * width, width)
        yield Module(component, f"{layer}.mlp.fc2", width, 4 * width)
        yield Module(component, f"{layer}.layer_norm2", width)
    yield Module(component, "final_layer_norm", width)
    if text.projected:
        yield Module(component, "text_projection", width, width)
