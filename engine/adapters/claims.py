"""What a file's metadata says of itself: trigger words, how it was trained, which base model it is for.

All of it is text that the author controls, so nothing here is believed and nothing here makes a good file bad: what
cannot be read becomes a note. Only the keys named here are ever looked at, texts are cut, and folders of the author's
disk are left out. Keys: shared/reference/lora_formats.md §1.5.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

MAX_TEXT = 200  # characters kept of any text
MAX_TRIGGERS = 20
EMBEDDED = "<embed>"  # cloneofsimo's mark on a token that was trained into the file
Metadata = Mapping[str, str]

_FOLDERS = re.compile(r"(?:(?<![A-Za-z])[A-Za-z]:[\\/]|\\\\|~[\\/]|(?<![\w:/.])/)(?:[^\\/,;\"'|]+[\\/])*")
_PHRASES = ("modelspec.trigger_phrase", "trained_words", "trainedWords", "trigger_words", "trigger_word")
# what is shown of the training -> the metadata that states it, the first that does counts
_TRAINED: Mapping[str, tuple[str, ...]] = {
    "base model": ("ss_sd_model_name",),
    "base model hash": ("ss_new_sd_model_hash", "ss_sd_model_hash"),
    "base model version": ("ss_base_model_version", "modelspec.architecture"),
    "network module": ("ss_network_module",),
    "network dim": ("ss_network_dim",),
    "network alpha": ("ss_network_alpha",),
    "steps": ("ss_steps", "ss_max_train_steps"),
    "epochs": ("ss_epoch", "ss_num_epochs"),
    "images": ("ss_num_train_images",),
    "learning rate": ("ss_learning_rate", "ss_unet_lr"),
    "optimizer": ("ss_optimizer",),
    "resolution": ("ss_resolution", "modelspec.resolution"),
    "clip skip": ("ss_clip_skip",),
    "prediction": ("modelspec.prediction_type",),
    "usage": ("modelspec.usage_hint",),
}
# by the start of what ss_base_model_version or modelspec.architecture say
_FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(start, re.IGNORECASE), family)
    for start, family in (
        (r"sdxl|sd_xl|stable-diffusion-xl|pony|illustrious|noobai", "SDXL"),
        (r"sd_?v?2|stable-diffusion-v2", "SD 2"),
        (r"sd_?v?1|stable-diffusion-v1", "SD 1.5"),
        (r"sd_?v?3|stable-diffusion-(v?3)", "Stable Diffusion 3"),
        (r"flux", "Flux"),
    )
)


def claimed_family(metadata: Metadata) -> str:
    """The base model that the metadata states, in the words of AdapterInfo.family; "" where it states none known."""
    for key in ("ss_base_model_version", "modelspec.architecture"):
        stated = metadata.get(key, "").strip()
        for start, family in _FAMILIES:
            if start.match(stated):
                return family
    return {"True": "SD 2"}.get(metadata.get("ss_v2", ""), "")


def claimed_tensor_hashes(metadata: Metadata) -> set[str]:
    """The hashes of the tensor bytes that the metadata states."""
    stated = (metadata.get("sshs_model_hash", ""), metadata.get("modelspec.hash_sha256", "").removeprefix("0x"))
    return {text.lower() for text in stated if re.fullmatch(r"[0-9A-Fa-f]{64}", text)}


def text_of(metadata: Metadata, *keys: str) -> str:
    """The first of these that says something, as one line that can be shown."""
    return next((text for key in keys if (text := plain(metadata.get(key, "")))), "")


def trigger_words(metadata: Metadata, notes: list[str]) -> tuple[str, ...]:
    """Tokens trained into the file and what the author states come first, then the trainer's tags by frequency."""
    tokens = [key for key, value in metadata.items() if value == EMBEDDED]
    stated = [word for key in _PHRASES for word in _words(metadata.get(key, ""))]
    counts = _tag_counts(_object(metadata, "ss_tag_frequency", notes))
    ranked = sorted(counts, key=lambda tag: -counts[tag])
    words = (plain(word) for word in (*tokens, *stated, *ranked[: 2 * MAX_TRIGGERS]))
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_TRIGGERS]


