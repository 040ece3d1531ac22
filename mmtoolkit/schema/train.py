"""How a model is trained, as a schema says it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class EpochSampling(BaseModel):
    """Which rows an epoch has: each usable row once, unless told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rows: PositiveInt | None = None
    """How many rows it has. Where they are more than there are, rows come again, none twice more often than another.
    As many as there are where left out."""
    complete: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of them that have every modality, each as often as that takes: where few rows are complete, what joins
    the modalities is otherwise hardly ever learned from. As it is in the data where left out, or no row is complete."""


class TrainOptions(BaseModel):
    """How the model is trained, with Adam (Kingma & Ba 2014)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    epochs: PositiveInt = 100
    """Passes over the training rows."""
    sampling: EpochSampling = EpochSampling()
    """Which rows a pass has; each once where left out."""
    batch_size: PositiveInt = 100
    """Rows a step and a process; the last, short batch is kept."""
    learning_rate: PositiveFloat = 1e-3
    """Adam's step size."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs over which β, the weight of the KL divergence, rises from 0 to 1, a little each step. The best
    weights by validation, and early stopping, are looked for from the end of the warm-up on."""
    gradient_clip: PositiveFloat | None = None
    """The largest norm of the gradient; a larger one is scaled down to it. Not clipped where left out."""
    early_stopping: PositiveInt | None = None
    """Epochs without a better validation bound after which training stops. Never where left out."""
    seed: int = Field(default=0, ge=0)
    """Fixes the initial weights, the order of the rows and every draw."""
