"""A watcher receives the start of training and each epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmt_attributes import Label
from mmtoolkit import (
    MVAE,
    FashionMini,
    Schema,
    Trainer,
    TrainingStart,
    TrainOptions,
    build,
    execute,
    new_fabric,
    prepare,
)


class Records:
    """A watcher that records its calls."""

    def __init__(self) -> None:
        self.starts: list[TrainingStart] = []
        self.epochs: list[int] = []

    def begin(self, start: TrainingStart) -> None:
        self.starts.append(start)

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None: ...

    def epoch(self, line: dict[str, Any]) -> None:
        self.epochs.append(line["epoch"])


def labels(epochs: int) -> Schema:
    return Schema(
        name="labels",
        data=FashionMini(rows={"train": 120, "valid": 40}),
        modalities={"label": Label()},
        model=MVAE(latent_dim=2),
        train=TrainOptions(epochs=epochs, batch_size=50),
    )


def test_a_watcher_of_a_run_receives_folder_and_resolved_schema(tmp_path: Path) -> None:
    watcher = Records()
    run = execute(labels(2), tmp_path / "run", watcher=watcher)
    (start,) = watcher.starts
    assert (start.folder, start.schema) == (tmp_path / "run", run.schema)
    assert start.schema is not None
    label = start.schema.modalities["label"]
    assert isinstance(label, Label)
    assert label.classes == tuple(sorted(FashionMini.classes))  # learned
    assert (start.epochs, start.done, start.steps, start.rows) == (2, 0, 3, 120)
    assert watcher.epochs == [1, 2]


@pytest.mark.slow
def test_a_watcher_of_a_resumed_run_receives_the_complete_epochs(tmp_path: Path) -> None:
    execute(labels(1), tmp_path / "run")
    watcher = Records()
    execute(labels(3), tmp_path / "run", resume=True, watcher=watcher)
    assert [(start.epochs, start.done) for start in watcher.starts] == [(3, 1)]
    assert watcher.epochs == [2, 3]


def test_a_watcher_of_a_trainer_without_a_schema_receives_none(tmp_path: Path) -> None:
    schema, watcher = labels(1), Records()
    data = prepare(schema.data, schema.modalities)
    network = build(schema.model, data.modalities)
    Trainer(network, data, schema.train, tmp_path, new_fabric("cpu"), watcher).run()
    assert [(start.folder, start.schema) for start in watcher.starts] == [(tmp_path, None)]
