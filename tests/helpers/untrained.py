"""Runs with fresh weights over rows in memory: for what is asked of evaluators, not of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from mmtoolkit import MVAE, Schema, TrainedRun, build, load_plugins, prepare
from mmtoolkit.components import Columns, Model, Source, Table, Unit


class Tables(Source):
    """The columns of each split, from a test's own."""

    kind: Literal["tables"] = "tables"
    digest: str
    """Of the cells: a cache knows a source by its options."""
    tables: ClassVar[Mapping[str, dict[str, Any]]] = {}

    def splits(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def files(self) -> Sequence[Path]:
        return []

    def load(self, split: str) -> Table:
        return Columns(self.tables[split])


def _digest(tables: Mapping[str, dict[str, Any]]) -> str:
    return sha256(repr(tables).encode()).hexdigest()


def untrained(
    modalities: Mapping[str, Unit],
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
    model: Model | None = None,
    /,
    **tables: dict[str, Any],
) -> TrainedRun:
    """A run over the splits given as columns of cells, by default of an MVAE."""
    source = type("Tables", (Tables,), {"tables": tables, "__module__": __name__})(digest=_digest(tables))
    data = prepare(source, modalities)
    model = MVAE(latent_dim=3) if model is None else model
    schema = Schema(name="untrained", data=source, modalities=data.units, model=model)
    baselines = {name: m.baseline(data.splits["train"].values(name)) for name, m in data.modalities.items()}
    network = build(model, data.units, seed=0).eval()
    return TrainedRun(folder, schema, network, torch.device("cpu"), baselines, load_plugins(), say=say, prepared=data)
