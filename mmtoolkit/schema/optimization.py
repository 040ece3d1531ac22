"""The keys `train.optimizer` and `train.schedule`: the optimiser of PyTorch, and its step size over the steps."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PositiveInt, model_validator

from mmtoolkit.base.described import Described
from mmtoolkit.base.words import did_you_mean, error_text, shorten
from mmtoolkit.schema.choice import Choice, Options, fault

if TYPE_CHECKING:
    import torch

_UNSUITABLE = ("LBFGS", "SparseAdam", "Muon")
"""They need a closure, sparse gradients, and matrices alone."""
_OURS = ("params", "lr")
"""The arguments that training itself gives."""
_SENSELESS = ("maximize", "differentiable", "capturable")
"""Arguments that would make training worse, or are for other loops."""
_LONGEST = 60  # characters of a value in a fault


@cache
def optimizer_classes() -> Mapping[str, Callable[..., torch.optim.Optimizer]]:
    """Kind -> class of torch.optim: those that can train any network, by their names in lower case."""
    import torch  # takes a second, and a schema with the default optimiser does not need it

    classes = {
        name.lower(): cls
        for name, cls in vars(torch.optim).items()
        if isinstance(cls, type)
        and issubclass(cls, torch.optim.Optimizer)
        and cls is not torch.optim.Optimizer
        and name not in _UNSUITABLE
    }
    return dict(sorted(classes.items()))


def optimizer_arguments(kind: str) -> dict[str, Any]:
    """The arguments that an optimiser of this kind takes in a schema, each with its default."""
    parameters = inspect.signature(optimizer_classes()[kind]).parameters
    return {name: p.default for name, p in parameters.items() if name not in (*_OURS, *_SENSELESS)}


class OptimizerOptions(Described):
    """The optimiser: a class of `torch.optim` by its name in lower case, with its own arguments.

    The step size is `train.learning_rate`. Arguments that you leave out have PyTorch's defaults, except that a fused
    implementation is used where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Annotated[str, Field(json_schema_extra=lambda schema: schema.update(enum=list(optimizer_classes())))] = "adam"
    """The name of the class."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that are set, as the class takes them."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _with_tuples(cls, options: Any) -> Any:
        """Several numbers are a tuple, whether they come from YAML or from Python."""
        if not isinstance(options, Mapping):
            return options
        return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}

    @model_validator(mode="after")
    def _check(self) -> OptimizerOptions:
        if self.kind == "adam" and not self.arguments:  # the default, which needs no PyTorch to check
            return self
        kinds = optimizer_classes()
        if self.kind not in kinds:
            hint = did_you_mean(self.kind, kinds)
            raise fault(
                f"there is no optimizer of kind {self.kind!r}{hint}; the kinds are {', '.join(kinds)}",
                ("kind",),
                self.kind,
            )
        defaults = optimizer_arguments(self.kind)
        for name, value in self.arguments.items():
            if name == "lr":
                raise fault("the step size has one place; remove it, and set train.learning_rate", (name,), value)
            if name not in defaults:
                keys = ", ".join(["kind", *defaults])
                text = f"unknown key{did_you_mean(name, defaults)}; the keys of {self.kind} are {keys}"
                raise fault(text, (name,), value)
            if not _is_like(value, defaults[name]):
                text = f"must be {_words(defaults[name])}, not {shorten(repr(_plain(value)), _LONGEST)}; change it"
                raise fault(text, (name,), value)
        if not self.arguments.keys() <= {"weight_decay"} or self.arguments.get("weight_decay", 0.0) < 0:
            self._try()
        return self

    def _try(self) -> None:
        """Raise if the class refuses the arguments.

        To build an optimiser imports more than a second's worth of PyTorch, which no class needs for a weight decay.
        """
        if cause := self._refusal(self.arguments):
            # The place is the argument that is at fault whatever the others are, if there is one.
            alone = (name for name, value in self.arguments.items() if self._refusal({name: value}) == cause)
            place = tuple(islice(alone, 1))
            raise fault(f"{self.kind} does not take it: {cause}; change it", place, self.arguments)

    def _refusal(self, arguments: Mapping[str, Any]) -> str:
        """Why the class refuses to take a step with one weight; empty if it does not."""
        import torch

        weight = torch.zeros(1, requires_grad=True)
        weight.grad = torch.zeros(1)
        try:
            optimizer_classes()[self.kind]([weight], lr=1e-3, **arguments).step()
        except Exception as error:  # the classes raise different ones
            return error_text(error).rstrip(".")
        return ""


def _plain(value: Any) -> Any:
    """A value as YAML has it."""
    return list(value) if isinstance(value, tuple) else value


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value is of the default's sort: a switch, a number, or as many numbers."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, tuple):
        return (
            isinstance(value, tuple)
            and len(value) == len(default)
            and all(part is None or _is_number(part) for part in value)
        )
    if default is None:  # `foreach` and `fused`
        return value is None or isinstance(value, bool)
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _words(default: Any) -> str:
    """What `_is_like` asks for, in words."""
    if isinstance(default, bool) or default is None:
        return "true or false"
    return f"a list of {len(default)} numbers" if isinstance(default, tuple) else "a number"


# Schedules: each is a factor of the step size, and depends only on the number of the step.


class ScheduleOptions(Described):
    """The step size over the steps, as a factor of `train.learning_rate`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str

    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of all steps in which the step size rises from 0 in equal steps."""
    epochs: PositiveInt | None = None
    """The number of epochs whose steps are all steps. By default `train.epochs`. Set it if you may train for longer
    later: a resumed run keeps its schedule."""

    follows_bound: ClassVar[bool] = False
    """Whether the step size falls when what validation measures rises no more."""

    @property
    def has_horizon(self) -> bool:
        """Whether the step size depends on the number of all steps."""
        return self.warmup > 0

    def rate(self, step: int, steps: int) -> float:
        """The factor at a step.

        Args:
            step: the number of the step, from 0.
            steps: the number of all steps.
        """
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / rising
        return self.after(min((step - rising) / max(steps - rising, 1), 1.0))

    def after(self, share: float) -> float:
        """The factor after the warm-up, where this share of the remaining steps is done."""
        return 1.0

    def on_worse(self, times: int) -> float:
        """By what the step size is multiplied after this many validations in a row without a better one."""
        return 1.0


class ConstantSchedule(ScheduleOptions):
    """The step size stays `train.learning_rate`."""

    kind: Literal["constant"] = "constant"


class FallingSchedule(ScheduleOptions):
    """The step size falls to the end of training."""

    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The step size at the end, as a share of `train.learning_rate`."""

    @property
    def has_horizon(self) -> bool:
        """It always depends on the number of all steps."""
        return True


