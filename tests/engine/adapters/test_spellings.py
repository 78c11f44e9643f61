"""What trainers call a layer: every spelling reaches the layer it means, with the change that was meant."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import AdapterInvalid, AdapterUnsupported, inspect_adapter
from engine.adapters.bank import AdapterBank
from engine.adapters.binding import Bound, bind
from engine.adapters.file import read_adapter
from engine.adapters.naming import group
from engine.adapters.table import find, key_table

from ..layouts import sd2, sd15, sdxl

REAL = Path(__file__).parents[2] / "real" / "lora_disney.safetensors"  # its origin and licence beside it
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
KOHYA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"
TEXT = "text_model.encoder.layers.3.self_attn"

# (the spelling of a key without its up or down, the module it means), as published files have them
SPELLINGS = [
    (f"unet.{BLOCK}.attn1.to_q.lora_A.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"unet.{BLOCK}.attn1.to_q.lora.down.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"unet.{BLOCK}.attn1.processor.to_q_lora.down.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"unet.{BLOCK}.attn2.processor.to_out_lora.down.weight", f"unet.{BLOCK}.attn2.to_out.0"),
    (f"{BLOCK}.attn2.processor.to_out_lora.down.weight", f"unet.{BLOCK}.attn2.to_out.0"),
    (f"{BLOCK}.attn2.processor.to_v_lora.down.weight", f"unet.{BLOCK}.attn2.to_v"),
    (f"base_model.model.{BLOCK}.attn1.to_q.lora_A.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"base_model.model.unet.{BLOCK}.attn1.to_q.lora_A.default.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"base_model.model.{TEXT}.q_proj.lora_A.weight", "text_encoder.encoder.layers.3.self_attn.q_proj"),
    (f"text_encoder.{TEXT}.q_proj.lora_A.weight", "text_encoder.encoder.layers.3.self_attn.q_proj"),
    (f"text_encoder.{TEXT}.q_proj.lora_linear_layer.down.weight", "text_encoder.encoder.layers.3.self_attn.q_proj"),
    (f"text_encoder.{TEXT}.to_out_lora.down.weight", "text_encoder.encoder.layers.3.self_attn.out_proj"),
    (f"lycoris_{BLOCK.replace('.', '_')}_attn1_to_q.lora_down.weight", f"unet.{BLOCK}.attn1.to_q"),
    (f"oft_unet_{BLOCK.replace('.', '_')}_attn1_to_q.oft_blocks", f"unet.{BLOCK}.attn1.to_q"),
    (f"{KOHYA}_attn1.to_k.lora_magnitude_vector", f"unet.{BLOCK}.attn1.to_k"),
    (f"lora_unet.{BLOCK}.attn1.to_k.lora_down.weight", f"unet.{BLOCK}.attn1.to_k"),
    ("diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_A.weight", f"unet.{BLOCK}.attn1.to_q"),
    ("diffusion_model.output_blocks.2.1.conv.lora_A.weight", "unet.up_blocks.0.upsamplers.0.conv"),
    (f"text_encoders.clip_l.transformer.{TEXT}.q_proj.lora_A.weight", "text_encoder.encoder.layers.3.self_attn.q_proj"),
    ("lora_unet_input_blocks_1_0_in_layers_0.w_norm", "unet.down_blocks.0.resnets.0.norm1"),
    ("lora_te_text_model_final_layer_norm.w_norm", "text_encoder.final_layer_norm"),
]
SDXL_SPELLINGS = [
    (f"text_encoder_2.{TEXT}.q_proj.lora_A.weight", "text_encoder_2.encoder.layers.3.self_attn.q_proj"),
    (
        f"text_encoders.clip_g.transformer.{TEXT}.q_proj.lora_A.weight",
        "text_encoder_2.encoder.layers.3.self_attn.q_proj",
    ),
    ("lora_te2_text_projection.lora_down.weight", "text_encoder_2.text_projection"),
    ("text_encoder_2.text_projection.lora_A.weight", "text_encoder_2.text_projection"),
    ("lora_te1_text_model_final_layer_norm.w_norm", "text_encoder.final_layer_norm"),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "a.safetensors"


def modules_in(key: str) -> list[str]:
    """How a file with this key spells its modules."""
    return list(group([key]).modules)


@pytest.mark.parametrize(
    ("layout", "key", "module"), [(sd15, *pair) for pair in SPELLINGS] + [(sdxl, *pair) for pair in SDXL_SPELLINGS]
)
def test_a_published_spelling_reaches_its_layer(layout: Any, key: str, module: str) -> None:
    """Keys as trainers wrote them, split by the reader and looked up in the model's table."""
    (spelling,) = modules_in(key)
    target = find(key_table(layout()), spelling)
    assert target is not None
    assert target.name == module


