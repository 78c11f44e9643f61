"""Words of members on a card: harmless, and never more than Discord takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pytest
from discord import ui
from safetensors.numpy import save_file

from bot.orders import CatalogEntry, Details
from bot.views import lists
from bot.views.adapter import adapter_card
from bot.views.text import block, code, lines, safe
from engine import AdapterInfo, inspect_adapter

NASTY = (
    "https://x**bold**", "[free](https://evil.example)", "@everyone", "<#123>", "</imagine:1>", "# big", "||hidden||",
    "a\u202eb", "\x1b[31m",
)  # fmt: skip

NASTY_KEYS = (
    "ss_output_name modelspec.title modelspec.author modelspec.license modelspec.trigger_phrase trained_words "
    "ss_sd_model_name ss_new_sd_model_hash ss_base_model_version ss_network_module ss_network_dim ss_steps ss_epoch "
    "ss_num_train_images ss_learning_rate ss_optimizer ss_resolution ss_clip_skip modelspec.usage_hint modelspec.date "
    "ss_dataset_dirs ss_datasets ss_training_comment ss_network_args training_info"
).split()


@pytest.mark.parametrize("text", NASTY)
def test_a_sentence_has_no_power(text: str) -> None:
    said = safe(text, 100)
    for power in ("://", "@everyone", "**", "||", "\u202e", "\x1b"):
        assert power not in said.replace("\\*", "").replace("\\|", "")
    assert not said.startswith(("<", "# "))
    assert len(safe(text * 1000, 900)) <= 1900


def test_code_keeps_lines_but_nothing_that_turns_what_follows_around() -> None:
    assert code("a\u202e`b`\n c", 50) == "`aˋbˋ c`"
    assert block("a\n\u2066b", 50) == "```\na\nb\n```"
    assert code("👩\u200d🎨", 50) == "`👩\u200d🎨`"


def test_lines_that_do_not_fit_are_said_to_be_there() -> None:
    assert lines(["a", "b"], "more") == "a\nb"
    assert lines(["a" * 10, "b" * 10], "more", 12) == "a" * 10 + "\n-# more"


def test_a_long_list_of_adapters_fits_one_message_and_says_that_there_are_more() -> None:
    info = AdapterInfo("x", "ab" * 32, "ab" * 32, 1, "LoRA", "SD 1.5", (4,), {"unet": 1}, ("w" * 50,) * 9)
    entry = CatalogEntry(1, "n" * 200, 7, None, "everyone", info, datetime(2026, 1, 1, tzinfo=UTC))
    (said,) = _said(lists.adapters([entry] * 100, ""))
    assert len(said) <= 4000
    assert said.endswith("send `/lora browse`.")


def test_what_a_file_says_of_itself_has_no_power_on_a_card(tmp_path: Path) -> None:
    """A path, a mention and a link in every metadata key that is looked at: none of them is in a message."""
    nasty = "@everyone /home/canary/x https://evil.example **b** <@1> `"
    tensors = {f"lora_unet_conv_in.lora_{part}.weight": numpy.ones((1, 1)) for part in ("up", "down")}
    tags = json.dumps({nasty: {nasty: 3, "x" * 500: 2}})
    metadata = dict.fromkeys(NASTY_KEYS, nasty * 20) | {
        "ss_tag_frequency": tags,
        "software": json.dumps({"name": nasty}),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata)
    info = inspect_adapter(tmp_path / "x.safetensors")
    entry = CatalogEntry(1, "x", 7, None, "everyone", info, datetime(2026, 1, 1, tzinfo=UTC))
    said = "\n".join(_said(adapter_card(Details(entry, (), None, favourite=False, mine=False), [])))
    assert "trained" in said
    assert len(said) <= 4000
    outside = "".join(said.replace("\\`", "").split("`")[::2])  # in a code span nothing means anything
    for power in ("@everyone", "canary", "https://", "**", "<@"):
        assert power not in outside.replace("\\*", "").replace("\\<", "")  # what is escaped is harmless
    assert "canary" not in said


def _said(card: ui.LayoutView) -> list[str]:
    return [item.content for item in card.walk_children() if isinstance(item, ui.TextDisplay)]
