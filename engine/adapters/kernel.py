"""weight = round(pristine + sum of up @ down) in one pass: the one loop that a switch on a CPU spends its time in.

PyTorch needs a pass for each step of it: to float32, multiply, round. Each goes through the cache once more, and the
steps of converting take as long as the multiplication. Here a tile of the sum stays in registers from the first product
to the rounding (as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, whose inner
kernel this is), the pristine rows of the next tile are fetched meanwhile, and the result goes past the cache to memory.
LLVM compiles it for the processor that it runs on, in some 0.3 s, once a process; no compiler has to be installed.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

try:
    from llvmlite import binding as llvm
    from llvmlite import ir
except ImportError:  # where it has no wheel, an Intel Mac for example: PyTorch does the same in more time
    llvm = None

DTYPES = (torch.float32, torch.bfloat16)
CACHED = 1 << 17  # float32 numbers of `down` that stay near the core, half a megabyte, while rows go by
LINE = 64  # bytes of a cache line, and what a store past the cache has to be aligned to
Factors = Sequence[tuple[torch.Tensor, torch.Tensor]]  # (up, down), float32 matrices (out, rank) and (rank, in)


@dataclass(frozen=True)
class Tile:
    """What of a sum is held in registers: `rows` times `vectors` of so many float32 `lanes`."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True)
class Kernel:
    """Compiled for this processor. `write` may be called from several threads at once."""

    tile: Tile
    loops: Mapping[tuple[torch.dtype, bool], Callable[..., None]]  # by (type of the weight, whether past the cache)
    code: Any = field(repr=False)  # LLVM's engine, which owns what the loops point at

    def takes(self, weight: torch.Tensor, pristine: torch.Tensor) -> bool:
        """Whether these two matrices (out, in) are laid out as the loop needs it; most layers of all models are."""
        return (
            weight.dtype == pristine.dtype in DTYPES
            and weight.device.type == pristine.device.type == "cpu"
            and weight.is_contiguous()
            and pristine.is_contiguous()
            and weight.shape[1] % self.tile.columns == 0
        )

    def write(self, weight: torch.Tensor, pristine: torch.Tensor, factors: Factors) -> None:
        """weight = round(pristine + sum of up @ down), summed in float32 and rounded once, to nearest, ties to even.

        `weight` and `pristine` are matrices (out, in) that `takes` said yes to. Other Python threads run meanwhile.
        """
        held = [(up.contiguous(), down.contiguous()) for up, down in factors]
        count = len(held)
        ups = (ctypes.c_void_p * count)(*(up.data_ptr() for up, _ in held))
        downs = (ctypes.c_void_p * count)(*(down.data_ptr() for _, down in held))
        ranks = (ctypes.c_int64 * count)(*(up.shape[1] for up, _ in held))
        loop = self.loops[weight.dtype, weight.data_ptr() % LINE == 0]
        rows, columns = weight.shape
        for start, stop in self._blocks(columns, sum(ranks)):
            loop(weight.data_ptr(), pristine.data_ptr(), rows, columns, start, stop, count, ups, downs, ranks)

    def _blocks(self, columns: int, rank: int) -> Iterator[tuple[int, int]]:
        """Columns at a time, as equal as may be, so that their part of `down` is read from the cache."""
        tiles = columns // self.tile.columns
        blocks = max(1, math.ceil(columns * rank / CACHED))
        step = math.ceil(tiles / blocks) * self.tile.columns
        for start in range(0, columns, step):
            yield start, min(start + step, columns)


@functools.cache
def kernel() -> Kernel | None:
    """The kernel for this processor, compiled by the first call; None where there is nothing to compile it with."""
    if llvm is None:
        return None
    return compiled(llvm.get_host_cpu_name(), llvm.get_host_cpu_features())


