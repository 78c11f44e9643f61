"""The base model that a file is for, told by its shapes; and the files that are for none of ours, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import save_file

from engine import AdapterMismatch, AdapterUnsupported, inspect_adapter
from engine.adapters.bank import AdapterBank
from engine.adapters.file import read_adapter
from engine.adapters.layout import LAYOUTS, modules_of, spelled_modules
from engine.adapters.table import key_table

from ..layouts import sd2, sd15, sdxl

Shapes = dict[str, tuple[int, ...]]
MODELS: Mapping[str, Callable[[], Any]] = {"SD 1.5": sd15, "SD 2": sd2, "SDXL": sdxl}


def write(path: Path, shapes: Shapes, metadata: dict[str, str] | None = None) -> Path:
    tensors = {key: numpy.full(shape, 0.01, numpy.float16) for key, shape in shapes.items()}
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize("family", LAYOUTS)
def test_a_layout_is_the_model_module_for_module(family: str, builtin: Any) -> None:
    """Every linear, convolution and norm has the name, the size and all the spellings that the model's table has."""
    pipeline = MODELS[family]() if family in MODELS else builtin
    table = key_table(pipeline)
    real = {target.name: (target.parameter.shape[0], target.parameter[0].numel()) for target in table.values()}
    ours = {f"{m.component}.{m.name}": (m.rows, m.inputs * m.kernel) for m in modules_of(LAYOUTS[family])}
    assert ours == real
    spelled = {spelling: f"{module.component}.{module.name}" for spelling, module in spelled_modules(family).items()}
    assert spelled == {spelling: target.name for spelling, target in table.items()}


