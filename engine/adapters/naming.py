"""What the keys of an adapter file are called: (spelling of the module, role of the tensor in it).

A key is split at its *role suffix*, which the formats name; what stands before is the module as the file's trainer
spelled it. Which module of the model that is, the key table says (`table`): it is built from the model and never
guessed from the file. Spellings: shared/reference/lora_formats.md §1.4.
"""

from __future__ import annotations

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
    "alpha": "alpha",
}
# Role suffixes of formats that are known but not applied yet: they make the format's name for the error.
KNOWN_FORMATS: dict[str, str] = {
    "hada_w1_a": "LoHa",
    "hada_w1_b": "LoHa",
    "hada_w2_a": "LoHa",
    "hada_w2_b": "LoHa",
    "hada_t1": "LoHa",
    "hada_t2": "LoHa",
    "lokr_w1": "LoKr",
    "lokr_w1_a": "LoKr",
    "lokr_w1_b": "LoKr",
    "lokr_w2": "LoKr",
    "lokr_w2_a": "LoKr",
    "lokr_w2_b": "LoKr",
    "lokr_t2": "LoKr",
    "on_input": "IA3",
    "a1.weight": "GLoRA",
    "a2.weight": "GLoRA",
    "b1.weight": "GLoRA",
    "b2.weight": "GLoRA",
    "diff": "full difference",
    "diff_b": "full difference",
    "w_norm": "norm",
    "b_norm": "norm",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    "lora_magnitude_vector.weight": "DoRA",
    "oft_blocks": "OFT",
    "oft_diag": "OFT",
    "q_layer.weight": "T-LoRA",
    "p_layer.weight": "T-LoRA",
    "lambda_layer": "T-LoRA",
}
FOREIGN: tuple[tuple[str, str], ...] = (
    ("double_blocks", "Flux"),
    ("single_blocks", "Flux"),
    ("transformer.single_transformer_blocks", "Flux"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("transformer.transformer_blocks", "Stable Diffusion 3 or Flux"),
    ("lora_controlnet", "control-LoRA"),
    ("lllite_unet", "ControlNet-LLLite"),
    ("ip_adapter", "IP-Adapter"),
    ("image_proj.", "IP-Adapter"),
)


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
    return found


def foreign(keys: Iterable[str]) -> str:
    """The name of another kind of file that these keys give away, or ""."""
    return next((name for key in keys for sign, name in FOREIGN if sign in key), "")


def _split(key: str) -> tuple[str, str, str]:
    """(module, role, "") or (module, "", later format) or ("", "", "")."""
    position = key.find(".")
    while position != -1:
        suffix = key[position + 1 :]
        if suffix in ROLES:
            return key[:position], ROLES[suffix], ""
        if suffix in KNOWN_FORMATS:
            return key[:position], "", KNOWN_FORMATS[suffix]
        position = key.find(".", position + 1)
    return "", "", ""