def bound(path: Path, pipeline: Any, family: str) -> Bound:
    return bind(read_adapter(path), key_table(pipeline), family, torch.device("cpu"))


@pytest.mark.parametrize(
    ("layout", "family", "modules"), [(sd15, "SD 1.5", 264), (sd2, "SD 2", 330), (sdxl, "SDXL", 986)]
)
@pytest.mark.parametrize("naming", ["diffusers", "ldm", "peft", "comfy"])
def test_a_whole_file_of_a_family_is_applied(layout: Any, family: str, modules: int, naming: str, small: Path) -> None:
    """kohya's default module count of each family, in four spellings: all layers applied, no key left."""
    pipeline = layout()
    table = key_table(pipeline)
    heads = {
        "diffusers": ("lora_unet_down_", "lora_unet_mid_", "lora_unet_up_", "lora_te"),
        "ldm": ("lora_unet_input_", "lora_unet_middle_", "lora_unet_output_", "lora_te"),
        "peft": ("unet.", "text_encoder.text_model.", "text_encoder_2.text_model."),
        "comfy": ("diffusion_model.", "text_encoders.clip_l.transformer.text", "text_encoders.clip_g.transformer.text"),
    }[naming]
    inside = (".transformer_blocks.", ".proj_in", ".proj_out", ".encoder.layers.")
    names: dict[str, str] = {}
    for key, target in table.items():
        text = target.component != "unet"
        wrapped = not key.startswith("lora_te") or "text_model" in key
        layer = target.parameter.dim() > 1 and any(part in f".{target.module}." for part in inside)
        if key.startswith(heads) and wrapped and layer and ("attentions" in target.module or text):
            names[target.name] = key
    up, down = ("lora_B", "lora_A") if "." in next(iter(names.values())) else ("lora_up", "lora_down")
    tensors = {}
    for name, key in names.items():
        weight = next(t for t in (table[key],) if t.name == name).parameter
        ones = [1] * (weight.dim() - 2)
        tensors[f"{key}.{up}.weight"] = torch.zeros(weight.shape[0], 1, *ones)
        tensors[f"{key}.{down}.weight"] = torch.zeros(1, weight.shape[1], *ones)
    save_file(tensors, small)
    report = bound(small, pipeline, family).report
    assert (report.applied, report.layers, report.unknown) == (modules, modules, ())


# ---------------------------------------------------------------------------------- the first format of all


def first_format_names(unet: torch.nn.Module) -> list[str]:
    """`unet:N` by README of shared/real, from the model's blocks as objects: down, up, mid; attn1, GEGLU, attn2."""
    names = []
    stages = [("down_blocks", unet.down_blocks), ("up_blocks", unet.up_blocks), ("mid_block", [unet.mid_block])]
    for stage, blocks in stages:
        for b, block in enumerate(blocks):
            place = stage if stage == "mid_block" else f"{stage}.{b}"
            for a, attention in enumerate(getattr(block, "attentions", None) or []):
                for t in range(len(attention.transformer_blocks)):
                    inner = f"{place}.attentions.{a}.transformer_blocks.{t}"
                    names += [f"{inner}.attn1.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")]
                    names += [f"{inner}.ff.net.0.proj"]
                    names += [f"{inner}.attn2.{part}" for part in ("to_q", "to_k", "to_v", "to_out.0")]
    return names


def test_the_first_published_lora_format_is_fully_applied() -> None:
    """192 layers of lora_disney change an SD 1.5 layout by their own up @ down; both embeddings are brought along."""
    pipeline, file = sd15(), load_file(REAL)
    result = bound(REAL, pipeline, "SD 1.5")
    assert str(result.report) == "lora_disney: 192 of 192 layers, embeddings <s1>, <s2>"
    assert result.report.ignored == {}
    assert {"<s1>", "<s2>"} <= set(result.applied)
    text = [f"encoder.layers.{i}.self_attn.{p}_proj" for i in range(12) for p in ("k", "v", "q", "out")]
    wanted = {f"unet.{name}": f"unet:{i}" for i, name in enumerate(first_format_names(pipeline.unet))}
    wanted |= {f"text_encoder.{name}": f"text_encoder:{i}" for i, name in enumerate(text)}
    assert wanted.keys() == result.changes.keys()
    for name, key in wanted.items():
        change = file[f"{key}:up"].double() @ file[f"{key}:down"].double()
        total = torch.zeros(change.shape)
        result.changes[name].add_to(total, total, 1.0)
        assert (total.double() - change).abs().max() <= 2e-5 * change.abs().max(), name


