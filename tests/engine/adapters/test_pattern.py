"""Alphas that PEFT's settings give by pattern: files that diffusers saves, against what PEFT itself adds."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from engine import AdapterInvalid, inspect_adapter, read_adapter
from engine.adapters.bank import AdapterBank
from engine.adapters.pattern import means, read_pattern

from ..layouts import SimplePipeline

pytestmark = pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match")  # PEFT's, on purpose

Q0 = "encoder.layers.0.self_attn.q_proj"
CONFIGS: dict[str, dict[str, Any]] = {
    "alpha is not the rank": {},
    "rsLoRA": {"use_rslora": True},
    "one layer by its whole name": {"alpha_pattern": {f"text_model.{Q0}": 8}},
    "one layer, and rsLoRA": {"alpha_pattern": {f"text_model.{Q0}": 8}, "use_rslora": True},
    "other ranks": {"alpha_pattern": {f"text_model.{Q0}": 8}, "rank_pattern": {f"text_model.{Q0}": 2}},
    "the end of names": {"alpha_pattern": {"q_proj": 3, "self_attn.k_proj": 5}},
    "no end of a part of a name": {"alpha_pattern": {"_proj": 3, "ttn.k_proj": 5}},
    "expressions": {"alpha_pattern": {r"text_model\..*layers\.[0-1]\..*(q|k)_proj": 9}},
    "an anchor": {"alpha_pattern": {"^encoder.*": 9, "^text_model.*v_proj$": 5}},
    "the first counts": {"alpha_pattern": {".*q_proj": 3, "q_proj": 7, Q0: 8}},
    "a dot is any character": {"alpha_pattern": {"self.attn.q_proj": 3}},
}


class Wrapped(torch.nn.Module):
    """A text encoder as transformers 4 had it and CLIPTextModelWithProjection still is: all in `text_model`."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.text_model = encoder


def trained(model: torch.nn.Module, modules: list[str], **config: Any) -> tuple[torch.nn.Module, LoraConfig]:
    settings = LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": modules, "init_lora_weights": False} | config)
    torch.manual_seed(0)
    return inject_adapter_in_model(settings, model), settings


