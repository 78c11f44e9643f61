"""What the shapes of one layer's tensors tell: its format, rank and sizes, and whether it is whole. No torch.

The same rules as the classes in `formats`, which meet the numbers later: a set of tensors that they would refuse for
its roles or shapes is refused here, from the header alone. Formulas: shared/reference/lora_formats.md §1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from ..errors import AdapterInvalid

MAX_RANK = 512  # trainers offer 256; beyond this a full difference is smaller
MAX_NUMBERS = 1 << 27  # of one tensor or of one product of factors; the largest matrix of SDXL has 63 million
BIAS_ROLES = ("diff_b", "b_norm")
SPARSE = ("bias_indices", "bias_values", "bias_size")
Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]  # role -> shape


@dataclass(frozen=True, slots=True)
class Layer:
    """`rows` outputs and `columns` inputs * kernel, 0 where the tensors do not tell: a rotation has no columns.

    `either` is the number of rows or of inputs (IA3). `rank` is what alpha is divided by, 0 where it is not.
    """

    format: str
    rank: int = 0
    rows: int = 0
    columns: int = 0
    either: int = 0


def layer_of(name: str, shapes: Shapes) -> Layer:
    """The layer that tensors of these roles and shapes make. Raises AdapterInvalid when they make none."""
    for role, shape in shapes.items():
        if not 0 < prod(shape) <= MAX_NUMBERS:
            raise AdapterInvalid(
                f"Layer {name}: {role} {shape} has {prod(shape)} numbers; 1 to {MAX_NUMBERS} are taken."
            )
    weight = {role: shape for role, shape in shapes.items() if role not in BIAS_ROLES}
    layer = _bias(name, shapes) if not weight else _first(name, weight, (_dora, *_PLAIN))
    if layer is None:
        raise AdapterInvalid(f"Layer {name} holds {', '.join(sorted(shapes))}, which is no format known here.")
    if layer.rank > MAX_RANK:
        raise AdapterInvalid(f"Layer {name} has the rank {layer.rank}; {MAX_RANK} is the most.")
    return layer


def _first(name: str, shapes: Shapes, kinds: tuple[Callable[[str, Shapes], Layer | None], ...]) -> Layer | None:
    return next((layer for kind in kinds if (layer := kind(name, shapes)) is not None), None)


def _bias(name: str, shapes: Shapes) -> Layer | None:
    (role, shape), *more = shapes.items()
    return None if more else Layer("norm" if role == "b_norm" else "full", rows=prod(shape))


def _dora(name: str, shapes: Shapes) -> Layer | None:
    found = {"dora", "magnitude"} & shapes.keys()
    if not found:
        return None
    if len(found) > 1:
        raise AdapterInvalid(f"Layer {name} has two DoRA magnitudes, dora_scale and lora_magnitude_vector.")
    role = found.pop()
    rest = {key: shape for key, shape in shapes.items() if key != role}
    inner = _first(name, rest, _UNDER_DORA)
    if inner is None:
        raise AdapterInvalid(f"Layer {name} has a DoRA magnitude, but of {', '.join(rest) or 'nothing'} beside it.")
    shape = shapes[role]
    if role == "dora" and len(shape) > 1 and prod(shape) not in shape[:2]:
        raise AdapterInvalid(f"Layer {name}: dora_scale {shape} is neither a row nor a column.")
    return replace(inner, format=f"DoRA ({inner.format})")


def _lora(name: str, shapes: Shapes) -> Layer | None:
    if not shapes.keys() <= {"up", "down", "mid", "alpha", "scale"} or not {"up", "down"} & shapes.keys():
        return None
    _complete(name, shapes, "up", "down")
    rows, inner = _flat(shapes["up"])
    rank, columns = _cored(name, shapes["down"], shapes.get("mid"))
    _meet(name, inner, rank, shapes, "up", "down")
    convolution = "mid" in shapes or any(side != 1 for side in shapes["down"][2:])
    return Layer("LoCon" if convolution else "LoRA", shapes["down"][0], rows, columns)


def _residual(name: str, shapes: Shapes) -> Layer | None:
    extra = {"bias", *SPARSE} & shapes.keys()
    inner = _lora(name, {role: shape for role, shape in shapes.items() if role not in extra}) if extra else None
    if inner is None or extra == {"bias"}:
        return inner
    _complete(name, shapes, "bias_indices")
    _present(name, shapes, *SPARSE)
    if shapes["bias_indices"] != (prod(shapes["bias_size"]), prod(shapes["bias_values"])):
        _misfit(name, shapes, *SPARSE)
    return inner


def _loha(name: str, shapes: Shapes) -> Layer | None:
    factors, cores = [f"hada_w{i}_{part}" for i in "12" for part in "ab"], ("hada_t1", "hada_t2")
    if not shapes.keys() <= {*factors, *cores, "alpha", "scale"} or not {*factors, *cores} & shapes.keys():
        return None
    _complete(name, shapes, *factors, *(cores if set(cores) & shapes.keys() else ()))
    sizes = []
    for first, second, core in (("hada_w1_a", "hada_w1_b", "hada_t1"), ("hada_w2_a", "hada_w2_b", "hada_t2")):
        rows, inner = _flat(shapes[first]) if core not in shapes else _flat(shapes[first])[::-1]
        rank, columns = _cored(name, shapes[second], shapes.get(core))
        _meet(name, inner, rank, shapes, first, second)
        sizes.append((rows, columns))
    if sizes[0] != sizes[1]:
        _misfit(name, shapes, *factors)
    return Layer("LoHa", shapes["hada_w1_b"][0], *sizes[0])


def _lokr(name: str, shapes: Shapes) -> Layer | None:
    factors = {f"lokr_w{i}{part}" for i in "12" for part in ("", "_a", "_b")} | {"lokr_t2"}
    if not shapes.keys() <= factors | {"alpha", "scale"} or not factors & shapes.keys():
        return None
    (out1, in1), (out2, in2) = _factor(name, shapes, "lokr_w1"), _factor(name, shapes, "lokr_w2")
    rank = next((shapes[role][0] for role in ("lokr_w2_b", "lokr_w1_b") if role in shapes), 0)
    return Layer("LoKr", rank, out1 * out2, in1 * in2)


def _factor(name: str, shapes: Shapes, role: str) -> tuple[int, int]:
    if role in shapes:
        _complete(name, shapes, role)
        return _flat(shapes[role])
    first, second = f"{role}_a", f"{role}_b"
    _complete(name, shapes, first, second)
    core = shapes.get("lokr_t2") if role == "lokr_w2" else None
    rows, inner = _flat(shapes[first]) if core is None else _flat(shapes[first])[::-1]
    rank, columns = _cored(name, shapes[second], core)
    _meet(name, inner, rank, shapes, first, second)
    _bounded(name, rows, columns)
    return rows, columns


def _ia3(name: str, shapes: Shapes) -> Layer | None:
    return Layer("IA3", either=prod(shapes["weight"])) if shapes.keys() == {"weight", "on_input"} else None


def _glora(name: str, shapes: Shapes) -> Layer | None:
    factors = ("a1", "a2", "b1", "b2")
    if not shapes.keys() <= {*factors, "bm", "alpha", "scale"} or not set(factors) & shapes.keys():
        return None
    _complete(name, shapes, *factors)
    a1, a2, b1, b2 = (_flat(shapes[role]) for role in factors)
    newer = a1[1] == a2[0] and b1[1] == shapes["b2"][0]
    older = a1[0] == a2[1] and shapes["b1"][0] == b2[1] and "bm" not in shapes
    if newer and (not older or a1[1] <= a1[0]):
        rank, columns = _cored(name, shapes["b2"], shapes.get("bm"))
        _meet(name, b1[1], rank, shapes, "b1", "b2")
        return Layer("GLoRA", a2[0], b1[0], columns)
    if not older:
        _misfit(name, shapes, *factors)
    return Layer("GLoRA", a1[0], b2[0], b1[1])


def _full(name: str, shapes: Shapes) -> Layer | None:
    found = {"diff", "w_norm"} & shapes.keys()
    if len(found) != 1 or not shapes.keys() <= found | {"alpha"}:
        return None
    role = found.pop()
    rows, columns = _flat(shapes[role]) if shapes[role] else (1, 1)
    return Layer("norm" if role == "w_norm" else "full", rows=rows, columns=columns)


def _oft(name: str, shapes: Shapes) -> Layer | None:
    found = {"oft_blocks", "oft_diag"} & shapes.keys()
    if len(found) != 1 or not shapes.keys() <= found | {"rescale", "alpha"}:
        return None
    role = found.pop()
    blocks = shapes[role]
    butterfly = len(blocks) == 4 and role == "oft_blocks"
    if len(blocks) != 3 + butterfly or blocks[-1] != blocks[-2]:
        raise AdapterInvalid(f"Layer {name}: {role} of the shape {blocks} are no square blocks.")
    *stages, count, size, _ = blocks
    rows = count * size
    if stages and (size % 2 or rows % (2 ** min(stages[0], 64) * (size // 2))):
        raise AdapterInvalid(f"Layer {name}: {blocks} makes no butterfly.")
    if "rescale" in shapes and prod(shapes["rescale"]) != rows:
        _misfit(name, shapes, role, "rescale")
    return Layer("BOFT" if butterfly else "OFT", rows=rows)


_PLAIN = (_lora, _loha, _lokr, _ia3, _glora, _full, _oft, _residual)
_UNDER_DORA = (_lora, _loha, _lokr, _glora, _full)


def _flat(shape: Shape) -> tuple[int, int]:
    return shape[0], prod(shape[1:])


def _cored(name: str, down: Shape, core: Shape | None) -> tuple[int, int]:
    """`down` as a matrix, with a Tucker core (r, r, kh, kw) multiplied in where there is one."""
    rank, columns = _flat(down)
    if core is None:
        return rank, columns
    if len(core) != 4 or core[1] != rank or columns != down[1]:
        raise AdapterInvalid(f"Layer {name}: core {core} and down {down} do not fit together.")
    _bounded(name, core[0], columns * core[2] * core[3])
    return core[0], columns * core[2] * core[3]


def _present(name: str, shapes: Shapes, *roles: str) -> None:
    for role in roles:
        if role not in shapes:
            spelled = f"lora_{role}" if role in ("up", "down") else role
            raise AdapterInvalid(f"Layer {name} of the adapter has no {spelled}: the file is incomplete.")


def _complete(name: str, shapes: Shapes, *roles: str) -> None:
    _present(name, shapes, *roles)
    for role in roles:
        if len(shapes[role]) < 2:
            raise AdapterInvalid(f"Layer {name}: {role} has the shape {shapes[role]}; a matrix is meant.")


def _meet(name: str, inner: int, rank: int, shapes: Shapes, *roles: str) -> None:
    if inner != rank:
        _misfit(name, shapes, *roles)


def _misfit(name: str, shapes: Shapes, *roles: str) -> None:
    told = ", ".join(f"{role} {shapes[role]}" for role in roles)
    raise AdapterInvalid(f"Layer {name}: {told} do not fit together.")


def _bounded(name: str, rows: int, columns: int) -> None:
    if rows * columns > MAX_NUMBERS:
        raise AdapterInvalid(f"Layer {name}: its factors make {rows} x {columns} numbers, more than any layer has.")