def layer(kind: str, rows: int, columns: int) -> Shapes:
    """The tensors of one linear layer in that format, by suffix."""
    return {
        "OFT": {"oft_blocks": (4, rows // 4, rows // 4)},
        "BOFT": {"oft_blocks": (1, rows // 8, 8, 8)},
        "IA3": {"weight": (rows,), "on_input": ()},
        "LoRA": {"lora_up.weight": (rows, 2), "lora_down.weight": (2, columns)},
        "DoRA (LoRA)": {"lora_up.weight": (rows, 2), "lora_down.weight": (2, columns), "dora_scale": (rows, 1)},
        "LoHa": {f"hada_w{i}_{p}": (rows, 2) if p == "a" else (2, columns) for i in "12" for p in "ab"},
        "LoKr": {"lokr_w1": (4, 4), "lokr_w2": (rows // 4, columns // 4)},
        "GLoRA": {"a1": (columns, 2), "a2": (2, columns), "b1": (rows, 2), "b2": (2, columns)},
        "full": {"diff": (rows, columns)},
    }[kind]


# (module, rows, columns) of files without cross-attention: what they can be for
SDXL_BLOCKS = [("lora_unet_input_blocks_7_1_transformer_blocks_3_attn1_to_q", 1280, 1280)]
SDXL_TEXTS = [("lora_te2_text_model_encoder_layers_30_mlp_fc1", 5120, 1280)]
CLIP_L = [("lora_te1_text_model_encoder_layers_3_mlp_fc1", 3072, 768)]
ONE_TEXT = [("lora_te_text_model_encoder_layers_3_mlp_fc1", 3072, 768)]
OPEN_CLIP_H = [("lora_te_text_model_encoder_layers_3_mlp_fc1", 4096, 1024)]
FOUR_LEVELS = [("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, 320)]
PEFT_TEXT = [("text_encoder.text_model.encoder.layers.3.mlp.fc1", 3072, 768)]
BUILT_IN = [("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", 64, 64)]
FILES = {
    "SDXL": (SDXL_BLOCKS, SDXL_TEXTS, CLIP_L),
    "SD 1.5": (ONE_TEXT,),
    "SD 2": (OPEN_CLIP_H,),
    "SD 1.5 or SD 2": (FOUR_LEVELS,),
    "SD 1.5 or SDXL": (PEFT_TEXT,),
    "built-in": (BUILT_IN,),
}


@pytest.mark.parametrize("kind", ["OFT", "BOFT", "IA3", "LoRA", "DoRA (LoRA)", "LoHa", "LoKr", "GLoRA", "full"])
@pytest.mark.parametrize(
    ("family", "modules"), [(family, modules) for family, files in FILES.items() for modules in files]
)
def test_every_format_tells_the_family_by_its_shapes(
    kind: str, family: str, modules: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    """Rotations know the outputs alone, gains one side; names and sizes leave one family, or two that agree."""
    shapes = {f"{name}.{role}": shape for name, r, c in modules for role, shape in layer(kind, r, c).items()}
    info = inspect_adapter(write(tmp_path / "x.safetensors", shapes))
    assert " or ".join(info.fits) == family
    assert info.family == ("" if " or " in family else family)
    assert info.format == kind


def test_norms_tell_the_family_too(tmp_path: Path) -> None:
    """320 at the input block 1 is in all of them; the label embedding and the third level's depth are SDXL's."""
    norms: Shapes = {
        "lora_unet_input_blocks_7_1_transformer_blocks_9_norm1.w_norm": (1280,),
        "lora_unet_input_blocks_1_0_in_layers_0.w_norm": (320,),
        "lora_unet_input_blocks_1_0_in_layers_0.b_norm": (320,),
    }
    info = inspect_adapter(write(tmp_path / "x.safetensors", norms))
    assert (info.format, info.family) == ("norm", "SDXL")


def test_where_shapes_allow_two_families_the_metadata_chooses_between_them(tmp_path: Path) -> None:
    """And only between them: an SD 1.5 or 2 file that says SDXL is told to contradict itself."""
    (name, rows, columns) = FOUR_LEVELS[0]
    shapes = {f"{name}.{role}": shape for role, shape in layer("LoRA", rows, columns).items()}
    path = tmp_path / "x.safetensors"
    info = inspect_adapter(write(path, shapes, {"ss_base_model_version": "sd_v2"}))
    assert (info.family, info.notes) == ("SD 2", ())
    info = inspect_adapter(write(path, shapes, {"ss_base_model_version": "sdxl_base_v1-0"}))
    assert info.family == ""
    assert info.notes == ("the metadata says SDXL, its layers have the shapes of SD 1.5 or SD 2",)


def test_shapes_win_over_the_metadata_and_the_disagreement_is_told(tmp_path: Path) -> None:
    shapes = {
        f"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.{role}": shape
        for role, shape in layer("LoRA", 640, 2048).items()
    }
    info = inspect_adapter(
        write(tmp_path / "x.safetensors", shapes, {"modelspec.architecture": "stable-diffusion-v1/lora"})
    )
    assert info.family == "SDXL"
    assert info.notes == ("the metadata says SD 1.5, its layers have the shapes of SDXL",)


@pytest.mark.parametrize(("family", "modules"), [("SDXL", SDXL_BLOCKS), ("SD 1.5 or SD 2", FOUR_LEVELS)])
@pytest.mark.parametrize("kind", ["OFT", "IA3", "LoRA"])
def test_another_family_is_refused_before_any_weight_is_touched_and_both_are_named(
    kind: str, family: str, modules: list[tuple[str, int, int]], bank: AdapterBank, tmp_path: Path
) -> None:
    shapes = {f"{name}.{role}": shape for name, r, c in modules for role, shape in layer(kind, r, c).items()}
    adapter = read_adapter(write(tmp_path / "x.safetensors", shapes))
    with pytest.raises(AdapterMismatch, match=f"made for {family}; this base model is built-in"):
        bank.set([(adapter, 1.0)])
    assert bank._pristine.nbytes == 0


QKV = ("img_attn_qkv", "txt_attn_qkv", "img_mlp_0")
FOREIGN: Mapping[str, tuple[str, list[str]]] = {
    "kohya's Flux": (
        "Flux",
        [f"lora_unet_double_blocks_{i}_{m}.lora_{p}.weight" for i in range(2) for m in QKV for p in ("up", "down")],
    ),
    "kohya's Flux with its text encoder": (
        "Flux",
        [
            "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
            "lora_unet_single_blocks_0_linear1.lora_up.weight",
        ],
    ),
    "diffusers' Flux": (
        "Flux",
        [
            f"transformer.single_transformer_blocks.{i}.attn.to_{m}.lora_{p}.weight"
            for i in range(2)
            for m in "qkv"
            for p in "AB"
        ],
    ),
    "Flux control of BFL": (
        "Flux",
        ["double_blocks.0.img_attn.norm.key_norm.scale", "double_blocks.0.img_attn.proj.lora_B.bias"],
    ),
    "XLabs' Flux": (
        "Flux",
        ["double_blocks.0.processor.qkv_lora1.down.weight", "double_blocks.0.processor.qkv_lora1.up.weight"],
    ),
    "kohya's SD 3": (
        "Stable Diffusion 3",
        [
            "lora_unet_joint_blocks_0_x_block_attn_qkv.lora_up.weight",
            "lora_te3_encoder_block_0_layer_0_SelfAttention_k.lora_up.weight",
        ],
    ),
    "diffusers' SD 3": (
        "Stable Diffusion 3",
        [f"transformer.transformer_blocks.0.attn.{m}.lora_A.weight" for m in ("add_q_proj", "to_q", "to_out.0")],
    ),
    "SimpleTuner's SD 3": (
        "Stable Diffusion 3",
        ["lycoris_transformer_blocks_0_attn_to_q.lokr_w1", "lycoris_transformer_blocks_0_attn_to_q.lokr_w2"],
    ),
    "LTX": ("another transformer", ["diffusion_model.transformer_blocks.0.attn1.to_k.lora_A.weight"]),
    "AuraFlow": ("AuraFlow", ["transformer.joint_transformer_blocks.0.attn.to_q.lora_A.weight"]),
    "HiDream": ("HiDream", ["diffusion_model.double_stream_blocks.0.block.attn1.to_k.lora_A.weight"]),
    "Wan": (
        "Wan",
        ["diffusion_model.blocks.0.cross_attn.k.lora_A.weight", "diffusion_model.blocks.0.self_attn.q.lora_B.weight"],
    ),
    "Lumina": ("Lumina", ["diffusion_model.layers.0.attention.qkv.lora_A.weight"]),
    "Stable Cascade": ("Stable Cascade", ["lora_prior_unet_down_blocks_0_1_attention_to_q.lora_down.weight"]),
    "AnimateDiff": (
        "AnimateDiff",
        [
            "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight"
        ],
    ),
    "control-LoRA": (
        "control-LoRA",
        [
            "lora_controlnet",
            "input_blocks.1.0.in_layers.2.up",
            "input_blocks.1.0.in_layers.2.down",
            "input_hint_block.0.weight",
        ],
    ),
    "ControlNet-LLLite": (
        "ControlNet-LLLite",
        [
            f"lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.{m}"
            for m in ("conditioning1.0.weight", "down.0.weight", "mid.0.weight", "up.0.weight")
        ],
    ),
    "IP-Adapter": (
        "IP-Adapter",
        [
            "image_proj.proj.weight",
            "image_proj.norm.weight",
            "ip_adapter.1.to_k_ip.weight",
            "ip_adapter.1.to_v_ip.weight",
        ],
    ),
    "IP-Adapter FaceID with a LoRA": (
        "IP-Adapter",
        ["ip_adapter.0.to_q_lora.down.weight", "ip_adapter.0.to_q_lora.up.weight", "image_proj.proj.0.weight"],
    ),
    "hypernetwork": (
        "hypernetwork",
        [f"{w}.{i}.linear.0.{p}" for w in (320, 640, 768) for i in (0, 1) for p in ("weight", "bias")],
    ),
    "whole checkpoint": (
        "whole checkpoint",
        [
            "model.diffusion_model.out.2.weight",
            "first_stage_model.encoder.conv_in.weight",
            "cond_stage_model.logit_scale",
        ],
    ),
    "T-LoRA": (
        "T-LoRA",
        [
            f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.{m}"
            for m in ("q_layer.weight", "p_layer.weight", "lambda_layer", "alpha")
        ],
    ),
    "PEFT's OFT": ("PEFT OFT", ["base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.oft_r"]),
    "PEFT's IA3": ("PEFT IA3", ["base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.ia3_l"]),
    "AdaLoRA": (
        "AdaLoRA",
        [f"base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.lora_{p}" for p in "ABE"],
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_files_for_other_things_are_refused_by_name(what: str, tmp_path: Path) -> None:
    """As their trainers and publishers key them; by the header alone and when read."""
    name, keys = FOREIGN[what]
    path = write(tmp_path / "x.safetensors", dict.fromkeys(keys, (4, 4)))
    for look in (inspect_adapter, read_adapter):
        with pytest.raises(AdapterUnsupported, match=name):
            look(path)


def test_no_spelling_of_a_known_family_looks_like_another_kind_of_file() -> None:
    from engine.adapters.naming import foreign

    for family in LAYOUTS:
        assert foreign(spelled_modules(family)) == ""
