"""How a run computes on the host: the number of threads, and the library that multiplies float32 matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from mmtoolkit.base.processor import available_cores, processor_facts
from mmtoolkit.components import Network
from mmtoolkit.data.split import Split
from mmtoolkit.training.work import Product, products_of_step, typical_flops

Kernels = Literal["torch", "onednn"]

_FLOPS_A_THREAD = 12_000_000
"""Operations in a typical call for each thread beyond which one more helps.

Measured on two Xeon cores, with threads that sleep while they wait (OMP_WAIT_POLICY=PASSIVE): with two threads steps
are 0.6 to 0.8 times as fast as with one up to 5 MFLOP a call, 0.9 at 10 and 13, 1.0 at 20, 1.25 at 40, 1.4 from 52.
"""
_LARGE = 512 * 512
"""Weights of a layer from which oneDNN gains on AMD's CPUs.

Measured there, forward and backward through one layer: 63 microseconds with MKL and 87 with oneDNN at width 64, 117 and
129 at width 128, 942 and 543 at width 512.
"""
_PRECISIONS = {"none": "highest", "ieee": "highest", "tf32": "high", "bf16": "medium"}
"""PyTorch's word for all backends, by its word for oneDNN's products."""


@dataclass(frozen=True)
class Compute:
    """How a run computes on the host.

    Attributes:
        threads: the threads that PyTorch's operations use.
        kernels: what multiplies float32 matrices: PyTorch's own choice, which is MKL on x86, or oneDNN.
    """

    threads: int
    kernels: Kernels


def compute_for(
    network: Network, train: Split, batch_size: int, threads: int | None = None, processes: int = 1
) -> Compute:
    """Choose threads and kernels by the sizes of a step's products, as `products_of_step` finds them.

    One thread where the products are small, since threads then wait for each other; more where they are large.

    oneDNN on AMD's CPUs with AVX-512, if `onednn_is_exact` and most of the work is in layers of at least 512 x 512.
    Missing cells make the number of rows of a call differ from step to step, and oneDNN prepares every new shape anew:
    then most of the calls must be to such layers too. What you set yourself by `torch.set_float32_matmul_precision`
    holds.

    Args:
        network: on the host. It tries one batch, which changes nothing.
        train: the rows of training.
        batch_size: the rows of a step.
        threads: the number of threads, if you choose it.
        processes: how many processes of the run share this machine.
    """
    products = products_of_step(network, train, batch_size)
    if threads is None:
        threads = max(1, min(available_threads(processes), typical_flops(products) // _FLOPS_A_THREAD))
    return Compute(threads, _kernels(products, _rows_vary(network, train)))


def current_compute() -> Compute:
    """How this process computes now."""
    return Compute(torch.get_num_threads(), "onednn" if _switch() == "bf16" else "torch")


def available_threads(processes: int = 1) -> int:
    """The most threads that one of some processes should use.

    It is its share of the cores that this process may use, and no more than PyTorch's own number, which
    `OMP_NUM_THREADS` and `torch.set_num_threads` set.
    """
    return max(1, min(torch.get_num_threads(), available_cores() // processes))


def onednn_is_exact() -> bool:
    """Whether oneDNN multiplies float32 matrices on this machine without rounding them.

    PyTorch passes them to oneDNN only if they may be rounded to bfloat16, and on CPUs with units for bfloat16 they are:
    on many of Intel's, where PyTorch's own products are as fast anyway. On AMD's, a trial product shows it. The switch
    would change CUDA's products too, so it stays where CUDA is available.
    """
    if "AuthenticAMD" not in processor_facts() or torch.cuda.is_available():
        return False
    x = torch.linspace(0, 1, 256**2).view(256, 256)
    with _multiplying_by("onednn"):
        return torch.allclose(x @ x, (x.double() @ x.double()).float(), rtol=1e-5)


def can_compute_by(kernels: Kernels) -> bool:
    """Whether this process can take these kernels without a loss, or already has them by your own choice."""
    if kernels == "torch" or _switch() == "bf16":
        return True
    return _switch() == "none" and onednn_is_exact()


@contextmanager
def applied(compute: Compute) -> Iterator[None]:
    """Compute so inside the context, and put all of PyTorch's settings back afterwards."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(compute.threads)
        with _multiplying_by(compute.kernels):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _multiplying_by(kernels: Kernels) -> Iterator[None]:
    onednn, cuda = torch.backends.mkldnn.matmul, torch.backends.cuda.matmul  # type: ignore[attr-defined]
    before = onednn.fp32_precision, cuda.fp32_precision
    if (before[0] == "bf16") == (kernels == "onednn"):
        yield
        return
    try:
        # Not by onednn.fp32_precision alone: torch.get_float32_matmul_precision() would raise.
        torch.set_float32_matmul_precision("medium" if kernels == "onednn" else "highest")
        yield
    finally:
        torch.set_float32_matmul_precision(_PRECISIONS[before[0]])
        onednn.fp32_precision, cuda.fp32_precision = before


def _switch() -> str:
    """PyTorch's setting for oneDNN's products: `none` until somebody sets it."""
    return str(torch.backends.mkldnn.matmul.fp32_precision)  # type: ignore[attr-defined]


def _kernels(products: Sequence[Product], rows_vary: bool) -> Kernels:
    if _switch() != "none":
        return current_compute().kernels
    if "avx512f" not in processor_facts():  # MKL leaves it idle on AMD's CPUs; without it nothing is to be gained
        return "torch"
    matrices = [(product.flops, product.size) for product in products if product.size is not None]
    large = [flops for flops, size in matrices if size >= _LARGE]
    most_work = 2 * sum(large) > sum(flops for flops, _ in matrices)
    most_calls = 2 * len(large) > len(matrices)
    return "onednn" if most_work and (most_calls or not rows_vary) and onednn_is_exact() else "torch"


def _rows_vary(network: Network, train: Split) -> bool:
    """Whether a modality is missing in some of the rows of training, so that its calls have other rows in every step.

    Random subsets do not count: on complete data each call has one of few numbers of rows, all prepared soon.
    """
    present = train.modelled.present
    present = present[network.usable(present)]
    return bool((present.any(0) & ~present.all(0)).any())
