"""Trains one step without noise, in some processes: python one_step.py FOLDER PROCESSES BATCH_SIZE ACCUMULATE."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from mmt_attributes import Label
from mmtoolkit.data.dataset import prepare
from mmtoolkit.models import MVAE
from mmtoolkit.schema.optimization import OptimizerOptions
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.sources import FashionMini
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.networks import build
from mmtoolkit.training.trainer import Trainer


def main(folder: str, processes: str, batch_size: str, accumulate: str) -> None:
    label = Label(classes=FashionMini.classes, column="label")
    data = prepare(FashionMini(rows={"train": 80, "test": 20}), {"a": label, "b": label})
    data.splits["train"].present[5:, 1] = False  # most batches have nothing of b
    torch.randn = lambda *size, device=None, generator=None: torch.zeros(*size, device=device)  # type: ignore[assignment]
    options = TrainOptions(
        epochs=1,
        batch_size=int(batch_size),
        accumulate=int(accumulate),
        optimizer=OptimizerOptions(kind="sgd"),
        learning_rate=1.0,
    )
    network = build(MVAE(latent_dim=2), data.modalities, seed=0)
    trainer = Trainer(network, data, options, Path(folder), new_fabric("cpu", int(processes)))
    assert trainer.steps == 1
    trainer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