def test_a_positional_file_that_counts_other_layers_is_refused(small: Path) -> None:
    """Its numbers would mean other modules: the metadata lists which classes were counted."""
    tensors = {"unet:0:up": torch.ones(320, 1), "unet:0:down": torch.ones(1, 320)}
    save_file(tensors, small, metadata={"unet": json.dumps(["ResnetBlock2D", "CrossAttention", "GEGLU"])})
    with pytest.raises(AdapterUnsupported, match="counts other layers"):
        read_adapter(small)


# ---------------------------------------------------------------------------------- one layer, several spellings


def layer(key: str, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {f"{key}.lora_up.weight": torch.randn(64, 2), f"{key}.lora_down.weight": torch.randn(2, 64)}


def test_a_layer_in_both_of_kohyas_namings_counts_once(bank: AdapterBank, small: Path) -> None:
    """The second, equal half is ignored with a reason that names the first."""
    first, second = f"{KOHYA}_attn1_to_q", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    save_file(layer(first, 0) | layer(second, 0), small)
    report = bank.set([(read_adapter(small), 1.0)])[0]
    assert (report.applied, report.layers, report.unknown) == (1, 1, ())
    assert len(report.ignored) == 2
    assert all(reason.startswith("the same as lora_unet_") for reason in report.ignored.values())


def test_two_different_halves_for_one_layer_are_refused(bank: AdapterBank, small: Path) -> None:
    """Which of the two is meant would be a guess."""
    first, second = f"{KOHYA}_attn1_to_q", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    save_file(layer(first, 0) | layer(second, 1), small)
    with pytest.raises(AdapterInvalid, match="twice"):
        bank.set([(read_adapter(small), 1.0)])


def test_a_magnitude_under_a_mixed_spelling_belongs_to_its_layer(bank: AdapterBank, small: Path) -> None:
    """`lora_unet_..._attn1.to_q.lora_magnitude_vector` beside `lora_unet_..._attn1_to_q.lora_up.weight` makes DoRA."""
    tensors = layer(f"{KOHYA}_attn1_to_q", 0) | {f"{KOHYA}_attn1.to_q.lora_magnitude_vector": torch.full((64,), 2.0)}
    save_file(tensors, small)
    report = bank.set([(read_adapter(small), 1.0)])[0]
    assert (report.applied, report.layers) == (1, 1)
    weight = bank._table[f"{KOHYA}_attn1_to_q"].parameter
    assert torch.allclose(weight.norm(dim=1), torch.full((64,), 2.0), atol=1e-5)


# ---------------------------------------------------------------------------------- families


FAMILY_LAYERS: Mapping[str, Mapping[str, torch.Tensor]] = {
    "LoRA": {"lora_up.weight": torch.ones(8, 2), "lora_down.weight": torch.ones(2, 768)},
    "LoHa": {
        "hada_w1_a": torch.ones(8, 2),
        "hada_w1_b": torch.ones(2, 768),
        "hada_w2_a": torch.ones(8, 2),
        "hada_w2_b": torch.ones(2, 768),
    },
    "LoKr": {"lokr_w1": torch.ones(2, 24), "lokr_w2_a": torch.ones(4, 2), "lokr_w2_b": torch.ones(2, 32)},
    "GLoRA": {
        "a1.weight": torch.ones(768, 2),
        "a2.weight": torch.ones(2, 768),
        "b1.weight": torch.ones(320, 2),
        "b2.weight": torch.ones(2, 768),
    },
    "full": {"diff": torch.ones(8, 768)},
    "DoRA (LoRA)": {
        "lora_up.weight": torch.ones(8, 2),
        "lora_down.weight": torch.ones(2, 768),
        "dora_scale": torch.ones(8, 1),
    },
}


@pytest.mark.parametrize("name", FAMILY_LAYERS)
@pytest.mark.parametrize("spelled", [f"{KOHYA}_attn2_to_k", f"unet.{BLOCK}.attn2.processor.to_k_lora", "unet:6"])
def test_format_and_family_are_told_by_the_header(name: str, spelled: str, small: Path) -> None:
    """The name of the format, and SD 1.5 by the 768 inputs of cross-attention, in whatever format and spelling."""
    tensors = FAMILY_LAYERS[name]
    if spelled == "unet:6":
        if name != "LoRA":
            return  # that format has no other
        tensors = {"up": tensors["lora_up.weight"], "down": tensors["lora_down.weight"]}
    save_file({f"{spelled}{':' if spelled == 'unet:6' else '.'}{role}": t for role, t in tensors.items()}, small)
    info = inspect_adapter(small)
    assert (info.format, info.family) == (name, "SD 1.5")
