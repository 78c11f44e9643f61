"""The loop that LLVM compiles: right to the last bit that float32 sums allow, on every kind of processor."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from llvmlite import binding as llvm

from engine import AdapterInvalid
from engine.adapters import blocks, kernel
from engine.adapters.blocks import Work, write_near, write_sum, write_sums
from engine.adapters.formats.lora import LowRank
from engine.adapters.kernel import DTYPES, Kernel, compiled

PROCESSORS = {  # by LLVM's names; every AVX-512 one of the tests' machines is played by an older one too
    "this": None,
    "avx2": ("x86-64-v3", {"avx": True, "fma": True}),
    "sse": ("x86-64-v2", {"sse4.2": True}),
}
ROOT = Path(__file__).parents[3]
TASKS = Path("/proc/self/task")  # Linux: the threads of this process
CUT = 192  # columns that every tile divides
SHAPES = [(1, CUT), (5, CUT), (6, CUT), (13, 2 * CUT), (320, 5 * CUT)]  # rows that tiles of six divide and do not


@pytest.fixture(scope="module", params=PROCESSORS)
def loop(request: pytest.FixtureRequest) -> Kernel:
    asked = PROCESSORS[request.param]
    if asked is None:
        found = kernel.kernel()
        assert found is not None, "llvmlite is among the requirements"
        return found
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("another family of processors")
    return compiled(*asked)


def some(
    seed: int, rows: int, columns: int, *ranks: int
) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    generator = torch.Generator().manual_seed(seed)
    factors = [
        (torch.randn(rows, rank, generator=generator) * 0.1, torch.randn(rank, columns, generator=generator))
        for rank in ranks
    ]
    return torch.randn(rows, columns, generator=generator), factors


def exact(pristine: torch.Tensor, factors: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    return pristine.double() + sum(up.double() @ down.double() for up, down in factors)


def require_rounded_once(got: torch.Tensor, wanted: torch.Tensor) -> None:
    """`got` is `wanted` rounded to its type, but where float32 cannot tell which of two is nearer."""
    slack = 1e-5 * wanted.abs().max()
    low, high = ((wanted + sign * slack).to(got.dtype) for sign in (-1, 1))
    assert ((got >= low) & (got <= high)).all()
    if got.dtype == torch.bfloat16:
        assert (got != wanted.to(got.dtype)).float().mean() < 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("ranks", [(1,), (16,), (8, 128, 3), (4,) * 12])
def test_the_weight_is_the_sum_rounded_once(
    loop: Kernel, dtype: torch.dtype, rows: int, columns: int, ranks: tuple[int, ...]
) -> None:
    """For any number of factors of any ranks, and whatever number of rows is left over by the tiles."""
    base, factors = some(0, rows, columns, *ranks)
    pristine = base.to(dtype)
    weight = torch.full_like(pristine, torch.nan)
    assert loop.takes(weight, pristine, factors)
    loop.write(weight, pristine, factors)
    require_rounded_once(weight, exact(pristine, factors))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [1, 3, 32])
def test_a_weight_anywhere_in_memory_is_written_and_nothing_beside_it(
    loop: Kernel, dtype: torch.dtype, offset: int
) -> None:
    """As weights that lie in a mapped file do: at no multiple of a cache line."""
    rows, columns = 13, 2 * CUT
    base, factors = some(1, rows, columns, 7)
    around = torch.full((rows * columns + 2 * offset,), 7.0, dtype=dtype)
    weight = around[offset : offset + rows * columns].view(rows, columns)
    pristine = torch.cat([torch.zeros(offset), base.flatten()]).to(dtype)[offset:].view(rows, columns)
    loop.write(weight, pristine, factors)
    require_rounded_once(weight, exact(pristine, factors))
    assert (around[:offset] == 7).all()
    assert (around[offset + rows * columns :] == 7).all()


def test_what_is_no_number_in_the_weight_stays_none(loop: Kernel) -> None:
    """Whichever of the 254 bit patterns of bfloat16 that are none; and infinity minus itself, of which one is made."""
    high = [*range(0x7F81, 0x8000), *range(-0x7F, 0), 0x7F80]
    pristine = torch.ones(6, CUT, dtype=torch.bfloat16)
    pristine.view(-1)[: len(high)] = torch.tensor(high, dtype=torch.int16).view(torch.bfloat16)
    up, down = torch.zeros(6, 1), torch.zeros(1, CUT)
    up[1, 0], down[0, 254 - CUT] = -torch.inf, 1.0
    weight = torch.empty_like(pristine)
    loop.write(weight, pristine, [(up, down)])
    assert weight.view(-1)[: len(high)].isnan().all()
    assert (weight[2:] == 1).all()


def test_what_float32_cannot_hold_stays_visible(loop: Kernel) -> None:
    """Infinities of both signs, and what is no number, in the weight or in the sum; their neighbours are right."""
    pristine = torch.zeros(6, CUT, dtype=torch.bfloat16)
    pristine[0, :4] = torch.tensor([torch.inf, -torch.inf, torch.nan, 3.3e38])
    up, down = torch.zeros(6, 1), torch.zeros(1, CUT)
    up[0, 0], down[0, 3], down[0, 4] = 3e38, 1.0, torch.nan
    weight = torch.empty_like(pristine)
    loop.write(weight, pristine, [(up, down)])
    assert torch.equal(weight[0, :2], pristine[0, :2])
    assert weight[0, 2].isnan()
    assert weight[0, 3] == torch.inf
    assert weight[0, 4].isnan()
    assert not weight[0, 5:].any()


def test_halfway_is_rounded_to_the_even_one(loop: Kernel) -> None:
    """1 + 2^-8 lies between two bfloat16 and goes down, 1 + 3 * 2^-8 goes up; as PyTorch rounds."""
    pristine = torch.ones(1, CUT, dtype=torch.bfloat16)
    down = torch.zeros(1, CUT)
    down[0, :4] = torch.tensor([2**-8, 3 * 2**-8, 2**-8 + 2**-20, -(2**-9)])
    weight = torch.empty_like(pristine)
    loop.write(weight, pristine, [(torch.ones(1, 1), down)])
    assert torch.equal(weight, (1 + down).bfloat16())


@pytest.mark.parametrize("rank", [1, 64, 4096])
def test_columns_are_taken_in_blocks_that_cover_them_once(loop: Kernel, rank: int) -> None:
    """However large `down` is."""
    covered = [column for block in loop._blocks(20 * CUT, rank) for column in range(*block)]
    assert covered == list(range(20 * CUT))
    assert all((stop - start) % loop.tile.columns == 0 for start, stop in loop._blocks(20 * CUT, rank))


def test_what_is_laid_out_otherwise_is_not_taken(loop: Kernel) -> None:
    """Columns that no tile divides, a transposed matrix, another type, another device, another shape than the other."""
    fits, none = torch.zeros(8, CUT), ()
    assert loop.takes(fits, fits, none)
    assert not loop.takes(*[torch.zeros(8, CUT + 1)] * 2, none)
    assert not loop.takes(fits.t().contiguous().t(), fits, none)
    assert not loop.takes(fits, fits.t().contiguous().t(), none)
    assert not loop.takes(fits.half(), fits.half(), none)
    assert not loop.takes(fits.bfloat16(), fits, none)
    assert not loop.takes(fits.to("meta"), fits.to("meta"), none)
    assert not loop.takes(fits, fits[:4], none)


def test_factors_that_the_loop_cannot_read_are_not_taken(loop: Kernel) -> None:
    """It would read whatever stands there: each of the two is asked for its device, type, layout and shape."""
    weight = torch.zeros(8, CUT)
    up, down = torch.zeros(8, 4), torch.zeros(4, CUT)
    assert loop.takes(weight, weight, [(up, down)] * 2)
    wrong: list[tuple[torch.Tensor, torch.Tensor]] = []
    for change in (torch.Tensor.half, lambda t: t.to("meta"), lambda t: t.t().contiguous().t(), lambda t: t[:, :-1]):
        wrong += [(change(up), down), (up, change(down))]
    wrong += [(up[:4], down), (up, down[:3])]
    for pair in wrong:
        assert not loop.takes(weight, weight, [(up, down), pair])


def test_factors_left_on_another_device_end_in_an_error_of_pytorch() -> None:
    """As when a model moves to the CPU after its adapters were prepared; no memory is read that is none."""
    base, ((up, down),) = some(4, 8, CUT, 4)
    left = LowRank(up.to("meta"), down.to("meta"), 1.0)
    with pytest.raises(RuntimeError, match="device"):
        write_near([Work("it", torch.empty_like(base), base, [(left, 0.5)])])


def test_threads_share_it(loop: Kernel) -> None:
    """Thirty-two weights written by eight threads at once are what one thread writes."""
    cases = [some(seed, 64, CUT, 4) for seed in range(32)]
    weights = [torch.empty_like(base) for base, _ in cases]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: loop.write(weights[i], *cases[i]), range(32)))
    for weight, case in zip(weights, cases, strict=True):
        alone = torch.empty_like(weight)
        loop.write(alone, *case)
        assert torch.equal(weight, alone)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_and_the_way_without_it_agree(dtype: torch.dtype) -> None:
    """What PyTorch writes in several passes, strengths and a cut rank among it, but for the last bit of float32."""
    base, ((up, down), (up2, down2)) = some(2, 320, CUT, 16, 8)
    changes = [(LowRank(up, down, 1.0).ranked(9), -0.7), (LowRank(up2, down2, 1.0), 1.3)]
    fused, plain = (Work("it", torch.empty_like(base, dtype=dtype), base.to(dtype), changes) for _ in range(2))
    write_near([fused])
    write_sum(plain, torch.empty(blocks.BLOCK))
    apart = (fused.weight.double() - plain.weight.double()).abs()
    assert apart.max() <= (1e-2 if dtype == torch.bfloat16 else 1e-6) * base.abs().max()
    assert (apart > 1e-6 * base.abs().max()).float().mean() < 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sum_that_its_type_cannot_hold_is_refused(dtype: torch.dtype) -> None:
    huge = LowRank(torch.full((8, 1), 3e38), torch.ones(1, CUT), 3e38)
    work = Work("the layer", torch.zeros(8, CUT, dtype=dtype), torch.zeros(8, CUT, dtype=dtype), [(huge, 2.0)])
    with pytest.raises(AdapterInvalid, match="the layer has numbers"):
        write_near([work])


@pytest.fixture
def four_threads() -> Iterator[None]:
    """PyTorch has them, and has started all that it needs for itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    torch.ones(1 << 20).mul(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not TASKS.is_dir(), reason="only Linux shows its threads")
