"""An adapter file in memory: validated, parsed by module, and bound to no model, so that it can be used with any."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import AdapterInvalid
from ..types import AdapterInfo
from .embedding import Inversion, bundled
from .header import Header, TensorEntry, parse_header, read_header
from .inspect import describe
from .naming import Grouped, group

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
EMBEDDING = "bundle_emb."


@dataclass(frozen=True, eq=False)
class Adapter:
    """`modules` maps the file's spelling of a module to its tensors by role (naming.ROLES), `keys` to their names.

    `metadata`, `ignored` (key -> reason), `unsplit`, `embedding_keys` and the names in `keys` partition the file's
    keys. `embeddings` are those that the file brings along, from `embedding_keys`.
    """

    path: Path
    info: AdapterInfo
    modules: Mapping[str, Mapping[str, torch.Tensor]] = field(repr=False)
    keys: Mapping[str, Mapping[str, str]] = field(repr=False)
    metadata: tuple[str, ...] = field(repr=False)
    ignored: Mapping[str, str] = field(repr=False)
    unsplit: tuple[str, ...] = field(repr=False)
    peft: Mapping[str, Any] = field(repr=False, default_factory=dict)
    embeddings: tuple[Inversion, ...] = ()
    embedding_keys: tuple[str, ...] = field(repr=False, default=())

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def nbytes(self) -> int:
        layers = sum(tensor.nbytes for roles in self.modules.values() for tensor in roles.values())
        return layers + sum(rows.nbytes for embedding in self.embeddings for rows in embedding.vectors.values())


def read_adapter(path: str | Path, *, sha256: str = "", name: str = "") -> Adapter:
    """The whole file, checked: safetensors throughout, every number finite. With `sha256`, the bytes must have it.
    `name` is what people call it, the file's stem unless given.

    Raises AdapterInvalid or AdapterUnsupported, saying what is wrong.
    """
    path = Path(path)
    read_header(path)  # refuses what is hostile before the file is taken into memory
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = parse_header(bytes(data[8 : 8 + length]), len(data) - 8 - length, path.name)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256:
        raise AdapterInvalid(f"{path.name} has changed on disk: its hash is {digest[:12]}, not {sha256[:12]}.")
    tensor_digest = hashlib.sha256(memoryview(data)[header.data_start :]).hexdigest()
    grouped = group(header.tensors)
    info = describe(header, grouped, name or path.stem, len(data), digest, tensor_digest)
    brought = [key for key in grouped.unsplit if _is_embedding(key, header.metadata)]
    embeddings, used, ignored = bundled({key: _tensor(data, header, key, path.name) for key in brought}, info.name)
    return Adapter(
        path=path,
        info=info,
        modules=_tensors(data, header, grouped, path.name),
        keys=grouped.modules,
        metadata=tuple(header.metadata),
        ignored=ignored,
        unsplit=tuple(key for key in grouped.unsplit if key not in brought),
        peft=_peft_settings(header.metadata),
        embeddings=embeddings,
        embedding_keys=used,
    )


def _is_embedding(key: str, metadata: Mapping[str, str]) -> bool:
    """`bundle_emb.<name>...` (WebUI), or a token that the metadata flags (cloneofsimo: `<s1>` is `<embed>`)."""
    return key.startswith(EMBEDDING) or metadata.get(key) == "<embed>"


def _tensors(data: bytearray, header: Header, grouped: Grouped, name: str) -> dict[str, dict[str, torch.Tensor]]:
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for module, roles in grouped.modules.items():
        modules[module] = {role: _tensor(data, header, key, name) for role, key in roles.items()}
    return modules


def _tensor(data: bytearray, header: Header, key: str, name: str) -> torch.Tensor:
    entry: TensorEntry = header.tensors[key]
    dtype, count = DTYPES[entry.dtype], entry.end - entry.start
    if count == 0:
        raise AdapterInvalid(f"Tensor {key!r} of {name} is empty.")
    start = header.data_start + entry.start
    flat = torch.frombuffer(data[start : start + count], dtype=torch.uint8).view(dtype)
    tensor = flat.reshape(entry.shape)
    if not bool(torch.isfinite(tensor.float()).all()):
        raise AdapterInvalid(f"Tensor {key!r} of {name} holds NaN or infinity: the file is damaged.")
    return tensor


def _peft_settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What diffusers >= 0.34 writes about alpha and rsLoRA, by "<component>.<setting>"."""
    text = metadata.get("lora_adapter_metadata", "{}")
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise AdapterInvalid(f"The metadata lora_adapter_metadata cannot be read: {error}.") from error
    return settings if isinstance(settings, dict) else {}
