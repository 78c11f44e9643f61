"""Files trained here and now with lycoris-lora and PEFT, saved by them, give their own output when merged."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris import LycorisNetwork, create_lycoris
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from engine.adapters.bank import AdapterBank
from engine.adapters.file import read_adapter

from ..layouts import SimplePipeline

pytestmark = pytest.mark.slow  # each file is trained first

ALGORITHMS: dict[str, dict[str, Any]] = {
    "LoCon": {"algo": "lora"},
    "LoCon, Tucker": {"algo": "lora", "use_tucker": True},
    "LoCon, rsLoRA": {"algo": "lora", "rs_lora": True},
    "DoRA": {"algo": "lora", "weight_decompose": True},
    "LoHa": {"algo": "loha"},
    "LoHa, Tucker": {"algo": "loha", "use_tucker": True},
    "DoRA on LoHa": {"algo": "loha", "weight_decompose": True},
    "LoKr": {"algo": "lokr", "factor": 4},
    "LoKr, both factored": {"algo": "lokr", "factor": 8, "decompose_both": True, "linear_dim": 1},
    "LoKr, full": {"algo": "lokr", "factor": 4, "linear_dim": 10000, "linear_alpha": 1},
    "DoRA on LoKr": {"algo": "lokr", "factor": 4, "weight_decompose": True},
    "IA3": {"algo": "ia3"},
    "GLoRA": {"algo": "glora"},
    "full": {"algo": "full"},
    # a block is one rank: with larger blocks LyCORIS scales by alpha / blocks, which its own file does not tell
    "DyLoRA": {"algo": "dylora", "block_size": 1},
    "diag-OFT": {"algo": "diag-oft"},
    "diag-OFT, constrained, rescaled": {"algo": "diag-oft", "constraint": 1e-4, "rescaled": True},
    "BOFT": {"algo": "boft"},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_file_that_lycoris_trained_gives_its_own_output(
    name: str, builtin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of training, saved; merged into the base, the UNet says what the trained network says."""
    monkeypatch.setattr("lycoris.modules.dylora.random.randint", lambda least, most: most)  # DyLoRA at its full rank
    torch.manual_seed(0)
    base = builtin.unet
    unet = copy.deepcopy(base)
    LycorisNetwork.apply_preset({"target_module": ["ResnetBlock2D", "Transformer2DModel"]})
    settings = {"linear_dim": 4, "linear_alpha": 2.0, "conv_dim": 4, "conv_alpha": 2.0} | ALGORITHMS[name]
    network = create_lycoris(unet.down_blocks[1], 1.0, **settings)
    network.apply_to()
    train(unet, network.parameters())
    network.eval()
    network.save_weights(tmp_path / "t.safetensors", torch.float32, {})
    renamed(tmp_path / "t.safetensors")
    assert_same_output(base, unet, tmp_path / "t.safetensors")


@pytest.mark.parametrize("dora", [False, True])
def test_a_file_that_peft_trained_gives_its_own_output(dora: bool, builtin: Any, tmp_path: Path) -> None:
    """`save_pretrained` writes `base_model.model...` and keeps alpha in another file, so alpha = rank here."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=4, use_dora=dora, target_modules=["to_q", "to_out.0", "conv1", "ff.net.2"])
    model = get_peft_model(copy.deepcopy(builtin.unet), config)
    train(model, (p for p in model.parameters() if p.requires_grad))
    model.save_pretrained(tmp_path)
    assert_same_output(builtin.unet, model, tmp_path / "adapter_model.safetensors")


def drawn(model: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 77, 96, generator=generator)
    result: torch.Tensor = model(latents, torch.tensor(500), encoder_hidden_states=text).sample
    return result


def train(model: Any, parameters: Iterable[torch.nn.Parameter]) -> None:
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(2):
        optimizer.zero_grad()
        drawn(model).pow(2).sum().backward()
        optimizer.step()


def assert_same_output(base: Any, trained: Any, path: Path) -> None:
    """Merged into the base the file gives the trained model's output, up to 1e-3 of what training changed."""
    pipeline = SimplePipeline(unet=copy.deepcopy(base))
    report = AdapterBank(pipeline).set([(read_adapter(path), 1.0)])[0]
    assert report.unknown == ()
    assert report.applied == report.layers > 20
    with torch.no_grad():
        before, merged, wanted = drawn(base), drawn(pipeline.unet), drawn(trained)
    assert (merged - wanted).abs().max() <= 1e-3 * (wanted - before).abs().max()


def renamed(path: Path) -> None:
    """The network was made of one block; a whole UNet's file has the block's name in front."""
    tensors = load_file(path)
    save_file({key.replace("lycoris_", "lycoris_down_blocks_1_", 1): value for key, value in tensors.items()}, path)
