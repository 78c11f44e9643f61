"""What the metadata says of a file: shown, never believed, never a reason to fail."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from engine.adapters.claims import MAX_TEXT, MAX_TRIGGERS, claimed_family, plain, training, trigger_words

KOHYA = {  # the keys of a file that sd-scripts wrote, abridged
    "ss_session_id": "3812451020",
    "ss_sd_scripts_commit_hash": "d9184ab21c1ac9d3dcb1bd6ce1d9a04dd9ab2ed1",
    "ss_sd_model_name": "/home/kim/models/sd_xl_base_1.0.safetensors",
    "ss_sd_model_hash": "be9edd61",
    "ss_new_sd_model_hash": "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "lycoris.kohya",
    "ss_network_dim": "16",
    "ss_network_alpha": "8.0",
    "ss_network_args": json.dumps({"algo": "loha", "conv_dim": "8"}),
    "ss_steps": "1800",
    "ss_max_train_steps": "2000",
    "ss_epoch": "9",
    "ss_num_epochs": "10",
    "ss_num_train_images": "360",
    "ss_dataset_dirs": json.dumps({"10_moss kim": {"n_repeats": 10, "img_count": 30}, "2_x": {"img_count": 3}}),
    "ss_learning_rate": "0.0001",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)",
    "ss_resolution": "(1024, 1024)",
    "ss_clip_skip": "None",
    "ss_training_finished_at": "1712345678.9",
    "ss_training_comment": "see /home/kim/secret",
    "modelspec.prediction_type": "epsilon",
}


def test_the_facts_of_a_kohya_file_are_told() -> None:
    """Steps done rather than planned, pictures without repeats, the day in UTC; and no folder of the author's disk."""
    notes: list[str] = []
    assert training(KOHYA, notes) == {
        "trainer": "kohya sd-scripts d9184ab2",
        "base model": "sd_xl_base_1.0.safetensors",
        "base model hash": KOHYA["ss_new_sd_model_hash"],
        "base model version": "sdxl_base_v1-0",
        "network module": "lycoris.kohya",
        "network dim": "16",
        "network alpha": "8.0",
        "algorithm": "loha",
        "steps": "1800",
        "epochs": "9",
        "images": "33",
        "learning rate": "0.0001",
        "optimizer": "AdamW8bit",
        "resolution": "(1024, 1024)",
        "date": "2024-04-05",
        "prediction": "epsilon",
    }
    assert notes == []


@pytest.mark.parametrize(
    ("metadata", "trainer"),
    [
        ({"ot_branch": "master", "ot_revision": "0a1b2c3d4e5f"}, "OneTrainer 0a1b2c3d"),
        ({"software": json.dumps({"name": "ai-toolkit", "version": "0.3.1"})}, "ai-toolkit 0.3.1"),
        ({"lora_adapter_metadata": "{}"}, "diffusers and PEFT"),
        ({"unet:0:rank": "1"}, "cloneofsimo's lora"),
        ({"format": "pt"}, None),
    ],
)
def test_other_trainers_are_known_by_their_keys(metadata: dict[str, str], trainer: str | None) -> None:
    assert training(metadata, []).get("trainer") == trainer


def test_ai_toolkits_progress_counts_where_kohyas_is_not_there() -> None:
    found = training({"training_info": json.dumps({"step": 2000, "epoch": 7})}, [])
    assert (found["steps"], found["epochs"]) == ("2000", "7")


def test_trigger_words_are_counted_over_datasets() -> None:
    """What the author states first, in whatever form, then tags by their sum."""
    metadata = {
        "<s1>": "<embed>",
        "modelspec.trigger_phrase": "inkwash, paper",
        "trained_words": '["wet ink", 7]',
        "ss_tag_frequency": json.dumps({"1_a": {"flower": 3, "brush": 5, "paper": 1}, "2_b": {"flower": 4}}),
    }
    assert trigger_words(metadata, []) == ("<s1>", "inkwash", "paper", "wet ink", "flower", "brush")


