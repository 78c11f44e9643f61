"""What the keys of an adapter file are called: (spelling of the module, role of the tensor in it).

A key is split at its *role suffix*, which the formats name; what stands before is the module as the file's trainer
spelled it. Which module of the model that is, the key table says (`table`): it is built from the model and never
guessed from the file. Spellings: shared/reference/lora_formats.md §1.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Suffixes as files have them -> the role that formats know. The longest match wins.
ROLES: dict[str, str] = {
    "lora_up.weight": "up",
    "lora_down.weight": "down",
    "lora_mid.weight": "mid",
    "lora_B.weight": "up",
    "lora_A.weight": "down",
    "lora_B.default.weight": "up",
    "lora_A.default.weight": "down",
    "lora.up.weight": "up",  # diffusers 0.19 to 0.21
    "lora.down.weight": "down",
    "lora_linear_layer.up.weight": "up",
    "lora_linear_layer.down.weight": "down",
    "up.weight": "up",  # diffusers 0.13 to 0.18: `...processor.to_q_lora.up.weight`
    "down.weight": "down",
    "alpha": "alpha",
    "lora.alpha": "alpha",
    "scale": "scale",
    "dora_scale": "dora",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
    "lora_magnitude_vector.default.weight": "magnitude",
    "weight": "weight",
    "on_input": "on_input",
    "rescale": "rescale",
} | {
    role: role
    for role in (
        "hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2 "
        "lokr_w1 lokr_w1_a lokr_w1_b lokr_w2 lokr_w2_a lokr_w2_b lokr_t2 "
        "diff diff_b w_norm b_norm oft_blocks oft_diag bias bias_indices bias_values bias_size"
    ).split()
}
ROLES |= {f"{role}{end}": role for role in ("a1", "a2", "b1", "b2", "bm") for end in ("", ".weight")}

# Role suffixes of formats that are known and not applied: they make the format's name for the error.
KNOWN_FORMATS: dict[str, str] = {
    "q_layer.weight": "T-LoRA",
    "p_layer.weight": "T-LoRA",
    "lambda_layer": "T-LoRA",
    "set_weight": "ComfyUI replacement",
    "reshape_weight": "ComfyUI reshaping",
    "ia3_l": "PEFT IA3",
    "oft_r": "PEFT OFT",
    "oft_R.weight": "PEFT OFT",
    "boft_R": "PEFT BOFT",
    "boft_s": "PEFT BOFT",
    "vera_lambda_b": "VeRA",
    "vera_lambda_d": "VeRA",
    "lora_E": "PEFT AdaLoRA",
    "lora_A": "PEFT AdaLoRA",
    "lora_B": "PEFT AdaLoRA",
    "hra_u": "PEFT HRA",
    "lora_embedding_A": "PEFT embedding",
    "lora_embedding_B": "PEFT embedding",
}
# Parts of keys that give another kind of file away.
FOREIGN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(sign), name)
    for sign, name in (
        (r"double_stream_blocks|single_stream_blocks", "HiDream"),
        (r"joint_transformer_blocks", "AuraFlow"),
        (r"double_blocks|single_blocks|single_transformer_blocks|guidance_in[._]", "Flux"),
        (r"joint_blocks|lora_te3_|^text_encoder_3\.|^text_encoders\.t5", "Stable Diffusion 3"),
        (
            r"^(base_model\.model\.|transformer\.|diffusion_model\.)*transformer_blocks\.|^lora_transformer_"
            r"|^(lora_unet|lycoris)_transformer_blocks_",
            "Stable Diffusion 3 or Flux, or another transformer",
        ),
        (r"^(diffusion_model\.|transformer\.)blocks\.\d|^lora_unet_blocks_\d", "a video model (Wan)"),
        (r"^(diffusion_model\.|transformer\.)layers\.\d|^lora_unet_layers_\d", "another transformer (Lumina, Z-Image)"),
        (r"^lora_prior_", "Stable Cascade"),
        (r"motion_modules", "AnimateDiff (a motion module)"),
        (r"lora_controlnet|^control_model\.|controlnet_cond_embedding", "ControlNet (a control-LoRA)"),
        (r"lllite_", "ControlNet (ControlNet-LLLite)"),
        (r"ip_adapter|^image_proj\.|to_[kv]_ip\.", "image prompts (IP-Adapter)"),
        (r"^\d{3,4}\.\d*\.?(linear|0\.|1\.)", "the WebUI (a hypernetwork)"),
        (r"^model\.diffusion_model\.|^first_stage_model\.", "nothing else (a whole checkpoint)"),
    )
)
_POSITIONAL = re.compile(r"((?:unet|text_encoder):\d+):(up|down)")


@dataclass(slots=True)
class Grouped:
    """Keys of a file by module. `unsplit` are keys without any role known here."""

    modules: dict[str, dict[str, str]] = field(default_factory=dict)  # module -> role -> key
    later: dict[str, str] = field(default_factory=dict)  # key -> the format it belongs to
    unsplit: list[str] = field(default_factory=list)


def group(keys: Iterable[str]) -> Grouped:
    """Every key is in exactly one of the three parts. A role that a module has twice (two spellings) is `unsplit`."""
    found = Grouped()
    for key in keys:
        module, role, late = _split(key)
        if late:
            found.later[key] = late
        elif role and role not in found.modules.get(module, {}):
            found.modules.setdefault(module, {})[role] = key
        else:
            found.unsplit.append(key)
    for module in [m for m, roles in found.modules.items() if roles.keys() <= {"weight", "bias"}]:
        found.unsplit += found.modules.pop(module).values()  # a model's own weights; IA3 has `on_input` beside `weight`
    return found


def foreign(keys: Iterable[str]) -> str:
    """What another kind of file, which these keys give away, is made for; or ""."""
    return next((name for key in keys for sign, name in FOREIGN if sign.search(key)), "")


def positional(modules: Iterable[str]) -> bool:
    """Whether the file is of cloneofsimo's first format, which counts layers instead of naming them."""
    return any(_POSITIONAL.match(f"{module}:up") for module in modules)


def _split(key: str) -> tuple[str, str, str]:
    """(module, role, "") or (module, "", later format) or ("", "", "")."""
    match = _POSITIONAL.fullmatch(key)
    if match:
        return match[1], match[2], ""
    position = key.find(".")
    while position != -1:
        suffix = key[position + 1 :]
        if suffix in ROLES:
            return key[:position], ROLES[suffix], ""
        if suffix in KNOWN_FORMATS:
            return key[:position], "", KNOWN_FORMATS[suffix]
        position = key.find(".", position + 1)
    return "", "", ""
