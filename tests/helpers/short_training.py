"""Training of a small network of labels alone, which takes no time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmt_attributes import Label
from mmtoolkit.data.dataset import Dataset, prepare
from mmtoolkit.models import MVAE
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.sources import FashionMini
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.networks import build
from mmtoolkit.training.trainer import Trainer


def labels() -> Dataset:
    """120 rows to train on, 40 to validate, 20 to test."""
    rows = {"train": 120, "valid": 40, "test": 20}
    return prepare(FashionMini(rows=rows), {"label": Label(classes=FashionMini.classes)})


def trainer(folder: Path, data: Dataset, **options: Any) -> Trainer:
    """The trainer of a new network, by default for 3 epochs of 3 steps."""
    network = build(MVAE(latent_dim=2), data.modalities, seed=0)
    train = TrainOptions(**{"epochs": 3, "batch_size": 50, **options})
    return Trainer(network, data, train, folder, new_fabric("cpu"))