def compiled(processor: str, features: Mapping[str, bool]) -> Kernel:
    """The kernel for a processor by LLVM's name for it and for what it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    tile = _tile(features)
    # Not 256 bits where the processor has 512: LLVM would put each vector into two registers, and spill.
    asked = {**features, **({"prefer-256-bit": False} if tile.lanes == 16 else {})}
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=processor, features=",".join(f"{'+' if on else '-'}{name}" for name, on in asked.items()), opt=3, jit=True
    )
    module = ir.Module("kernel")
    module.triple = machine.triple
    names = {(dtype, past): f"write_{number}_{past:d}" for number, dtype in enumerate(DTYPES) for past in (False, True)}
    for (dtype, past), name in names.items():
        _Writer(module, name, tile, dtype, past).build()
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    code = llvm.create_mcjit_compiler(parsed, machine)
    code.finalize_object()
    return Kernel(tile, {key: _SIGNATURE(code.get_function_address(name)) for key, name in names.items()}, code)


def _tile(features: Mapping[str, bool]) -> Tile:
    """As much of the registers as can be used: AVX-512 and ARM have 32 of them, others 16."""
    if features.get("avx512f"):
        return Tile(6, 4, 16)
    if features.get("avx"):
        return Tile(6, 2, 8)
    return Tile(6, 4, 4) if features.get("neon") else Tile(6, 2, 4)


_SIGNATURE = ctypes.CFUNCTYPE(
    None,
    *(ctypes.c_void_p, ctypes.c_void_p),  # weight, pristine
    *(ctypes.c_int64, ctypes.c_int64),  # rows, columns
    *(ctypes.c_int64, ctypes.c_int64),  # the first column, the first that is not meant any more
    *(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),  # how many factors; ups, downs, ranks
)


class _Writer:
    """Writes one function of the signature above in LLVM's language."""

    def __init__(self, module: Any, name: str, tile: Tile, dtype: torch.dtype, past: bool) -> None:
        self.tile, self.wide, self.past = tile, dtype == torch.float32, past
        self.int, self.float, self.pointer = ir.IntType(64), ir.FloatType(), ir.PointerType()
        self.vector = ir.VectorType(self.float, tile.lanes)
        self.stored = self.float if self.wide else ir.IntType(16)
        kinds = [self.pointer] * 2 + [self.int] * 5 + [self.pointer] * 3
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.weight, self.pristine, self.rows, self.columns, self.start, self.stop = self.function.args[:6]
        self.count, self.ups, self.downs, self.ranks = self.function.args[6:]
        for pointer in (self.weight, self.pristine):
            pointer.add_attribute("noalias")
        self.at_once = module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        kind = ir.FunctionType(ir.VoidType(), [self.pointer, *[ir.IntType(32)] * 3])
        known = module.globals.get("llvm.prefetch.p0")
        self.prefetch = known or ir.Function(module, kind, "llvm.prefetch.p0")
        self.code = ir.IRBuilder(self.function.append_basic_block())

    def build(self) -> None:
        height = self._int(self.tile.rows)
        whole = self.code.mul(self.code.udiv(self.rows, height), height)
        self._strip(self._int(0), whole, self.tile.rows)
        self._strip(whole, self.rows, 1)
        self.code.fence("seq_cst")  # what went past the cache is there before anything that is written later
        self.code.ret_void()

    def _strip(self, first: Any, end: Any, height: int) -> None:
        """Rows from `first` to `end`, so many at a time, each time from the first column to the last."""
        with self._loop(first, end, height) as row, self._loop(self.start, self.stop, self.tile.columns) as column:
            self._tile(row, column, height)

    def _tile(self, row: Any, column: Any, height: int) -> None:
        code = self.code
        places = [(line, vector) for line in range(height) for vector in range(self.tile.vectors)]
        offsets = [
            code.add(code.mul(code.add(row, self._int(line)), self.columns), code.add(column, self._int(lanes)))
            for line, lanes in ((line, vector * self.tile.lanes) for line, vector in places)
        ]
        self._fetch(row, column, height)
        sums = self._sums(row, column, height, places)
        bases = [self._widened(self._at(self.pristine, self.stored, offset)) for offset in offsets]
        totals = [code.fadd(base, total) for base, total in zip(bases, sums, strict=True)]
        self._store(offsets, totals)

    def _fetch(self, row: Any, column: Any, height: int) -> None:
        """The same columns of the rows after these are on their way from memory."""
        code, size = self.code, 4 if self.wide else 2
        for line in range(height):
            below = code.mul(code.add(row, self._int(line + height)), self.columns)
            for lanes in range(0, self.tile.columns, LINE // size):
                there = self._at(self.pristine, self.stored, code.add(below, code.add(column, self._int(lanes))))
                code.call(self.prefetch, [there, *(ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))])

    def _sums(self, row: Any, column: Any, height: int, places: list[tuple[int, int]]) -> list[Any]:
        """up @ down of this tile, over all factors and their ranks. LLVM keeps these variables in registers."""
        code = self.code
        with code.goto_entry_block():
            held = [code.alloca(self.vector) for _ in places]
        for variable in held:
            code.store(ir.Constant(self.vector, None), variable)
        with self._loop(self._int(0), self.count, 1) as factor:
            up, down, rank = (
                code.load(self._at(array, kind, factor), typ=kind)
                for array, kind in ((self.ups, self.pointer), (self.downs, self.pointer), (self.ranks, self.int))
            )
            with self._loop(self._int(0), rank, 1) as step:
                across = code.add(code.mul(step, self.columns), column)
                factors = [
                    code.load(
                        self._at(down, self.float, code.add(across, self._int(vector * self.tile.lanes))),
                        typ=self.vector,
                        align=4,
                    )
                    for vector in range(self.tile.vectors)
                ]
                for line in range(height):
                    cell = code.add(code.mul(code.add(row, self._int(line)), rank), step)
                    scale = self._all(code.load(self._at(up, self.float, cell), typ=self.float))
                    for vector, right in enumerate(factors):
                        variable = held[line * self.tile.vectors + vector]
                        product = code.fmul(scale, right, flags=("contract",))
                        code.store(code.fadd(code.load(variable, typ=self.vector), product, ("contract",)), variable)
        return [code.load(variable, typ=self.vector) for variable in held]

    def _widened(self, there: Any) -> Any:
        """A vector of the weight's numbers as float32. A bfloat16 is the upper half of one."""
        if self.wide:
            return self.code.load(there, typ=self.vector, align=4)
        halves = self.code.load(there, typ=ir.VectorType(ir.IntType(16), self.tile.lanes), align=2)
        bits = self.code.shl(self.code.zext(halves, self._bits), self._bit(16))
        return self.code.bitcast(bits, self.vector)

    def _rounded(self, total: Any) -> Any:
        """The nearest bfloat16, the even one of two; an infinity stays one, and what is no number stays none."""
        code = self.code
        bits = code.bitcast(total, self._bits)
        odd = code.and_(code.lshr(bits, self._bit(16)), self._bit(1))
        return code.trunc(
            code.lshr(code.add(bits, code.add(odd, self._bit(0x7FFF))), self._bit(16)),
            ir.VectorType(ir.IntType(16), self.tile.lanes),
        )

    def _store(self, offsets: list[Any], totals: list[Any]) -> None:
        """Whole cache lines where two vectors make one: only such go past the cache without a detour."""
        code = self.code
        if not self.wide:
            halves = [self._rounded(total) for total in totals]
            lanes = 2 * self.tile.lanes
            both = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
            totals = [code.shuffle_vector(*pair, both) for pair in zip(halves[::2], halves[1::2], strict=True)]
            offsets = offsets[::2]
        for offset, total in zip(offsets, totals, strict=True):
            there = self._at(self.weight, self.stored, offset)
            store = code.store(total, there, align=4 * self.tile.lanes if self.past else 2)
            if self.past:
                store.set_metadata("nontemporal", self.at_once)

    @contextmanager
    def _loop(self, first: Any, end: Any, step: int) -> Iterator[Any]:
        """for i in range(first, end, step), where step divides their distance; the body is what is written within."""
        code = self.code
        before, head = code.block, self.function.append_basic_block()
        body, after = self.function.append_basic_block(), self.function.append_basic_block()
        code.branch(head)
        code.position_at_end(head)
        index = code.phi(self.int)
        index.add_incoming(first, before)
        code.cbranch(code.icmp_signed("<", index, end), body, after)
        code.position_at_end(body)
        yield index
        index.add_incoming(code.add(index, self._int(step)), code.block)
        code.branch(head)
        code.position_at_end(after)

    def _at(self, pointer: Any, kind: Any, offset: Any) -> Any:
        return self.code.gep(pointer, [offset], source_etype=kind)

    def _all(self, scalar: Any) -> Any:
        """A vector that holds the number in every lane."""
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.code.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.tile.lanes), None)
        return self.code.shuffle_vector(first, empty, mask)

    def _int(self, value: int) -> Any:
        return ir.Constant(self.int, value)

    @property
    def _bits(self) -> Any:
        return ir.VectorType(ir.IntType(32), self.tile.lanes)

    def _bit(self, value: int) -> Any:
        return ir.Constant(self._bits, [value] * self.tile.lanes)