def training(metadata: Metadata, notes: list[str]) -> dict[str, str]:
    """How the file was trained, as far as it says: what -> the text to show."""
    facts = {"trainer": _trainer(metadata, notes)}
    facts |= {what: text_of(metadata, *keys) for what, keys in _TRAINED.items()}
    facts["algorithm"] = plain(str(_object(metadata, "ss_network_args", notes).get("algo") or ""))
    facts["images"] = _num_images(metadata, notes) or facts["images"]
    facts["optimizer"] = facts["optimizer"].partition("(")[0].rpartition(".")[2]
    facts["date"] = _date(metadata)
    progress = _object(metadata, "training_info", notes)  # ai-toolkit's
    for what, key in (("steps", "step"), ("epochs", "epoch")):
        facts[what] = facts[what] or plain(str(progress.get(key) or ""))
    return {what: text for what, text in facts.items() if text and text != "None"}


def plain(text: str) -> str:
    """One line without control characters, halves of characters and folders, cut to MAX_TEXT."""
    line = " ".join(text[: 4 * MAX_TEXT].split())
    shown = "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cs"))
    return _FOLDERS.sub("", shown)[:MAX_TEXT].strip()


def _words(stated: str) -> list[str]:
    """A list in JSON, or words between commas."""
    with suppress(ValueError, RecursionError):
        parsed = json.loads(stated)
        if isinstance(parsed, list):
            return [word for word in parsed[:MAX_TRIGGERS] if isinstance(word, str)]
    return stated.split(",", MAX_TRIGGERS)[:MAX_TRIGGERS]


def _tag_counts(frequency: Mapping[str, Any]) -> dict[str, float]:
    """Tag -> how often, over all datasets: {dataset: {tag: count}}."""
    counts: dict[str, float] = {}
    for tags in frequency.values():
        for tag, count in _dict(tags).items():
            if isinstance(count, int | float) and 0 < count < math.inf:
                counts[tag.strip()] = counts.get(tag.strip(), 0) + count
    return counts


def _trainer(metadata: Metadata, notes: list[str]) -> str:
    software = _object(metadata, "software", notes)  # ai-toolkit's
    if software:
        return plain(f"{software.get('name') or ''} {software.get('version') or ''}")
    if "ot_revision" in metadata or "ot_branch" in metadata:
        return plain(f"OneTrainer {metadata.get('ot_revision', '')[:8]}")
    if any(key in metadata for key in ("ss_sd_scripts_commit_hash", "ss_session_id", "ss_network_module")):
        commit = metadata.get("ss_sd_scripts_commit_hash", "")
        return plain(f"kohya sd-scripts {commit[:8] if commit != '(unknown)' else ''}")
    if "lora_adapter_metadata" in metadata:
        return "diffusers and PEFT"
    return "cloneofsimo's lora" if "unet:0:rank" in metadata else ""


def _num_images(metadata: Metadata, notes: list[str]) -> str:
    """The pictures of the dataset, without kohya's repeats; "" where they are not counted."""
    folders = list(_object(metadata, "ss_dataset_dirs", notes).values())
    for dataset in _json(metadata, "ss_datasets", list, notes) or ():
        subsets = _dict(dataset).get("subsets")
        folders += subsets if isinstance(subsets, list) else []
    total = sum(_counted(folders))
    return f"{total}" if total else ""


def _counted(folders: Iterable[Any]) -> Iterator[int]:
    for folder in folders:
        count = _dict(folder).get("img_count")
        if isinstance(count, int) and 0 < count < 10**9:
            yield count


def _date(metadata: Metadata) -> str:
    """The day on which the training ended or began (kohya: seconds since 1970), else what modelspec states."""
    for key in ("ss_training_finished_at", "ss_training_started_at"):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(float(metadata.get(key, "")), UTC).date().isoformat()
    return text_of(metadata, "modelspec.date")[:10]


def _object(metadata: Metadata, key: str, notes: list[str]) -> dict[str, Any]:
    return _dict(_json(metadata, key, dict, notes))


def _json(metadata: Metadata, key: str, kind: type, notes: list[str]) -> Any:
    """What the text under that key means, an object or a list; None, and a note, where it means nothing of the kind."""
    text = metadata.get(key, "")
    if text in ("", "None", "null"):
        return None
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        if isinstance(value, kind):
            return value
    note = f"the metadata {key} cannot be read"
    if note not in notes:
        notes.append(note)
    return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
