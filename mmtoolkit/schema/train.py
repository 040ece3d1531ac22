"""The `train` part of a schema: epochs, batches, learning rate, warm-up."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from mmtoolkit.components import Part, Watcher


class EpochSampling(BaseModel):
    """Which rows an epoch has. By default each usable row once."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: PositiveInt | None = None
    """The number of rows in an epoch. If it exceeds the usable rows, rows repeat, each as often as the others or once
    more. By default the number of usable rows."""
    complete: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of an epoch's rows that have every modality; complete rows repeat as needed. If few rows are complete,
    the model otherwise rarely learns how modalities go together. By default, or if no row is complete, the share in
    the data."""


class TrainOptions(BaseModel):
    """How to train the model, with Adam (Kingma & Ba 2014)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    epochs: PositiveInt = 100
    """The number of passes over the training rows."""
    sampling: EpochSampling = EpochSampling()
    """Which rows an epoch has. By default each once."""
    batch_size: PositiveInt = 100
    """Rows per step and process. The last batch of an epoch may be shorter."""
    learning_rate: PositiveFloat = 1e-3
    """Adam's step size."""
    beta: NonNegativeFloat = 1.0
    """β, the weight of the KL divergence after the warm-up (Higgins et al. 2017). The validation bound always has the
    weight 1, so that runs with different β compare."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs during which the weight of the KL divergence rises from 0 to β in equal steps. Selection of the best
    weights and early stopping begin after the warm-up."""
    gradient_clip: PositiveFloat | None = None
    """The largest norm of the gradient; a larger gradient is scaled down to it. By default no limit."""
    early_stopping: PositiveInt | None = None
    """Training stops after this many epochs without a better validation bound. By default it never stops early."""
    seed: int = Field(default=0, ge=0)
    """The seed of the initial weights, the order of the rows and every random draw."""
    watch: list[Part[Watcher]] = []
    """The watchers that follow the run, each a kind or a mapping with one. They never change its weights."""
