"""How a run computes on the host: threads and matrix kernels by the work, and settings put back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, build
from mmtoolkit.components import Network
from mmtoolkit.data.split import Split
from mmtoolkit.training import compute
from mmtoolkit.training.compute import Compute, applied, available_threads, compute_for, current_compute
from mmtoolkit.training.work import Product


def work(width: int, missing: float = 0.0, rows: int = 200, subsets: int = 0) -> tuple[Network, Split]:
    """Networks of an image and two labels, and rows of which some lack labels."""
    network = {"kind": "mlp", "width": width}
    labels = {name: Label(classes=("a", "b"), network=network) for name in ("label", "other")}
    modalities = {"image": Image(shape=(1, 28, 28), network=network), **labels}
    stored = {
        "image": torch.zeros(rows, 1, 28, 28, dtype=torch.uint8),
        **{name: torch.zeros(rows, dtype=torch.int64) for name in labels},
    }
    present = torch.ones(rows, 3, dtype=torch.bool)
    present[: int(missing * rows), 1:] = False
    return build(MVAE(latent_dim=16, subsets={"k": subsets}), modalities, seed=0), Split(
        "train", modalities, stored, present
    )


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AMD processor on which oneDNN rounds nothing."""
    monkeypatch.setattr(compute, "processor_facts", lambda: frozenset({"AuthenticAMD", "avx512f"}))
    monkeypatch.setattr(compute, "onednn_is_exact", lambda: True)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores."""
    monkeypatch.setattr(compute, "available_cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)


# Threads.


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize(("width", "batch", "threads"), [(16, 100, 1), (64, 100, 1), (256, 100, 2), (512, 200, 8)])
def test_large_products_get_threads(width: int, batch: int, threads: int) -> None:
    assert compute_for(*work(width), batch).threads == threads


@pytest.mark.usefixtures("cores")
def test_a_number_that_you_give_is_taken() -> None:
    assert compute_for(*work(16), 10, threads=12).threads == 12


@pytest.mark.usefixtures("cores")
def test_processes_share_the_cores() -> None:
    networks, split = work(512)
    assert compute_for(networks, split, 200, processes=2).threads == 4
    assert compute_for(networks, split, 200, processes=20).threads == 1


def test_no_more_threads_than_pytorch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "available_cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # as OMP_NUM_THREADS=3 makes it
    assert compute_for(*work(512), 200).threads == 3
    assert available_threads(4) == 2


@pytest.mark.slow
def test_the_environment_bounds_them() -> None:
    code = "from mmtoolkit.training.compute import available_threads; print(available_threads())"
    command = ["env", "OMP_NUM_THREADS=1", sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["1"]


# Kernels.


@pytest.mark.usefixtures("amd")
@pytest.mark.parametrize(
    ("width", "missing", "kernels"),
    [
        (512, 0.0, "onednn"),
        (512, 0.5, "onednn"),  # most calls are of large layers
        (64, 0.0, "torch"),
        (64, 0.5, "torch"),
        (128, 0.0, "torch"),
    ],
)
def test_large_layers_go_to_onednn(width: int, missing: float, kernels: str) -> None:
    assert compute_for(*work(width, missing), 100).kernels == kernels


LARGE, SMALL = Product(50_000_000, 512 * 512), Product(100_000, 8 * 512)


@pytest.mark.usefixtures("amd")
@pytest.mark.parametrize(
    ("products", "rows_vary", "kernels"),
    [
        ([LARGE] * 3 + [SMALL] * 4, False, "onednn"),
        ([LARGE] * 3 + [SMALL] * 4, True, "torch"),  # as a table of numbers, 512 wide: measured slower
        ([LARGE] * 4 + [SMALL] * 3, True, "onednn"),
        ([SMALL] * 9, False, "torch"),
        ([Product(10**9, None), SMALL], False, "torch"),  # convolutions go to oneDNN whatever is set
        ([], False, "torch"),
    ],
)
def test_rows_that_vary_need_most_calls_large(products: list[Product], rows_vary: bool, kernels: str) -> None:
    assert compute._kernels(products, rows_vary) == kernels


def test_rows_vary_with_holes_alone() -> None:
    assert not compute._rows_vary(*work(16))
    assert not compute._rows_vary(*work(16, subsets=2))
    assert not compute._rows_vary(*work(16, missing=1.0))  # a modality that no row has has no calls
    assert compute._rows_vary(*work(16, missing=0.01))


def test_without_amd_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "processor_facts", lambda: frozenset({"GenuineIntel", "avx512f"}))
    assert compute_for(*work(512), 100).kernels == "torch"


def test_without_avx512_nothing_is_to_be_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "processor_facts", lambda: frozenset({"AuthenticAMD", "avx2"}))
    monkeypatch.setattr(compute, "onednn_is_exact", lambda: True)
    assert compute_for(*work(512), 100).kernels == "torch"
    assert compute.can_compute_by("onednn")  # a run that began so can go on


@pytest.fixture
def _switches() -> Iterator[None]:
    """Puts PyTorch's own switches back."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "none"