def deltas(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Module -> what PEFT itself adds to its weight."""
    layers = ((name, module) for name, module in model.named_modules() if hasattr(module, "get_delta_weight"))
    return {name: module.get_delta_weight("default").detach() for name, module in layers}


def assert_adds(path: Path, pipeline: Any, component: str, wanted: dict[str, torch.Tensor]) -> None:
    model = getattr(pipeline, component)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    bank = AdapterBank(pipeline)
    bank.set([(read_adapter(path), 1.0)])
    after = {name: value.detach().clone() for name, value in model.named_parameters()}
    bank.set([])
    assert wanted
    for name, delta in wanted.items():
        assert torch.allclose(after[f"{name}.weight"] - before[f"{name}.weight"], delta, atol=1e-5), name


@pytest.mark.parametrize("config", CONFIGS)
def test_a_text_encoders_alphas_are_those_that_peft_computes(config: str, builtin: Any, tmp_path: Path) -> None:
    """Saved by diffusers from an encoder with the wrapper that the loaded one has no more."""
    model, peft = trained(
        Wrapped(copy.deepcopy(builtin.text_encoder)), ["q_proj", "k_proj", "v_proj"], **CONFIGS[config]
    )
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        text_encoder_lora_layers=get_peft_model_state_dict(model),
        text_encoder_lora_adapter_metadata=peft.to_dict(),
    )
    wanted = {name.removeprefix("text_model."): delta for name, delta in deltas(model).items()}
    assert_adds(tmp_path / "pytorch_lora_weights.safetensors", builtin, "text_encoder", wanted)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_second_text_encoders_too(config: str, builtin: Any, tmp_path: Path) -> None:
    """The one that has the wrapper to this day."""
    small = CLIPTextConfig(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    second = CLIPTextModelWithProjection(small)
    model, peft = trained(copy.deepcopy(second), ["q_proj", "k_proj", "v_proj"], **CONFIGS[config])
    StableDiffusionXLPipeline.save_lora_weights(
        tmp_path,
        text_encoder_2_lora_layers=get_peft_model_state_dict(model),
        text_encoder_2_lora_adapter_metadata=peft.to_dict(),
    )
    pipeline = SimplePipeline(unet=builtin.unet, text_encoder=builtin.text_encoder, text_encoder_2=second)
    assert_adds(tmp_path / "pytorch_lora_weights.safetensors", pipeline, "text_encoder_2", deltas(model))


def test_patterns_may_keep_the_wrapper_that_the_keys_have_lost(builtin: Any, tmp_path: Path) -> None:
    """diffusers with transformers 5 takes it from the keys of what it loads, and leaves it in the settings."""
    config = CONFIGS["one layer by its whole name"]
    model, peft = trained(Wrapped(copy.deepcopy(builtin.text_encoder)), ["q_proj", "k_proj"], **config)
    layers = get_peft_model_state_dict(model)
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        text_encoder_lora_layers={key.removeprefix("text_model."): value for key, value in layers.items()},
        text_encoder_lora_adapter_metadata=peft.to_dict(),
    )
    wanted = {name.removeprefix("text_model."): delta for name, delta in deltas(model).items()}
    assert_adds(tmp_path / "pytorch_lora_weights.safetensors", builtin, "text_encoder", wanted)


@pytest.mark.parametrize("alone", [False, True])
def test_a_unets_too(alone: bool, builtin: Any, tmp_path: Path) -> None:
    """By `save_lora_weights`, and by the UNet's own `save_lora_adapter`, whose settings name no part of the model."""
    pattern = {"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 8, r"down_blocks\.\d+\.attentions.*to_k": 3}
    unet = copy.deepcopy(builtin.unet)
    peft = LoraConfig(
        r=4, lora_alpha=6, target_modules=["to_q", "to_k"], init_lora_weights=False, alpha_pattern=pattern
    )
    torch.manual_seed(0)
    unet.add_adapter(peft)
    if alone:
        unet.save_lora_adapter(tmp_path, adapter_name="default")
    else:
        layers = get_peft_model_state_dict(unet)
        StableDiffusionPipeline.save_lora_weights(
            tmp_path, unet_lora_layers=layers, unet_lora_adapter_metadata=peft.to_dict()
        )
    assert_adds(tmp_path / "pytorch_lora_weights.safetensors", builtin, "unet", deltas(unet))


PIECES = [
    "a",
    "b",
    "1",
    ".",
    r"\.",
    r"\d",
    r"\w",
    "[ab]",
    "[^a.]",
    "[0-9]",
    "a*",
    "b+",
    ".*",
    ".?",
    ".*?",
    r"\w+",
    "[ab]*",
]


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(st.sampled_from([*PIECES, "(", "(?:", ")", "|", "^", "$"]), max_size=8).map("".join),
    st.text("ab1.", min_size=1, max_size=9),
)
def test_an_expression_means_what_it_means_to_peft(expression: str, module: str) -> None:
    """The same names as with the expression that PEFT makes of it; what is not read is none, or is no expression."""
    try:
        pattern = read_pattern(expression)
    except ValueError:
        with pytest.raises(re.error):
            re.compile(expression)
        return
    assert means(pattern, module) == bool(re.match(rf"(.*\.)?({expression})$", module))


@pytest.mark.parametrize(
    "pattern",
    ["(a|b)*", "(.*)+x", r"(a)\1", "(?=a)a", "(?i)a", "a{1,9}", "a*+", "[z-a]", "(a", "a)", "[", "\\", "a" * 257, "ü"],
)
def test_what_cannot_be_matched_in_bounded_time_is_refused_by_name(pattern: str, tmp_path: Path) -> None:
    """When the file is looked at, not when it is drawn with."""
    refused(tmp_path, {pattern: 2}, "names layers by")


@pytest.mark.parametrize(
    "patterns", [[1], "to_q", {f"m{i}": 2 for i in range(1025)}, {f"{'a' * i}.*": 2 for i in range(60)}, {"to_q": "2"}]
)
def test_patterns_that_are_none_or_too_many_are_refused(patterns: Any, tmp_path: Path) -> None:
    """An alpha that is not understood would be left out in silence."""
    refused(tmp_path, patterns, "lora_adapter_metadata")


def refused(folder: Path, patterns: Any, words: str) -> None:
    module = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{module}.lora_A.weight": torch.ones(2, 80), f"{module}.lora_B.weight": torch.ones(80, 2)}
    stated = json.dumps({"unet.lora_alpha": 2, "unet.alpha_pattern": patterns})
    save_file(tensors, folder / "x.safetensors", metadata={"lora_adapter_metadata": stated})
    for look in (inspect_adapter, read_adapter):
        with pytest.raises(AdapterInvalid, match=words):
            look(folder / "x.safetensors")


def test_an_expression_that_would_keep_python_busy_for_years_takes_no_time() -> None:
    """Fifty times "anything, then an a", and no x at the end."""
    pattern = read_pattern("(.*a)" * 50 + "x")
    begun = time.perf_counter()
    assert not means(pattern, "down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q" + "a" * 60)
    assert time.perf_counter() - begun < 0.1
