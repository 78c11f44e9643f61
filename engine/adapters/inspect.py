"""What an adapter file is, from its header alone: no tensor is read into memory, no torch is imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import AdapterUnsupported
from ..types import AdapterInfo
from .family import family_of_shapes
from .header import Header, read_header
from .naming import Grouped, foreign, group

_PARTS = (
    ("lora_te2_", "text_encoder_2"),
    ("text_encoder_2.", "text_encoder_2"),
    ("lora_te", "text_encoder"),
    ("text_encoder.", "text_encoder"),
)
MAX_TEXT = 200  # characters kept of any text that a file brings along
MAX_TRIGGERS = 20


def inspect_adapter(path: str | Path) -> AdapterInfo:
    """What the file is. Raises AdapterInvalid when it is damaged, AdapterUnsupported when it is no adapter."""
    path = Path(path)
    header = read_header(path)
    sha256, tensor_sha256 = _hashes(path, header.data_start)
    return describe(header, path.stem, path.stat().st_size, sha256, tensor_sha256)


def describe(header: Header, name: str, size: int, sha256: str, tensor_sha256: str) -> AdapterInfo:
    """The info of a file whose header and hashes are known. Raises AdapterUnsupported."""
    grouped = group(header.tensors)
    refuse_unsupported(name, header, grouped)
    downs = {
        module: header.tensors[roles["down"]].shape for module, roles in grouped.modules.items() if "down" in roles
    }
    conv = any("mid" in roles for roles in grouped.modules.values()) or any(
        len(shape) == 4 and shape[2:] != (1, 1) for shape in downs.values()
    )
    metadata = header.metadata
    return AdapterInfo(
        name=name,
        sha256=sha256,
        tensor_sha256=tensor_sha256,
        size=size,
        format="LoCon" if conv else "LoRA",
        family=family_of_shapes(downs),
        ranks=tuple(sorted({shape[0] for shape in downs.values()})),
        modules=_count(grouped.modules),
        triggers=_triggers(metadata),
        title=_text(metadata, "modelspec.title", "ss_output_name"),
        author=_text(metadata, "modelspec.author"),
        license=_text(metadata, "modelspec.license"),
    )


def refuse_unsupported(name: str, header: Header, grouped: Grouped) -> None:
    """Raises AdapterUnsupported, naming the kind of file, when applying it would not give what its trainer meant."""
    kind = foreign(header.tensors)
    if kind:
        raise AdapterUnsupported(f"{name} is made for {kind}, which is not Stable Diffusion 1.5, 2 or XL.")
    if grouped.later:
        kinds = " and ".join(sorted(set(grouped.later.values())))
        raise AdapterUnsupported(
            f"{name} holds {kind_article(kinds)} {kinds} layers; only LoRA and LoCon are read so far."
        )
    if not grouped.modules:
        example = next(iter(header.tensors))
        raise AdapterUnsupported(f"{name} holds no LoRA layers that are known here; its first key is {example[:80]!r}.")


def kind_article(kind: str) -> str:
    return "an" if kind[:1] in "AEIO" else "a"


def _hashes(path: Path, data_start: int) -> tuple[str, str]:
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as file:
        whole.update(file.read(data_start))
        while block := file.read(1 << 20):
            whole.update(block)
            tensors.update(block)
    return whole.hexdigest(), tensors.hexdigest()


def _count(modules: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(("unet", "text_encoder", "text_encoder_2"), 0)
    for module in modules:
        counts[next((part for prefix, part in _PARTS if module.startswith(prefix)), "unet")] += 1
    return {part: count for part, count in counts.items() if count}


def _triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The phrase the author states comes first, then the trainer's tags by frequency (ss_tag_frequency)."""
    stated = [part.strip() for part in metadata.get("modelspec.trigger_phrase", "").split(",")]
    counts: dict[str, int] = {}
    try:
        frequency = json.loads(metadata.get("ss_tag_frequency", "{}"))
        for tags in frequency.values():
            for tag, count in tags.items():
                counts[str(tag).strip()] = counts.get(str(tag).strip(), 0) + int(count)
    except (ValueError, TypeError, AttributeError):
        counts = {}  # a claim of the file that cannot be read; the file itself is fine
    ranked = sorted(counts, key=lambda tag: -counts[tag])
    words = dict.fromkeys(word[:MAX_TEXT] for word in (*stated, *ranked) if word)
    return tuple(words)[:MAX_TRIGGERS]


def _text(metadata: Mapping[str, str], *keys: str) -> str:
    return next((metadata[key][:MAX_TEXT] for key in keys if metadata.get(key)), "")
