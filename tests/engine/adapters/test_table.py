"""The table file key -> module, built from the models themselves, for every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.adapters.table import key_table

from ..layouts import sd2, sd15, sdxl

LAYERS = (torch.nn.Linear, torch.nn.Conv2d)


@pytest.mark.parametrize(("layout", "unet_layers"), [(sd15, 282), (sd2, 282), (sdxl, 794)])
def test_every_layer_of_every_family_has_its_spellings_and_no_two_share_one(layout: Any, unet_layers: int) -> None:
    """key_table refuses collisions itself; each linear and convolution is reachable by kohya's and PEFT's spelling."""
    pipeline = layout()
    table = key_table(pipeline)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        model = getattr(pipeline, part, None)
        if model is None:
            continue
        names = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
        if part == "unet":
            assert len(names) == unet_layers
        for name in names:
            assert table[f"{part}.{name}"].parameter is model.get_submodule(name).weight


@pytest.mark.parametrize("layout", [sd15, sd2, sdxl])
def test_kohyas_two_spellings_are_a_bijection(layout: Any) -> None:
    """Each UNet layer has one diffusers spelling and one LDM spelling, and no other layer has either."""
    table = key_table(layout())
    ldm_heads = (
        "lora_unet_input_blocks_",
        "lora_unet_output_blocks_",
        "lora_unet_middle_block_",
        "lora_unet_time_embed_",
        "lora_unet_label_emb_",
        "lora_unet_out_",
    )
    ldm = [table[key].name for key in table if key.startswith(ldm_heads)]
    diffusers = {t.name for key, t in table.items() if key.startswith("lora_unet_")}
    assert len(ldm) == len(set(ldm))
    assert set(ldm) == diffusers


# Pairs known from published files and from kohya's own conversion table, written down by hand.
KNOWN = [
    (sd15, "lora_unet_input_blocks_1_1_proj_in", "unet.down_blocks.0.attentions.0.proj_in"),
    (sd15, "lora_unet_input_blocks_3_0_op", "unet.down_blocks.0.downsamplers.0.conv"),
    (sd15, "lora_unet_input_blocks_11_0_in_layers_2", "unet.down_blocks.3.resnets.1.conv1"),
    (sd15, "lora_unet_output_blocks_2_1_conv", "unet.up_blocks.0.upsamplers.0.conv"),
    (sd15, "lora_unet_output_blocks_5_2_conv", "unet.up_blocks.1.upsamplers.0.conv"),
    (sd15, "lora_unet_out_2", "unet.conv_out"),
    (sd15, "lora_te_text_model_encoder_layers_3_mlp_fc1", "text_encoder.encoder.layers.3.mlp.fc1"),
    (sd2, "lora_te_text_model_encoder_layers_22_self_attn_q_proj", "text_encoder.encoder.layers.22.self_attn.q_proj"),
    (
        sdxl,
        "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k",
        "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
    ),
    (sdxl, "lora_unet_output_blocks_2_2_conv", "unet.up_blocks.0.upsamplers.0.conv"),
    (sdxl, "lora_unet_middle_block_2_out_layers_3", "unet.mid_block.resnets.1.conv2"),
    (sdxl, "lora_unet_label_emb_0_2", "unet.add_embedding.linear_2"),
    (sdxl, "lora_te1_text_model_encoder_layers_3_mlp_fc1", "text_encoder.encoder.layers.3.mlp.fc1"),
    (sdxl, "lora_te2_text_model_encoder_layers_31_mlp_fc2", "text_encoder_2.encoder.layers.31.mlp.fc2"),
    (sdxl, "lora_te2_text_projection", "text_encoder_2.text_projection"),
]


@pytest.mark.parametrize(("layout", "key", "module"), KNOWN)
def test_known_keys_mean_known_modules(layout: Any, key: str, module: str) -> None:
    """Spellings seen in published files, against names written down by hand."""
    assert key_table(layout())[key].name == module


def test_sd15_text_encoder_keys_mean_nothing_on_sdxl() -> None:
    """`lora_te_` belongs to families with one text encoder: on SDXL it would be a guess which of two is meant."""
    assert not [key for key in key_table(sdxl()) if key.startswith("lora_te_")]


def wrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The text encoder in the layout of transformers 4, where every class has the wrapper `text_model.`."""
    if hasattr(model, "text_model"):
        return model
    outer = torch.nn.Module()
    outer.text_model, outer.config = model, model.config
    return outer


def of_transformers_4(pipeline: Any) -> Any:
    for part in ("text_encoder", "text_encoder_2"):
        if hasattr(pipeline, part):
            setattr(pipeline, part, wrapped(getattr(pipeline, part)))
    return pipeline


def of_transformers_5(pipeline: Any) -> Any:
    return pipeline


@pytest.mark.parametrize("layout", [sd15, sd2, sdxl])
def test_a_text_encoder_of_transformers_4_has_the_same_spellings(layout: Any) -> None:
    """There every class has the wrapper `text_model.`, here one of two has; a file means the same under both."""
    now = {key: target.name for key, target in key_table(layout()).items()}
    assert {key: target.name for key, target in key_table(of_transformers_4(layout())).items()} == now


TEXT_LAYERS = {sd15: [72], sd2: [138], sdxl: [72, 193]}  # six a block, and the projection


@pytest.mark.parametrize("generation", [of_transformers_4, of_transformers_5])
@pytest.mark.parametrize("layout", [sd15, sd2, sdxl])
def test_every_trainers_spelling_is_a_bijection(layout: Any, generation: Any) -> None:
    """Kohya's and PEFT's names, made here from the model's own, reach every layer of every part, and each but one."""
    pipeline = generation(layout())
    table, heads = key_table(pipeline), ("lora_te1_", "lora_te2_") if layout is sdxl else ("lora_te_",)
    texts = [(p, h) for p, h in zip(("text_encoder", "text_encoder_2"), heads, strict=False)]
    counts = []
    for part, head in [("unet", "lora_unet_"), *texts]:
        model = getattr(pipeline, part)
        layers = {n: m.weight for n, m in model.named_modules() if isinstance(m, LAYERS)}
        inner = {name: name.removeprefix("text_model.") for name in layers}
        full = {n: f"text_model.{i}" if part != "unet" and i != "text_projection" else i for n, i in inner.items()}
        for spelled in (
            {n: head + full[n].replace(".", "_") for n in layers},  # kohya
            {n: f"{part}.{inner[n]}" for n in layers},  # PEFT under transformers 5
            {n: f"{part}.{full[n]}" for n in layers},  # PEFT under transformers 4
        ):
            assert len(set(spelled.values())) == len(layers)
            assert all(table[key].parameter is layers[name] for name, key in spelled.items())
        counts.append(len(layers))
    assert counts == [794 if layout is sdxl else 282, *TEXT_LAYERS[layout]]
