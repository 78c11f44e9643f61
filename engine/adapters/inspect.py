"""What an adapter file is, from its header and its few single numbers: no other tensor is read, no torch imported."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..errors import AdapterInvalid, AdapterUnsupported
from ..types import AdapterInfo
from .check import Read, check_layers, peft_alphas, peft_settings
from .claims import claimed_family, claimed_tensor_hashes, text_of, training, trigger_words
from .family import families_of_layers
from .hashes import Hashes, hashes_of_file
from .header import Header, TensorEntry, read_header
from .layers import Layer
from .naming import Grouped, foreign, group, positional

LIKE_SD1 = ("SD 1.5", ("built-in",))  # the built-in model has that layout, and its adapters say so
_PARTS = (
    ("lora_te2_", "text_encoder_2"),
    ("oft_te2_", "text_encoder_2"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoders.clip_g.", "text_encoder_2"),
    ("lora_te", "text_encoder"),
    ("oft_te", "text_encoder"),
    ("text_encoder", "text_encoder"),
    ("base_model.model.text_", "text_encoder"),
)


def inspect_adapter(path: str | Path) -> AdapterInfo:
    """What the file is. Raises AdapterInvalid when it is damaged, AdapterUnsupported when it is no adapter."""
    path = Path(path)
    header = read_header(path)
    with open(path, "rb") as file:

        def read(entry: TensorEntry) -> bytes:
            file.seek(header.data_start + entry.start)
            data = file.read(entry.end - entry.start)
            if len(data) < entry.end - entry.start:
                raise AdapterInvalid(f"{path.name} was cut off while it was read.")
            return data

        return describe(header, group(header.tensors), path.stem, read, lambda: hashes_of_file(path, header.data_start))


def describe(header: Header, grouped: Grouped, name: str, read: Read, hashes: Callable[[], Hashes]) -> AdapterInfo:
    """The info of a file whose header is grouped by module; `read` gives the bytes of a tensor.

    Everything that the header decides is decided before the file is hashed. Raises AdapterUnsupported for a kind of
    file that cannot be applied, AdapterInvalid for a layer that is not whole or whose rank, alpha or type is none.
    """
    refuse_unsupported(name, header, grouped)
    layers, alphas = check_layers(header, grouped, read)
    alphas |= peft_alphas(peft_settings(header.metadata, name), layers)
    metadata, notes = header.metadata, list[str]()
    triggers, trained = trigger_words(metadata, notes), training(metadata, notes)
    fits = families_of_layers(layers)
    claimed = claimed_family(metadata)
    if claimed and claimed not in fits and (claimed, fits) != LIKE_SD1:
        shapes = f"its layers have the shapes of {' or '.join(fits)}" if fits else "its layers do not tell"
        notes.append(f"the metadata says {claimed}, {shapes}")
    found = hashes()
    if claimed_tensor_hashes(metadata) - {found.tensor_sha256}:
        notes.append("the metadata states another hash of the tensors: they were changed after training")
    return AdapterInfo(
        name=name,
        sha256=found.sha256,
        tensor_sha256=found.tensor_sha256,
        size=header.data_start + max(entry.end for entry in header.tensors.values()),
        format=format_of(layers.values()),
        family=fits[0] if len(fits) == 1 else claimed if claimed in fits else "",
        ranks=tuple(sorted({layer.rank for layer in layers.values() if layer.rank})),
        modules=_count(grouped.modules),
        triggers=triggers,
        title=text_of(metadata, "modelspec.title", "ss_output_name"),
        author=text_of(metadata, "modelspec.author"),
        license=text_of(metadata, "modelspec.license"),
        alphas=tuple(sorted(alphas)),
        autov1=found.autov1,
        fits=fits,
        trained=trained,
        notes=tuple(notes),
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


def format_of(layers: Iterable[Layer]) -> str:
    """The formats in the file by name, joined by " + "; a LoCon file has linear layers too."""
    names = dict.fromkeys(layer.format for layer in layers)
    for plain, more in (("LoRA", "LoCon"), ("DoRA (LoRA)", "DoRA (LoCon)")):
        if more in names:
            names.pop(plain, None)
    return " + ".join(names)


def _known_classes(metadata: Mapping[str, str]) -> bool:
    """Whether a positional file counts the layers that `spelling.positions` counts; its metadata lists the classes."""
    try:
        unet = set(json.loads(metadata.get("unet", '["CrossAttention", "GEGLU"]')))
        text = set(json.loads(metadata.get("text_encoder", '["CLIPAttention"]')))
    except (ValueError, TypeError, RecursionError):
        return False
    return unet - {"CrossAttention", "Attention"} == {"GEGLU"} and len(unet) > 1 and text == {"CLIPAttention"}


def _count(modules: Iterable[str]) -> dict[str, int]:
    """Layers by part, the UNet first."""
    parts = [next((part for prefix, part in _PARTS if module.startswith(prefix)), "unet") for module in modules]
    return {part: parts.count(part) for part in ("unet", "text_encoder", "text_encoder_2") if part in parts}
