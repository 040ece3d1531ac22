"""Which library multiplies float32 matrices on the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


def choose_kernels() -> None:
    """Have oneDNN multiply float32 matrices, in place of MKL, on AMD's CPUs with AVX-512, which MKL makes no use of.

    It sets PyTorch's own switch, for the whole process: call it where the process is yours, as `mmt` does, and
    `chosen_kernels` elsewhere.

    PyTorch hands such products to oneDNN only where they may be rounded to bfloat16. oneDNN rounds them on CPUs that
    have tiles for it, which a product tells: there, as wherever somebody has chosen already or CUDA would be touched
    too, everything stays as it is.
    """
    if not _made_by_amd() or torch.cuda.is_available() or _somebody_chose():
        return
    torch.set_float32_matmul_precision("medium")
    x = torch.linspace(0, 1, 256**2).view(256, 256)
    if not torch.allclose(x @ x, (x.double() @ x.double()).float(), rtol=1e-5):
        torch.set_float32_matmul_precision("highest")


@contextmanager
def chosen_kernels() -> Iterator[None]:
    """`choose_kernels` inside; outside PyTorch multiplies as it did before."""
    if _somebody_chose():
        yield
        return
    choose_kernels()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.mkldnn.matmul.fp32_precision = "none"  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.fp32_precision = "none"


def _somebody_chose() -> bool:
    return bool(torch.backends.mkldnn.matmul.fp32_precision != "none")  # type: ignore[attr-defined]


def _made_by_amd() -> bool:
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return any(line.startswith("vendor_id") and "AuthenticAMD" in line for line in lines)
    except OSError:
        return False  # Linux alone says it there