class CosineSchedule(FallingSchedule):
    """The step size falls along half a period of a cosine (Loshchilov & Hutter 2017, without restarts)."""

    kind: Literal["cosine"] = "cosine"

    def after(self, share: float) -> float:
        """`final` + (1 - `final`) (1 + cos(π share)) / 2."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2


class LinearSchedule(FallingSchedule):
    """The step size falls in equal steps."""

    kind: Literal["linear"] = "linear"

    def after(self, share: float) -> float:
        """1 - (1 - `final`) share."""
        return 1 - (1 - self.final) * share


class PlateauSchedule(ScheduleOptions):
    """The step size falls when what validation measures rises no more, as in PyTorch's `ReduceLROnPlateau`.

    Validations count after the warm-up of the KL divergence, as for the best weights.
    """

    kind: Literal["plateau"] = "plateau"

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """By what the step size is multiplied each time."""
    patience: PositiveInt = 10
    """The number of validations without a better one after which it falls."""

    follows_bound: ClassVar[bool] = True

    def on_worse(self, times: int) -> float:
        """`factor` after each `patience` validations."""
        return 1.0 if times % self.patience else self.factor


SCHEDULES: tuple[type[ScheduleOptions], ...] = (ConstantSchedule, CosineSchedule, LinearSchedule, PlateauSchedule)


def _optimizers() -> Mapping[str, Options]:
    return {kind: Options(OptimizerOptions, ("kind", *optimizer_arguments(kind))) for kind in optimizer_classes()}


def _schedules() -> Mapping[str, Options]:
    return {cls.model_fields["kind"].default: Options(cls, tuple(cls.model_fields)) for cls in SCHEDULES}


OPTIMIZER = Choice("optimizer", _optimizers)
"""In an annotation: a kind of optimiser, or a mapping with one."""
SCHEDULE = Choice("schedule", _schedules)
"""In an annotation: a kind of schedule, or a mapping with one."""
