"""Which kernels multiply matrices on the host."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmtoolkit.training.kernels import choose_kernels

FRESH = """
import torch
from mmtoolkit.training.kernels import choose_kernels
{before}
choose_kernels()
print(torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision)
"""


def in_a_fresh_process(before: str = "") -> list[str]:
    """PyTorch's settings for float32 products after the choice."""
    command = [sys.executable, "-c", FRESH.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("shape", [(1, 64, 10), (100, 784, 512), (37, 512, 784), (4000, 64, 512)])
def test_products_are_as_exact_as_before(shape: tuple[int, int, int]) -> None:
    choose_kernels()
    rows, inner, columns = shape
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(rows, inner, generator=draw), torch.randn(inner, columns, generator=draw)
    exact = x.double() @ y.double()
    # Inputs rounded to bfloat16 cause errors of some 4e-3 of the terms; float32, of some 1e-7.
    assert (x @ y - exact).abs().max() < 1e-5 * inner**0.5


def test_a_choice_of_the_user_is_kept() -> None:
    assert in_a_fresh_process("torch.set_float32_matmul_precision('highest')") == ["highest", "ieee"]


MAKER = """
import mmtoolkit.training.kernels
mmtoolkit.training.kernels._is_amd = lambda: {amd}
torch.cuda.is_available = lambda: {cuda}
product = torch.Tensor.__matmul__
def through(x, y):
    if torch.backends.mkldnn.matmul.fp32_precision == "bf16" and x.dtype == torch.float32:
        x, y = x.{rounded}(), y.{rounded}()
    return product(x.double(), y.double()).to(torch.float32)
torch.Tensor.__matmul__ = through
"""


@pytest.mark.parametrize(
    ("maker", "settings"),
    [
        ({"amd": True, "cuda": False, "rounded": "float"}, ["medium", "bf16"]),
        ({"amd": True, "cuda": False, "rounded": "bfloat16"}, ["highest", "ieee"]),  # as on CPUs with bfloat16 tiles
        ({"amd": False, "cuda": False, "rounded": "float"}, ["highest", "none"]),
        ({"amd": True, "cuda": True, "rounded": "float"}, ["highest", "none"]),
    ],
)
@pytest.mark.slow
def test_only_exact_products_of_amd_without_cuda_are_chosen(maker: dict[str, object], settings: list[str]) -> None:
    assert in_a_fresh_process(MAKER.format(**maker)) == settings


WITHIN = """
import torch
from mmtoolkit.training.kernels import chosen_kernels
def state():
    matmul = torch.backends.mkldnn.matmul.fp32_precision
    return torch.get_float32_matmul_precision(), matmul, torch.backends.cuda.matmul.fp32_precision
{before}
first = state()
with chosen_kernels():
    print(*state()[:2])
assert state() == first
"""


@pytest.mark.parametrize(
    ("before", "inside"),
    [
        (MAKER.format(amd=True, cuda=False, rounded="float"), ["medium", "bf16"]),
        (MAKER.format(amd=True, cuda=False, rounded="bfloat16"), ["highest", "ieee"]),
        (MAKER.format(amd=False, cuda=False, rounded="float"), ["highest", "none"]),
        ("torch.set_float32_matmul_precision('high')", ["high", "tf32"]),
    ],
)
def test_the_settings_before_are_restored(before: str, inside: list[str]) -> None:
    command = [sys.executable, "-c", WITHIN.format(before=before)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == inside


TENSOR_FLOAT = """
import torch
{maker}
from mmtoolkit.training.kernels import chosen_kernels
torch.backends.cuda.matmul.fp32_precision = "tf32"
def state():
    return torch.backends.mkldnn.matmul.fp32_precision, torch.backends.cuda.matmul.fp32_precision
before = state()
with chosen_kernels():
    print(state()[0])
assert state() == before, (before, state())
"""


@pytest.mark.parametrize(("amd", "inside"), [(True, "bf16"), (False, "none")])
def test_a_setting_for_cuda_stays(amd: bool, inside: str) -> None:
    code = TENSOR_FLOAT.format(maker=MAKER.format(amd=amd, cuda=False, rounded="float"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [inside]
