"""Which kernels multiply matrices on the host."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mmtoolkit.devices import choose_kernels

FRESH = """
import torch
from mmtoolkit.devices import choose_kernels
{before}
choose_kernels()
print(torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision)
"""


def in_a_fresh_process(before: str = "") -> list[str]:
    """What PyTorch says of float32 products after the choice."""
    command = [sys.executable, "-c", FRESH.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("shape", [(1, 64, 10), (100, 784, 512), (37, 512, 784), (4000, 64, 512)])
def test_products_are_as_exact_as_before(shape: tuple[int, int, int]) -> None:
    choose_kernels()
    rows, inner, columns = shape
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(rows, inner, generator=draw), torch.randn(inner, columns, generator=draw)
    exact = x.double() @ y.double()
    # rounding of the inputs to bfloat16 would be off by some 4e-3 of the terms, float32 by some 1e-7
    assert (x @ y - exact).abs().max() < 1e-5 * inner**0.5


def test_where_nobody_chose_products_are_exact_or_left_alone() -> None:
    assert in_a_fresh_process() in (["medium", "bf16"], ["highest", "none"], ["highest", "ieee"])


def test_a_choice_of_the_user_is_kept() -> None:
    assert in_a_fresh_process("torch.set_float32_matmul_precision('highest')") == ["highest", "ieee"]


def test_products_that_round_are_not_chosen() -> None:
    """As on a CPU that multiplies tiles of bfloat16: every product is rounded once the choice is made."""
    rounding = """
import mmtoolkit.devices
product = torch.Tensor.__matmul__
def rounded(x, y):
    if torch.backends.mkldnn.matmul.fp32_precision == "bf16" and x.dtype == torch.float32:
        return product(x.bfloat16().float(), y.bfloat16().float())
    return product(x, y)
torch.Tensor.__matmul__ = rounded
mmtoolkit.devices._made_by_amd = lambda: True
"""
    assert in_a_fresh_process(rounding) == ["highest", "ieee"]
