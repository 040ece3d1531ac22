"""Threads and matrix products as `mmt run` chooses them, imported in this one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from mmtoolkit.components import Network
from mmtoolkit.data.dataset import Split
from mmtoolkit.training.kernels import chosen_kernels


@dataclass(frozen=True)
class Compute:
    threads: int
    kernels: Literal["torch", "onednn"]


def compute_for(network: Network, train: Split, batch_size: int, threads: int | None = None) -> Compute:
    return Compute(threads or torch.get_num_threads(), "onednn")


@contextmanager
def applied(compute: Compute) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(compute.threads)
    with chosen_kernels():
        yield
    torch.set_num_threads(before)
