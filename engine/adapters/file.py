"""An adapter file in memory: validated, parsed by module, and bound to no model, so that it can be used with any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import AdapterInvalid
from ..types import AdapterInfo
from .check import MAX_SCALE, NUMBERS, peft_settings
from .embedding import Inversion, bundled
from .formats import load_change
from .hashes import hashes_of
from .header import Header, TensorEntry, parse_header, read_header
from .inspect import describe
from .layers import layer_of
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
LARGEST = 65504.0  # of float16, in which a server may draw
INNER = {"down", "mid", *(f"{kind}_{end}" for kind in ("hada", "lokr") for end in ("w1_b", "w2_b", "t1", "t2"))}
PRODUCTS = (
    INNER | {"up", "alpha", "scale", "hada_w1_a", "hada_w2_a"} | {f"lokr_w{i}{end}" for i in "12" for end in ("", "_a")}
)


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
    """The whole file, checked: safetensors throughout, layers whole, numbers that float16 can hold.

    With `sha256`, the bytes must have it. `name` is what people call it, the file's stem unless given.

    Raises AdapterInvalid or AdapterUnsupported, saying what is wrong.
    """
    path = Path(path)
    read_header(path)  # refuses what is hostile before the file is taken into memory
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = parse_header(bytes(data[8 : 8 + length]), len(data) - 8 - length, path.name)
    hashes = hashes_of(data, header.data_start)
    if sha256 and hashes.sha256 != sha256:
        raise AdapterInvalid(f"{path.name} has changed on disk: its hash is {hashes.sha256[:12]}, not {sha256[:12]}.")
    grouped = group(header.tensors)
    info = describe(header, grouped, name or path.stem, lambda entry: _bytes(data, header, entry), lambda: hashes)
    brought = [key for key in grouped.unsplit if _is_embedding(key, header.metadata)]
    vectors = {key: _tensor(data, header, header.tensors[key]) for key in brought}
    for key, tensor in vectors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise AdapterInvalid(f"{path.name}: {key} holds numbers that are not finite.")
    embeddings, used, ignored = bundled(vectors, info.name)
    return Adapter(
        path=path,
        info=info,
        modules=_tensors(data, header, grouped, path.name),
        keys=grouped.modules,
        metadata=tuple(header.metadata),
        ignored=ignored,
        unsplit=tuple(key for key in grouped.unsplit if key not in brought),
        peft=peft_settings(header.metadata, path.name),
        embeddings=embeddings,
        embedding_keys=used,
    )


def _is_embedding(key: str, metadata: Mapping[str, str]) -> bool:
    """`bundle_emb.<name>...` (WebUI), or a token that the metadata flags (cloneofsimo: `<s1>` is `<embed>`)."""
    return key.startswith(EMBEDDING) or metadata.get(key) == "<embed>"


def _tensors(data: bytearray, header: Header, grouped: Grouped, name: str) -> dict[str, dict[str, torch.Tensor]]:
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for module, roles in grouped.modules.items():
        modules[module] = {role: _tensor(data, header, header.tensors[key]) for role, key in roles.items()}
        _check_numbers(module, modules[module], roles, name)
    return modules


def _bytes(data: bytearray, header: Header, entry: TensorEntry) -> bytearray:
    return data[header.data_start + entry.start : header.data_start + entry.end]


def _tensor(data: bytearray, header: Header, entry: TensorEntry) -> torch.Tensor:
    flat = torch.frombuffer(_bytes(data, header, entry), dtype=torch.uint8).view(DTYPES[entry.dtype])
    return flat.reshape(entry.shape)


def _check_numbers(module: str, tensors: Mapping[str, torch.Tensor], keys: Mapping[str, str], name: str) -> None:
    """Every factor, and what they make together, is finite also once cast to float16. Raises AdapterInvalid."""
    largest: dict[str, float] = {}
    for role, tensor in tensors.items():
        if role in NUMBERS or not tensor.is_floating_point():
            continue  # `check` has seen the single numbers
        largest[role] = float((tensor.float() if tensor.element_size() == 1 else tensor).abs().max())
        if not largest[role] <= LARGEST:  # nor is NaN
            what = f"{largest[role]:g}, which float16 cannot hold" if largest[role] > LARGEST else "NaN"
            raise AdapterInvalid(f"Tensor {keys[role]!r} of {name} holds {what}: the file is damaged.")
    if _bound(tensors, largest) > LARGEST and not _product_fits(module, tensors):
        raise AdapterInvalid(f"Layer {module} of {name} makes numbers that float16 cannot hold: the file is damaged.")


def _bound(tensors: Mapping[str, torch.Tensor], largest: Mapping[str, float]) -> float:
    """No number of D = s * (product of factors) is larger; 0 for what is no product or does not set its own size."""
    if not tensors.keys() <= PRODUCTS:
        return 0.0
    factors = [MAX_SCALE, *largest.values()]
    for role, tensor in tensors.items():
        if role in INNER:  # as many products are summed
            factors.append(tensor.shape[0])
    return math.prod(factors)


def _product_fits(module: str, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the product, multiplied out, stays within float16."""
    layer = layer_of(module, {role: tuple(tensor.shape) for role, tensor in tensors.items()})
    total = torch.zeros(layer.rows, layer.columns)
    load_change(module, tensors, {}).add_to(total, total, 1.0)
    return bool(total.abs().max() <= LARGEST)
