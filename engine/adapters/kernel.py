"""weight = round(pristine + sum of up @ down) in one pass: the one loop that a switch on a CPU spends its time in.

PyTorch needs a pass for each step of it: to float32, multiply, round. Each goes through the cache once more, and the
steps of converting take as long as the multiplication. Here a tile of the sum stays in registers from the first product
to the rounding (as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008, whose inner
kernel this is), the pristine rows of the next tile are fetched meanwhile, and the result goes past the cache to memory.
LLVM compiles it for the processor that it runs on, in some 0.3 s, once a process; no compiler has to be installed.
Where that cannot be, PyTorch does the same in more time.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

try:
    from llvmlite import binding as llvm
    from llvmlite import ir
except (ImportError, OSError):  # no wheel for it, on an Intel Mac for example; or one that this system cannot load
    llvm = None

log = logging.getLogger(__name__)
DTYPES = (torch.float32, torch.bfloat16)
CACHED = 1 << 17  # float32 numbers of `down` that stay near the core, half a megabyte, while rows go by
LINE = 64  # bytes of a cache line, and what a store past the cache has to be aligned to
MAPS = Path("/proc/self/maps")  # Linux: what memory of this process may be read, written and run
NAMES = {(dtype, past): f"write_{number}_{past:d}" for number, dtype in enumerate(DTYPES) for past in (False, True)}
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

    def takes(self, weight: torch.Tensor, pristine: torch.Tensor, factors: Factors) -> bool:
        """Whether all of them are where, and laid out as, the loop needs it, which looks at nothing but addresses.

        Most layers of all models are.
        """
        rows, columns = weight.shape
        numbers = [number for pair in factors for number in pair]
        return (
            weight.dtype == pristine.dtype in DTYPES
            and weight.shape == pristine.shape
            and columns % self.tile.columns == 0
            and all(number.dtype == torch.float32 for number in numbers)
            and all(up.shape == (rows, len(down)) and down.shape[1:] == (columns,) for up, down in factors)
            and all(each.device.type == "cpu" and each.is_contiguous() for each in (weight, pristine, *numbers))
        )

    def write(self, weight: torch.Tensor, pristine: torch.Tensor, factors: Factors) -> None:
        """weight = round(pristine + sum of up @ down), summed in float32 and rounded once, to nearest, ties to even.

        `takes` said yes to them. Other Python threads run meanwhile, and PyTorch computes nothing.
        """
        count = len(factors)
        ups = (ctypes.c_void_p * count)(*(up.data_ptr() for up, _ in factors))
        downs = (ctypes.c_void_p * count)(*(down.data_ptr() for _, down in factors))
        ranks = (ctypes.c_int64 * count)(*(up.shape[1] for up, _ in factors))
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
    """The kernel for this processor, compiled by the first call; None where that cannot be, and the log says why."""
    if llvm is None:
        return None
    try:
        return compiled(llvm.get_host_cpu_name(), llvm.get_host_cpu_features())
    except (OSError, RuntimeError) as error:
        log.warning("PyTorch switches adapters, which takes longer, because LLVM cannot compile its loop: %s", error)
        return None


def compiled(processor: str, features: Mapping[str, bool]) -> Kernel:
    """The kernel for a processor by LLVM's name for it and for what it can do.

    Raises RuntimeError for what LLVM cannot do, OSError where its library cannot be loaded or its code may not run.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    tile = _tile(features)
    # Not 256 bits where the processor has 512: LLVM would put each vector into two registers, and spill.
    asked = {**features, **({"prefer-256-bit": False} if tile.lanes == 16 else {})}
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=processor, features=",".join(f"{'+' if on else '-'}{name}" for name, on in asked.items()), opt=3, jit=True
    )
    code = llvm.create_mcjit_compiler(optimized(machine, tile), machine)
    code.finalize_object()
    found = {key: code.get_function_address(name) for key, name in NAMES.items()}
    _require_executable(found.values())
    return Kernel(tile, {key: _SIGNATURE(address) for key, address in found.items()}, code)


def optimized(machine: Any, tile: Tile) -> Any:
    """LLVM's module of the four loops, for this machine or for another."""
    module = ir.Module("kernel")
    module.triple = machine.triple
    for (dtype, past), name in NAMES.items():
        _Writer(module, name, tile, dtype, past).build()
    parsed = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    return parsed


def _require_executable(addresses: Iterable[int]) -> None:
    """Raises PermissionError where what was written may not be run, as under systemd's MemoryDenyWriteExecute.

    LLVM does not look whether it may, and a call would end the process. Only Linux is asked.
    """
    if sys.platform != "linux":
        return
    runs: list[range] = []
    for line in MAPS.read_text(errors="replace").splitlines():
        span, rights = line.split()[:2]
        if "x" in rights:
            runs.append(range(*(int(edge, 16) for edge in span.split("-"))))
    if not all(any(address in span for span in runs) for address in addresses):
        raise PermissionError("this process may not run what it wrote (systemd's MemoryDenyWriteExecute, for example)")


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


def _known(module: Any, name: str, result: Any, takes: Sequence[Any]) -> Any:
    """One of LLVM's own functions, declared once a module."""
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, takes), name)


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
        self.prefetch = _known(module, "llvm.prefetch.p0", ir.VoidType(), [self.pointer, *[ir.IntType(32)] * 3])
        self.fused = _known(module, f"llvm.fmuladd.v{tile.lanes}f32", self.vector, [self.vector] * 3)
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
                        total = code.load(variable, typ=self.vector)
                        code.store(code.call(self.fused, [scale, right, total]), variable)
        return [code.load(variable, typ=self.vector) for variable in held]

    def _widened(self, there: Any) -> Any:
        """A vector of the weight's numbers as float32. A bfloat16 is the upper half of one."""
        if self.wide:
            return self.code.load(there, typ=self.vector, align=4)
        halves = self.code.load(there, typ=ir.VectorType(ir.IntType(16), self.tile.lanes), align=2)
        bits = self.code.shl(self.code.zext(halves, self._bits), self._bit(16))
        return self.code.bitcast(bits, self.vector)

    def _rounded(self, total: Any) -> Any:
        """The nearest bfloat16, the even one of two; an infinity stays one.

        So does what is no number in a bfloat16, and what float32 arithmetic makes of numbers. Of a file's own, which
        `file` refuses, the highest 2^15 of each sign would become a zero: to look for them costs 2 % of a switch.
        """
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
