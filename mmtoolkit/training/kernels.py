"""The choice of the library that multiplies float32 matrices on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


def choose_kernels() -> bool:
    """Make oneDNN multiply float32 matrices instead of MKL, which does not use AVX-512 on AMD's CPUs.

    This sets PyTorch's own switch for the whole process. Call it only if the process is yours, as in `mmt`; elsewhere
    use `chosen_kernels`.

    PyTorch passes float32 products to oneDNN only if they may be rounded to bfloat16. On CPUs with bfloat16 tiles
    oneDNN does round them; a trial product shows this, and the setting goes back. Nothing changes if you have set the
    switch before, or if CUDA is available, which it would affect too.

    Returns:
        Whether it touched the switch.
    """
    if not _is_amd() or torch.cuda.is_available() or _is_set():
        return False
    torch.set_float32_matmul_precision("medium")
    x = torch.linspace(0, 1, 256**2).view(256, 256)
    if not torch.allclose(x @ x, (x.double() @ x.double()).float(), rtol=1e-5):
        torch.set_float32_matmul_precision("highest")
    return True


@contextmanager
def chosen_kernels() -> Iterator[None]:
    """Call `choose_kernels` inside the context, and restore PyTorch's settings afterwards."""
    cuda = torch.backends.cuda.matmul.fp32_precision
    if not choose_kernels():
        yield
        return
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.mkldnn.matmul.fp32_precision = "none"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = cuda


def _is_set() -> bool:
    return bool(torch.backends.mkldnn.matmul.fp32_precision != "none")  # type: ignore[attr-defined]


def _is_amd() -> bool:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return any(line.startswith("vendor_id") and "AuthenticAMD" in line for line in lines)
    except OSError:
        return False  # only Linux has this file