def test_a_switch_on_four_threads_starts_four(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them lets PyTorch start more, however large the factors are, and the sums be doubtful."""
    base, ((up, down),) = some(5, 4096, CUT, 64)
    works = [Work("it", torch.empty_like(base), base, [(LowRank(up, down, 1e38), 0.5)]) for _ in range(16)]
    before, most, real = threads(), 0, Kernel.write

    def write(self: Kernel, *args: Any) -> None:
        nonlocal most
        real(self, *args)
        most = max(most, threads())

    monkeypatch.setattr(Kernel, "write", write)
    write_near(works)
    assert before < most <= before + 4
    assert all(torch.equal(work.weight, works[0].weight) for work in works)
    require_rounded_once(works[0].weight, exact(base, [(up * 0.5, down)]))


def threads() -> int:
    return len(list(TASKS.iterdir()))


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing is compiled yet, and what the test compiles is forgotten."""
    kernel.kernel.cache_clear()
    yield
    kernel.kernel.cache_clear()


def write_one() -> None:
    """One weight gets its sum, by whatever way there is."""
    base, ((up, down),) = some(3, 8, CUT, 4)
    work = Work("it", torch.empty_like(base), base, [(LowRank(up, down, 1.0), 1.0)])
    write_near([work])
    assert torch.allclose(work.weight, base + up @ down, atol=1e-5)


def test_without_llvm_there_is_none_and_layers_are_written_all_the_same(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "llvm", None)
    assert kernel.kernel() is None
    write_one()


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_an_llvm_that_cannot_be_loaded_is_as_none(error: str) -> None:
    """Not installed, or installed without what it needs of the system."""
    code = f"""
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("llvmlite"):
            raise {error}(name)
sys.meta_path.insert(0, Refusing())
from engine.adapters import kernel
assert kernel.kernel() is None
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fault", [RuntimeError("no such target"), OSError("no such library")])
def test_what_llvm_cannot_compile_is_told_once_and_not_tried_again(
    fresh: None, fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every switch after it writes its layers all the same."""
    tries = []

    def failing(*args: Any) -> Any:
        tries.append(args)
        raise fault

    monkeypatch.setattr(kernel, "optimized", failing)
    for _ in range(3):
        write_one()
    assert kernel.kernel() is None
    assert len(tries) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(fault) in caplog.text


def test_nothing_is_compiled_where_no_weight_is_written_on_the_cpu(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host whose model is on a GPU, or a mix of none."""
    base, ((up, down),) = some(6, 8, CUT, 4)
    far = Work("it", base.to("meta"), base.to("meta"), [(LowRank(up.to("meta"), down.to("meta"), 1.0), 1.0)])
    near = Work("it", torch.empty_like(base), base, ())
    write_sums([far, near])
    assert torch.equal(near.weight, base)
    assert kernel.kernel.cache_info().misses == 0


DENIED = """
import ctypes, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN
    sys.exit(77)
import torch
from engine.adapters import kernel
from tests.engine.adapters.test_kernel import write_one
assert kernel.kernel() is None
write_one()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another system")
def test_where_what_is_written_may_not_run_pytorch_writes_the_layers() -> None:
    """systemd's MemoryDenyWriteExecute: no fault of the processor, a line in the log that names it."""
    done = subprocess.run([sys.executable, "-c", DENIED], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert done.returncode == 0, done.stderr
    assert "MemoryDenyWriteExecute" in done.stderr


@pytest.mark.parametrize("processor", ["generic", "neoverse-n1", "apple-m1"])
def test_the_loops_of_an_arm_processor_multiply_and_add_at_once(processor: str) -> None:
    """A whole tile in one step, and no call. Compiled on any machine, not run."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(cpu=processor, opt=3)
    written = machine.emit_assembly(kernel.optimized(machine, kernel._tile({"neon": True})))
    acts = [line.split()[0] for line in written.splitlines() if line.startswith("\t") and len(line) > 1]
    tile, loops = 6 * 4, 4
    assert acts.count("fmla") >= tile * loops
    assert not {"fmul", "bl"} & set(acts)
