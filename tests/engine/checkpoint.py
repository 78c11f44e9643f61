"""The built-in model as one .safetensors checkpoint in the original LDM layout, as sites offer SD 1.x models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.adapters.spelling import ldm_name


def write_checkpoint(pipeline: Any, path: Path) -> Path:
    """UNet, autoencoder and text encoder under the names of CompVis' code; no config, no tokenizer."""
    tensors = {f"model.diffusion_model.{_unet(key)}": value for key, value in pipeline.unet.state_dict().items()}
    for key, value in pipeline.vae.state_dict().items():
        name = _vae(key, levels=len(pipeline.vae.config.block_out_channels))
        attention = ".attn_1." in name and name.endswith(".weight") and "norm" not in name
        tensors[f"first_stage_model.{name}"] = value[..., None, None] if attention else value
    for key, value in pipeline.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    save_file({key: value.contiguous().to(torch.float16) for key, value in tensors.items()}, path)
    return path


def _unet(key: str) -> str:
    module, _, parameter = key.rpartition(".")
    name = ldm_name(module, layers=2, up_attention=(False, True, True, True))
    assert name is not None, key
    return f"{name}.{parameter}"


def _vae(key: str, levels: int) -> str:
    for pattern, replacement in (
        (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
        (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}"),
        (r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample"),
        (r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
        (r"conv_norm_out", "norm_out"),
        (r"conv_shortcut", "nin_shortcut"),
    ):
        key = re.sub(pattern, replacement, key)
    return key
