"""A source over rows in memory, and what tests of modalities ask of gradients and garbage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Columns, Modality, Source, Table
from mmtoolkit.data.dataset import prepare


class Rows(Source):
    """One split, train, of a test's own columns; each test needs a cache of its own."""

    kind: Literal["rows"] = "rows"
    columns: ClassVar[dict[str, Any]] = {}

    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def files(self) -> Sequence[Path]:
        return []

    def load(self, split: str) -> Table:
        return Columns(self.columns)


def rows_of(table: dict[str, Any], **options: Any) -> Rows:
    source: type[Rows] = type("Rows", (Rows,), {"columns": table, "__module__": __name__})
    return source(**options)


def faults_of(source: Source, **modalities: Modality) -> list[str]:
    with pytest.raises(UserError) as raised:
        prepare(source, modalities)
    return raised.value.faults


def refused(cls: type[Modality], **options: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        cls(**options)
    (error,) = raised.value.errors()
    return str(error["msg"]).removeprefix("Value error, ")


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def results(module: nn.Module, run: Callable[[], Tensor]) -> list[Tensor]:
    """What a run gives, and the gradients that its sum leaves on the module."""
    module.zero_grad()
    out = run()
    out.sum().backward()
    return [out.detach(), *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


def with_garbage(x: Tensor) -> list[Tensor]:
    """Values (N, 2, K), with other things where nothing is known."""
    known = x[:, 1] > 0.5
    return [
        torch.stack([torch.where(known, x[:, 0], garbage), x[:, 1]], dim=1)
        for garbage in (float("nan"), float("inf"), -1e30, 0.0, 1.0)
    ]
