"""What an adapter file is, from its header alone: no tensor is read into memory, no torch is imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import AdapterUnsupported
from ..types import AdapterInfo
from .family import Shapes, family_of_shapes
from .header import Header, read_header
from .naming import Grouped, foreign, group, positional

_PARTS = (
    ("lora_te2_", "text_encoder_2"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoders.clip_g.", "text_encoder_2"),
    ("lora_te", "text_encoder"),
    ("oft_te", "text_encoder"),
    ("text_encoder", "text_encoder"),
)
_FORMATS = (  # a role that tells the format
    ("down", "LoRA"),
    ("up", "LoRA"),
    ("hada_w1_a", "LoHa"),
    ("lokr_w1", "LoKr"),
    ("lokr_w1_a", "LoKr"),
    ("on_input", "IA3"),
    ("a1", "GLoRA"),
    ("diff", "full"),
    ("diff_b", "full"),
    ("w_norm", "norm"),
    ("oft_blocks", "OFT"),
    ("oft_diag", "OFT"),
)
MAX_TEXT = 200  # characters kept of any text that a file brings along
MAX_TRIGGERS = 20


def inspect_adapter(path: str | Path) -> AdapterInfo:
    """What the file is. Raises AdapterInvalid when it is damaged, AdapterUnsupported when it is no adapter."""
    path = Path(path)
    header = read_header(path)
    sha256, tensor_sha256 = file_hashes(path, header.data_start)
    return describe(header, group(header.tensors), path.stem, path.stat().st_size, sha256, tensor_sha256)


def describe(header: Header, grouped: Grouped, name: str, size: int, sha256: str, tensor_sha256: str) -> AdapterInfo:
    """The info of a file whose header, grouped by module, and hashes are known. Raises AdapterUnsupported."""
    refuse_unsupported(name, header, grouped)
    shapes = {
        module: {role: header.tensors[key].shape for role, key in roles.items()}
        for module, roles in grouped.modules.items()
    }
    metadata = header.metadata
    return AdapterInfo(
        name=name,
        sha256=sha256,
        tensor_sha256=tensor_sha256,
        size=size,
        format=format_of(shapes.values()),
        family=family_of_shapes(shapes),
        ranks=tuple(sorted({rank for roles in shapes.values() if (rank := _rank(roles))})),
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
    if positional(grouped.modules) and not _known_classes(header.metadata):
        raise AdapterUnsupported(f"{name} counts other layers than those of the first LoRA trainer's defaults.")
    if grouped.later:
        kinds = " and ".join(sorted(set(grouped.later.values())))
        raise AdapterUnsupported(f"{name} holds {kinds} layers, which cannot be applied here.")
    if not grouped.modules:
        example = next(iter(header.tensors))
        raise AdapterUnsupported(f"{name} holds no LoRA layers that are known here; its first key is {example[:80]!r}.")


def _known_classes(metadata: Mapping[str, str]) -> bool:
    """Whether a positional file counts the layers that `spelling.positions` counts; its metadata lists the classes."""
    try:
        unet = set(json.loads(metadata.get("unet", '["CrossAttention", "GEGLU"]')))
        text = set(json.loads(metadata.get("text_encoder", '["CLIPAttention"]')))
    except (ValueError, TypeError):
        return False
    return unet - {"CrossAttention", "Attention"} == {"GEGLU"} and len(unet) > 1 and text == {"CLIPAttention"}


def format_of(modules: Iterable[Shapes]) -> str:
    """The formats in the file by name, joined by " + "; DoRA is named before what it is on top of."""
    names: dict[str, None] = {}
    for shapes in modules:
        name = next((name for sign, name in _FORMATS if sign in shapes), "")
        if name == "LoRA" and ("mid" in shapes or any(side != 1 for side in shapes.get("down", ())[2:])):
            name = "LoCon"
        if name == "OFT" and len(shapes.get("oft_blocks", ())) == 4:
            name = "BOFT"
        if name:
            names[f"DoRA ({name})" if {"dora", "magnitude"} & shapes.keys() else name] = None
    if "LoCon" in names:
        names.pop("LoRA", None)  # a LoCon file has linear layers too
    return " + ".join(names)


def _rank(shapes: Shapes) -> int:
    """The rank of one layer, 0 where the format has none."""
    for role in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if shapes.get(role):
            return shapes[role][0]
    return min(shapes["a1"][:2]) if len(shapes.get("a1", ())) >= 2 else 0


def file_hashes(path: Path, data_start: int) -> tuple[str, str]:
    """SHA-256 of the whole file and of its tensors, which begin at `data_start`."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as file:
        whole.update(file.read(data_start))
        while block := file.read(1 << 20):
            whole.update(block)
            tensors.update(block)
    return whole.hexdigest(), tensors.hexdigest()


def _count(modules: Iterable[str]) -> dict[str, int]:
    """Layers by part, the UNet first."""
    parts = [next((part for prefix, part in _PARTS if module.startswith(prefix)), "unet") for module in modules]
    return {part: parts.count(part) for part in ("unet", "text_encoder", "text_encoder_2") if part in parts}


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
