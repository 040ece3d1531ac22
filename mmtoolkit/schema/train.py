"""The `train` part of a schema: epochs, batches, learning rate, warm-up."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from mmtoolkit.base.described import Described
from mmtoolkit.components import Part, Watcher
from mmtoolkit.schema.choice import fault
from mmtoolkit.schema.optimization import OPTIMIZER, SCHEDULE, ConstantSchedule, OptimizerOptions, ScheduleOptions


class EpochSampling(Described):
    """Which rows an epoch has. By default each usable row once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: PositiveInt | None = None
    """The number of rows in an epoch. If it exceeds the usable rows, rows repeat, each as often as the others or once
    more. By default the number of usable rows."""
    complete: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of an epoch's rows that have every modality; complete rows repeat as needed. If few rows are complete,
    the model otherwise rarely learns how modalities go together. By default, or if no row is complete, the share in
    the data."""


class HideOptions(Described):
    """Which known cells training and validation hide from the encoders. All of them are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Each row draws a rate uniformly from 0 to this one, and each of its known cells is hidden with that rate."""
    whole: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """The share of rows of which nothing is hidden."""


class TrainOptions(Described):
    """How to train the model: by default with Adam (Kingma & Ba 2014) and a constant step size."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: PositiveInt = 100
    """The number of passes over the training rows."""
    sampling: EpochSampling = EpochSampling()
    """Which rows an epoch has. By default each once."""
    batch_size: PositiveInt = 100
    """Rows of a batch, which several processes divide among them. The last batch of an epoch may be shorter."""
    accumulate: PositiveInt = 1
    """Batches per step: the optimiser takes a step with the mean gradient over all their rows. A step then has
    `batch_size` × `accumulate` rows, in the memory of one batch. The last step of an epoch may have fewer batches."""
    hide: HideOptions | None = None
    """What to hide, so that the model learns to fill in cells from any others of their row, also within a record.
    Validation hides the same cells each time. By default nothing."""
    optimizer: Annotated[OptimizerOptions, OPTIMIZER] = OptimizerOptions()
    """The optimiser of PyTorch that takes the steps."""
    learning_rate: PositiveFloat = 1e-3
    """The step size of the optimiser."""
    schedule: Annotated[ScheduleOptions, SCHEDULE] = ConstantSchedule()
    """The step size over the steps."""
    beta: NonNegativeFloat = 1.0
    """β, the weight of the KL divergence after the warm-up (Higgins et al. 2017). The validation bound always has the
    weight 1, so that runs with different β compare."""
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    """Epochs during which the weight of the KL divergence rises from 0 to β in equal steps. Selection of the best
    weights and early stopping begin after the warm-up."""
    warmup: Annotated[float, Field(ge=0, le=1)] | None = None
    """The length of that warm-up as a share of all steps, in place of `warmup_epochs`."""
    gradient_clip: PositiveFloat | None = None
    """The largest norm of the gradient; a larger gradient is scaled down to it. By default no limit."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The decay of a moving average of the weights, such as 0.999 (Polyak & Juditsky 1992). The average is validated
    and kept, and training goes on with the weights themselves. In step n, from 0, the decay is at most
    (1 + n) / (10 + n), so that the average soon forgets the first weights. By default the weights are kept."""
    validate_every: PositiveInt | None = None
    """The number of steps between two validations. By default there is one at the end of each epoch."""
    select: Literal["bound", "imputation"] = "bound"
    """What validation measures, and the best weights are selected by: the bound; or the filling score, how well the
    cells that `hide` hides of the validation rows are filled in, from 0, as well as the mean or mode, to 1."""
    calibrate: bool = False
    """Whether to enlarge the learned scales of likelihoods at the end, as far as validation cells ask for it, given the
    rest of their rows. As training learns them they are too small where the model knows its rows by heart. Points stay;
    how sure they are changes. It goes with `hide`, by which a model learns to fill in cells."""
    early_stopping: PositiveInt | None = None
    """Training stops after this many validations without a better one: so many epochs, unless `validate_every` is
    set. By default it never stops early."""
    seed: int = Field(default=0, ge=0)
    """The seed of the initial weights, the order of the rows and every random draw."""
    watch: list[Part[Watcher]] = Field(default=[])
    """The watchers that follow the run, each a kind or a mapping with one. They never change its weights."""

    @model_validator(mode="after")
    def _has_one_warm_up(self) -> TrainOptions:
        if self.warmup is not None and self.warmup_epochs:
            text = f"train.warmup_epochs, which is {self.warmup_epochs}, says it too; remove one of the two"
            raise fault(text, ("warmup",), self.warmup)
        return self

    @model_validator(mode="after")
    def _selects_by_what_is_hidden(self) -> TrainOptions:
        if self.select == "imputation" and self.hide is None:
            raise fault(
                "imputation needs cells that are hidden; set train.hide, or select by the bound",
                ("select",),
                self.select,
            )
        return self

    @model_validator(mode="after")
    def _calibrates_by_what_is_hidden(self) -> TrainOptions:
        if self.calibrate and self.hide is None:
            text = "it needs a model that has learned to fill in cells; set train.hide, or remove calibrate"
            raise fault(text, ("calibrate",), self.calibrate)
        return self

    @property
    def validation_measure(self) -> str:
        """What validation measures, in words."""
        return "filling score" if self.select == "imputation" else "validation bound"

    @property
    def warm_up(self) -> float:
        """The length of the KL divergence's warm-up, in epochs."""
        return self.warmup_epochs if self.warmup is None else self.warmup * self.epochs

    @property
    def horizon(self) -> int | None:
        """The number of epochs over which the schedule runs; None if its step size does not depend on it."""
        return (self.schedule.epochs or self.epochs) if self.schedule.has_horizon else None
