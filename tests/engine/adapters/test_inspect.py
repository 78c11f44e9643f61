"""inspect_adapter: what a file is, from its header alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import AdapterNotFound, builtin_adapter, inspect_adapter
from engine.adapters.file import read_adapter

from ..files import write_kohya


def test_the_family_is_told_by_the_width_of_cross_attention(tmp_path: Path) -> None:
    """768 is SD 1.5, 1024 is SD 2, 2048 is SDXL, whatever the metadata claims."""
    for width, family in ((768, "SD 1.5"), (1024, "SD 2"), (2048, "SDXL")):
        layer = ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", torch.empty(8, width))
        path = write_kohya(tmp_path / f"{width}.safetensors", [layer], metadata={"ss_base_model_version": "sd_v9"})
        assert inspect_adapter(path).family == family


def test_hashes_are_those_of_the_file_and_of_its_tensor_bytes(tmp_path: Path) -> None:
    """The tensor hash does not change when only the metadata does (AutoV3's definition)."""
    layer = ("lora_te_text_model_encoder_layers_0_mlp_fc1", torch.empty(8, 8))
    one = write_kohya(tmp_path / "one.safetensors", [layer])
    two = write_kohya(tmp_path / "two.safetensors", [layer], metadata={"ss_output_name": "renamed"})
    assert inspect_adapter(one).sha256 == hashlib.sha256(one.read_bytes()).hexdigest()
    assert inspect_adapter(one).sha256 != inspect_adapter(two).sha256
    assert inspect_adapter(one).tensor_sha256 == inspect_adapter(two).tensor_sha256


def test_the_fields_own_hashes_are_by_their_definitions(tmp_path: Path) -> None:
    """SHA-256, AutoV1, AutoV2, AutoV3 and the tensor hash, each derived here anew; the library saved the file."""
    layers = [(f"lora_te_text_model_encoder_layers_{i}_mlp_fc1", torch.empty(3072, 768)) for i in range(12)]
    path = write_kohya(tmp_path / "one.safetensors", layers, rank=8, metadata={"ss_output_name": "x" * 1000})
    data = path.read_bytes()
    assert len(data) > 0x110000, "smaller files have an AutoV1 of nothing"
    behind_header = data[8 + struct.unpack("<Q", data[:8])[0] :]
    for info in (inspect_adapter(path), read_adapter(path).info):
        assert info.sha256 == hashlib.sha256(data).hexdigest()
        assert info.autov1 == hashlib.sha256(data[1024 * 1024 : 1024 * 1024 + 64 * 1024]).hexdigest()[:8]
        assert info.autov2 == hashlib.sha256(data).hexdigest()[:10]
        assert info.tensor_sha256 == hashlib.sha256(behind_header).hexdigest()
        assert info.autov3 == hashlib.sha256(behind_header).hexdigest()[:12]
        assert info.size == len(data)


@pytest.mark.parametrize("key", ["sshs_model_hash", "modelspec.hash_sha256"])
def test_a_hash_that_the_metadata_states_is_compared_with_the_files(key: str, tmp_path: Path) -> None:
    """Stated truly nothing is said; stated of other tensors, the file was changed, and a note says so."""
    layer = ("lora_te_text_model_encoder_layers_0_mlp_fc1", torch.empty(3072, 768))
    real = inspect_adapter(write_kohya(tmp_path / "x.safetensors", [layer])).tensor_sha256
    for stated, noted in ((real, False), (f"0x{real}", False), ("ab" * 32, True), ("no hash", False)):
        path = write_kohya(tmp_path / "x.safetensors", [layer], metadata={key: stated})
        assert any("hash" in note for note in inspect_adapter(path).notes) is noted


def test_everything_that_is_told_is_json(tmp_path: Path) -> None:
    """An info goes into a database and over a wire, and comes back as it was."""
    path = write_kohya(
        tmp_path / "x.safetensors", [("lora_te_text_model_encoder_layers_0_mlp_fc1", torch.empty(3072, 768))]
    )
    info = inspect_adapter(path)
    back = json.loads(json.dumps(dataclasses.asdict(info)))
    assert {
        name: tuple(value) if isinstance(value, list) else value for name, value in back.items()
    } == dataclasses.asdict(info)
    assert info.alphas == (2.0,)


def test_trigger_words_come_stated_first_then_by_frequency(tmp_path: Path) -> None:
    """modelspec.trigger_phrase before ss_tag_frequency."""
    frequency = json.dumps({"1_a": {"flower": 3, "brush": 9}, "2_b": {"flower": 8}})
    layer = ("lora_te_text_model_encoder_layers_0_mlp_fc1", torch.empty(8, 8))
    metadata = {"ss_tag_frequency": frequency, "modelspec.trigger_phrase": "inkwash, paper"}
    path = write_kohya(tmp_path / "x.safetensors", [layer], metadata=metadata)
    assert inspect_adapter(path).triggers == ("inkwash", "paper", "flower", "brush")


def test_metadata_that_cannot_be_read_does_not_make_a_good_file_bad(tmp_path: Path) -> None:
    """Tag frequencies are a claim of the file, not part of it."""
    layer = ("lora_te_text_model_encoder_layers_0_mlp_fc1", torch.empty(8, 8))
    path = write_kohya(tmp_path / "x.safetensors", [layer], metadata={"ss_tag_frequency": "[1, 2"})
    assert inspect_adapter(path).triggers == ()


@pytest.mark.parametrize("name", ["ink", "neon", "light"])
def test_the_built_in_adapters_are_small_kohya_files_with_their_trigger_words(name: str) -> None:
    """50 to 500 KB, 192 UNet and 12 text layers, made for the built-in model."""
    info = inspect_adapter(builtin_adapter(name))
    assert 50_000 <= info.size <= 500_000
    assert (info.format, info.family) == ("LoRA", "built-in")
    assert dict(info.modules) == {"unet": 192, "text_encoder": 12}
    assert info.triggers[0] == {"ink": "inkwash", "neon": "neonglow", "light": "sidelight"}[name]


def test_no_other_name_is_built_in() -> None:
    """The error lists the names there are."""
    with pytest.raises(AdapterNotFound, match="ink, neon, light"):
        builtin_adapter("../../etc/passwd")


def test_inspecting_loads_no_torch() -> None:
    """Header only: the bot's event loop process can look at a file without a tensor library."""
    code = "import sys, engine; engine.inspect_adapter(engine.builtin_adapter('ink')); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
