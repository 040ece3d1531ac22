"""Builds the optimiser of a run, and computes the step size of each step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import nn

from mmtoolkit.schema.optimization import OptimizerOptions, optimizer_classes
from mmtoolkit.schema.train import TrainOptions


def new_optimizer(
    options: OptimizerOptions, parameters: Iterable[nn.Parameter], learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """The optimiser of these parameters.

    It is fused where its class has an implementation for the device, unless the options say otherwise.
    """
    cls, arguments = optimizer_classes()[options.kind], options.arguments
    if not arguments.keys() & {"fused", "foreach"} and _can_fuse(cls, device):
        arguments["fused"] = True
    return cls(parameters, lr=learning_rate, **arguments)


def _can_fuse(cls: Callable[..., torch.optim.Optimizer], device: torch.device) -> bool:
    """Whether a class has a fused step on a device. Some that take the argument have none on every device."""
    if "fused" not in inspect.signature(cls).parameters:
        return False
    weight = torch.zeros(1, device=device, requires_grad=True)
    weight.grad = torch.zeros_like(weight)
    try:
        cls([weight], lr=0.0, fused=True).step()
    except (RuntimeError, NotImplementedError):
        return False
    return True


class StepSizes:
    """The step size of each step, which depends only on the number of the step and on how often it fell on a plateau.

    Args:
        optimizer: what receives it.
        options: with the learning rate and its schedule.
        steps: the number of steps in an epoch.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, options: TrainOptions, steps: int) -> None:
        self.optimizer, self.options = optimizer, options
        self.steps = (options.schedule.epochs or options.epochs) * steps

    def at(self, step: int, scale: float = 1.0) -> float:
        """The step size of a step.

        Args:
            step: the number of the step, from 0.
            scale: the product of the factors by which it fell on plateaus.
        """
        return self.options.learning_rate * self.options.schedule.rate(step, self.steps) * scale

    @property
    def last(self) -> float:
        """The step size of the last step, or the learning rate before the first."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set(self, step: int, scale: float = 1.0) -> None:
        """Give the optimiser the step size of a step; see `at`."""
        rate = self.at(step, scale)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