def test_there_are_never_more_words_than_can_be_shown() -> None:
    tags = {f"tag {i}": i + 1 for i in range(1000)}
    words = trigger_words({"ss_tag_frequency": json.dumps({"d": tags}), "trigger_words": "a," * 10**6}, [])
    assert len(words) == MAX_TRIGGERS
    assert words[:2] == ("a", "tag 999")


MALFORMED: list[Any] = [
    "[1, 2",
    "[1, 2]",
    '"x"',
    "7",
    "{" * 100_000,
    '{"d": [1]}',
    '{"d": {"t": "many"}}',
    '{"d": {"t": 1e999}}',
    '{"d": {"t": NaN}}',
    '{"d": {"t": -3}}',
    '{"d": {"\\ud800": 3}}',
    '{"d": {"": 3, " ": 4}}',
    "9" * 5000,
    "\0",
    "nan",
    "1e400",
]
READ = (
    "ss_tag_frequency",
    "ss_network_args",
    "ss_dataset_dirs",
    "ss_datasets",
    "software",
    "training_info",
    "trained_words",
    "ss_training_finished_at",
    "modelspec.date",
    "ss_sd_model_name",
    "ss_optimizer",
    "ss_base_model_version",
    "ss_v2",
)


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:12])
def test_no_metadata_makes_a_good_file_bad(text: str) -> None:
    """Whatever stands under a key that is looked at: texts that can be stored and shown come out, perhaps a note."""
    for key in READ:
        notes: list[str] = []
        said = [*trigger_words({key: text}, notes), *training({key: text}, notes).values(), *notes]
        claimed_family({key: text})
        for line in said:
            line.encode("utf-8")
            assert 0 < len(line) <= MAX_TEXT


def test_what_cannot_be_read_is_noted_once() -> None:
    notes: list[str] = []
    metadata = {"ss_tag_frequency": "[1, 2", "ss_datasets": "{}"}
    trigger_words(metadata, notes)
    training(metadata, notes)
    trigger_words(metadata, notes)
    assert notes == ["the metadata ss_tag_frequency cannot be read", "the metadata ss_datasets cannot be read"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/kim/loras/moss.safetensors", "moss.safetensors"),
        ("C:\\Users\\kim\\moss", "moss"),
        ("trained from D:/sets/faces/moss", "trained from moss"),
        ("~/loras/moss", "moss"),
        ("\\\\server\\share\\moss", "moss"),
        ("https://example.org/moss", "https://example.org/moss"),
        ("a/b and 1/2", "a/b and 1/2"),
        ("moss\x1b[31m\x00\nmore", "moss[31m more"),
        ("half \ud800 a character", "half  a character"),
    ],
)
def test_a_text_is_one_line_without_folders_and_control_characters(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_long_text_is_cut() -> None:
    cut = plain("x y " * 10**6)
    assert len(cut) <= MAX_TEXT
    assert not any(unicodedata.category(c) == "Cc" for c in cut)


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({"ss_base_model_version": "sd_v1"}, "SD 1.5"),
        ({"ss_base_model_version": "sd_v2_v"}, "SD 2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        ({"ss_base_model_version": "flux1"}, "Flux"),
        ({"modelspec.architecture": "stable-diffusion-v1/lora"}, "SD 1.5"),
        ({"modelspec.architecture": "stable-diffusion-v2-768-v/lora"}, "SD 2"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "SDXL"),
        ({"modelspec.architecture": "stable-diffusion-3-medium/lora"}, "Stable Diffusion 3"),
        ({"ss_v2": "True"}, "SD 2"),
        ({"ss_v2": "False"}, ""),
        ({"ss_base_model_version": "my own"}, ""),
    ],
)
def test_the_stated_base_model_is_known_by_the_trainers_own_words(metadata: dict[str, str], family: str) -> None:
    assert claimed_family(metadata) == family
