"""Full-size layouts of the real model families, on the meta device: names and shapes without memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

DOWN = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")


def sd15(device: str = "meta", dtype: torch.dtype = torch.float32) -> Any:
    """A pipeline-like object in the layout of Stable Diffusion 1.5, with random or no weights."""
    with torch.device(device):
        unet = UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=DOWN,
            up_block_types=UP,
            cross_attention_dim=768,
            attention_head_dim=8,
        )
        text = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
        )
    return SimplePipeline(unet=unet.to(dtype), text_encoder=text.to(dtype))


def sd15_unet_only(dtype: torch.dtype) -> Any:
    pipeline = sd15("meta", dtype)
    unet = pipeline.unet.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in unet.parameters():
        parameter.data.uniform_(-0.03, 0.03, generator=generator)
    return SimplePipeline(unet=unet)


def sd2() -> Any:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=96,
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=DOWN,
            up_block_types=UP,
            cross_attention_dim=1024,
            attention_head_dim=(5, 10, 20, 20),
            use_linear_projection=True,
        )
        text = CLIPTextModel(
            CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16)
        )
    return SimplePipeline(unet=unet, text_encoder=text)


def sdxl() -> Any:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128,
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            use_linear_projection=True,
        )
        first = CLIPTextModel(
            CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
        )
        second = CLIPTextModelWithProjection(
            CLIPTextConfig(
                hidden_size=1280,
                intermediate_size=5120,
                num_hidden_layers=32,
                num_attention_heads=20,
                projection_dim=1280,
            )
        )
    return SimplePipeline(unet=unet, text_encoder=first, text_encoder_2=second)


class SimplePipeline(SimpleNamespace):
    """What the bank looks at in a pipeline: its models by name. Weak references to it are possible."""

    __hash__ = object.__hash__  # type: ignore[assignment]