@pytest.mark.parametrize(("word", "kernels"), [("highest", "torch"), ("high", "torch"), ("medium", "onednn")])
@pytest.mark.usefixtures("amd", "_switches")
def test_what_you_set_yourself_holds(word: str, kernels: compute.Kernels) -> None:
    torch.set_float32_matmul_precision(word)
    assert compute._kernels([LARGE], rows_vary=False) == kernels
    assert compute.can_compute_by("onednn") == (word == "medium")
    with applied(Compute(1, kernels)):
        assert torch.get_float32_matmul_precision() == word
    assert torch.get_float32_matmul_precision() == word


# Exactness: a process in which oneDNN rounds as it does on CPUs with bfloat16 tiles, or does not.

MACHINE = """
import torch
from mmtoolkit.training import compute
compute.processor_facts = lambda: frozenset({facts})
torch.cuda.is_available = lambda: {cuda}
product = torch.Tensor.__matmul__
def through(x, y):
    if torch.backends.mkldnn.matmul.fp32_precision == "bf16" and x.dtype == torch.float32:
        x, y = x.{rounded}(), y.{rounded}()
    return product(x.double(), y.double()).to(torch.float32)
torch.Tensor.__matmul__ = through
def state():
    matmul = torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    return torch.get_float32_matmul_precision(), *matmul
before = state()
print(compute.onednn_is_exact())
assert state() == before, state()
"""


@pytest.mark.parametrize(
    ("facts", "cuda", "rounded", "exact"),
    [
        ({"AuthenticAMD"}, False, "float", True),
        ({"AuthenticAMD"}, False, "bfloat16", False),
        ({"GenuineIntel"}, False, "float", False),
        ({"AuthenticAMD"}, True, "float", False),
    ],
)
@pytest.mark.slow
def test_only_exact_products_of_amd_without_cuda(facts: set[str], cuda: bool, rounded: str, exact: bool) -> None:
    code = MACHINE.format(facts=facts, cuda=cuda, rounded=rounded)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(exact)]


@pytest.mark.parametrize("shape", [(1, 64, 10), (100, 784, 512), (37, 512, 784), (4000, 64, 512)])
def test_products_are_as_exact_as_before(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(rows, inner, generator=draw), torch.randn(inner, columns, generator=draw)
    exact = x.double() @ y.double()
    kernels: compute.Kernels = "onednn" if compute.can_compute_by("onednn") else "torch"
    with applied(Compute(1, kernels)):
        # Inputs rounded to bfloat16 cause errors of some 4e-3 of the terms; float32, of some 1e-7.
        assert (x @ y - exact).abs().max() < 1e-5 * inner**0.5


# Settings.


def settings() -> tuple[object, ...]:
    matmul = torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision  # type: ignore[attr-defined]
    return torch.get_num_threads(), torch.get_float32_matmul_precision(), *matmul


def test_settings_hold_inside_and_are_put_back() -> None:
    before = settings()
    threads = torch.get_num_threads() + 1
    with applied(Compute(threads, "onednn")):
        assert settings()[:3] == (threads, "medium", "bf16")
        assert current_compute() == Compute(threads, "onednn")
        with applied(Compute(1, "torch")):
            assert current_compute() == Compute(1, "torch")
        assert settings()[:3] == (threads, "medium", "bf16")
    assert settings() == before


def test_settings_are_put_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(KeyError), applied(Compute(torch.get_num_threads() + 1, "onednn")):
        raise KeyError
    assert settings() == before


@pytest.mark.parametrize("kernels", ["onednn", "torch"])
@pytest.mark.usefixtures("_switches")
def test_a_setting_for_cuda_stays(kernels: compute.Kernels) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with applied(Compute(1, kernels)):
        assert current_compute().kernels == kernels
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"  # type: ignore[attr-defined]
