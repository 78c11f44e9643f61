"""Textual inversions: vectors that stand in a prompt where a name is written (Gal et al. 2022).

Files are A1111's and kohya's (`emb_params`), SDXL's (`clip_l` and `clip_g`) and diffusers' (one tensor, its token
the key); adapter files bring them along as `bundle_emb.<name>.<clip_l|clip_g|emb_params|string_to_param.*>`, or in
cloneofsimo's format as a tensor under the name itself (shared/reference/lora_formats.md §1.5).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load

from ..errors import AdapterError, AdapterInvalid, AdapterMismatch, AdapterUnsupported
from .family import family_of_width
from .header import read_header

MAX_VECTORS = 75  # a chunk of a prompt holds no more, and no embedding is split
MAX_NAME = 64
BUNDLED = re.compile(r"bundle_emb\.(.+)\.(clip_l|clip_g|emb_params|string_to_param\..+)")
_ENCODERS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
_SDXL_WIDTHS = (768, 1280)


@dataclass(frozen=True, eq=False)
class Inversion:
    """`vectors` maps a text encoder to a tensor (length, its width), float32. `digest` identifies the vectors;
    `short` is what an infotext says of them: 12 digits of the file's SHA-256, or the adapter that brought them along.
    """

    name: str
    vectors: Mapping[str, torch.Tensor] = field(repr=False)
    digest: str
    short: str

    @property
    def length(self) -> int:
        return len(next(iter(self.vectors.values())))

    @property
    def widths(self) -> dict[str, int]:
        return {encoder: rows.shape[1] for encoder, rows in self.vectors.items()}

    @property
    def family(self) -> str:
        return _family(self.widths)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that mean embeddings, in lower case: `files` of folders, and what adapters of the mix bring along.

    Where both know a name, the file is meant, as in the WebUI.
    """

    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    bundled: Mapping[str, Inversion] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.files, *self.bundled))

    def find(self, name: str, widths: Mapping[str, int]) -> Inversion:
        """The embedding of that name for text encoders of these widths.

        Raises AdapterMismatch when it is made for others, AdapterUnsupported when there is only a pickle of that name.
        """
        paths = self.files.get(name, ())
        known = [read_embedding(path) for path in paths if path.suffix == ".safetensors"]
        known += [self.bundled[name]] if name in self.bundled else []
        fitting = next((inversion for inversion in known if inversion.widths == widths), None)
        if fitting is not None:
            return fitting
        if not known:
            raise AdapterUnsupported(
                f"The embedding {paths[0].name} is a Python pickle, which can hold programs; "
                "only .safetensors files are taken. Convert it, or take it out of the folder."
            )
        families = " and ".join(sorted({inversion.family for inversion in known}))
        raise AdapterMismatch(
            f"The embedding {known[0].name} is made for {families}; this base model is {_family(widths)}."
        )


def read_embedding(path: Path) -> Inversion:
    """The embedding of a file, kept until the file changes. Raises AdapterInvalid or AdapterUnsupported."""
    try:
        stat = path.stat()
    except OSError as error:
        raise AdapterInvalid(f"{path.name} cannot be read: {error.strerror or error}.") from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=128)
def _read(path: Path, _changed: int, _size: int) -> Inversion:
    header = read_header(path)
    largest = max(entry.end - entry.start for entry in header.tensors.values())
    if len(header.tensors) > 2 or largest > MAX_VECTORS * 8 * 8192:
        raise AdapterUnsupported(f"{path.name} is no embedding: it holds {len(header.tensors)} tensors, or large ones.")
    data = path.read_bytes()
    return inversion(path.stem, load(data), hashlib.sha256(data).hexdigest()[:12])


def inversion(name: str, tensors: Mapping[str, torch.Tensor], short: str) -> Inversion:
    """The embedding that these tensors of a file are. Raises AdapterInvalid or AdapterUnsupported, saying why not."""
    if tensors.keys() == set(_ENCODERS):
        vectors = {_ENCODERS[key]: _rows(name, tensor) for key, tensor in tensors.items()}
    elif len(tensors) == 1:
        vectors = {"text_encoder": _rows(name, next(iter(tensors.values())))}
    else:
        raise AdapterUnsupported(
            f"The embedding {name} holds {len(tensors)} tensors; one is wanted, or clip_l and clip_g for SDXL."
        )
    vectors = {encoder: vectors[encoder] for encoder in sorted(vectors)}
    if len({len(rows) for rows in vectors.values()}) > 1:
        raise AdapterInvalid(f"The embedding {name} has another number of vectors for each text encoder.")
    digest = hashlib.sha256(b"".join(rows.numpy().tobytes() for rows in vectors.values())).hexdigest()
    return Inversion(name, vectors, digest, short)


def bundled(
    tensors: Mapping[str, torch.Tensor], adapter: str
) -> tuple[tuple[Inversion, ...], tuple[str, ...], dict[str, str]]:
    """(embeddings, their keys, key -> why it is none) of what an adapter file brings along beside its layers."""
    names: dict[str, dict[str, str]] = {}  # embedding -> part -> key
    ignored: dict[str, str] = {}
    for key in tensors:
        match = BUNDLED.fullmatch(key)
        name, part = (match[1], match[2]) if match else (key, "")
        if key.startswith("bundle_emb.") and match is None:
            ignored[key] = "a bundled embedding of an unknown form"
        else:
            names.setdefault(name, {})[part] = key
    found: list[Inversion] = []
    used: list[str] = []
    for name, parts in names.items():
        try:
            if len(name) > MAX_NAME:
                raise AdapterInvalid(f"the name of a bundled embedding has more than {MAX_NAME} characters")
            found.append(inversion(name, {part: tensors[key] for part, key in parts.items()}, adapter))
            used += parts.values()
        except AdapterError as error:
            ignored.update(dict.fromkeys(parts.values(), str(error)))
    return tuple(found), tuple(used), ignored


def _rows(name: str, tensor: torch.Tensor) -> torch.Tensor:
    rows = tensor.detach().to(torch.float32)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not 1 <= len(rows) <= MAX_VECTORS or not rows.shape[1]:
        raise AdapterInvalid(
            f"The embedding {name} has the shape {tuple(rows.shape)}; up to {MAX_VECTORS} rows are taken."
        )
    if not bool(torch.isfinite(rows).all()):
        raise AdapterInvalid(f"The embedding {name} holds NaN or infinity: the file is damaged.")
    return rows.contiguous()


def _family(widths: Mapping[str, int]) -> str:
    if len(widths) == 2:
        found = tuple(widths[encoder] for encoder in sorted(widths))
        return "SDXL" if found == _SDXL_WIDTHS else f"widths {found[0]} and {found[1]}"
    return family_of_width(next(iter(widths.values())))
