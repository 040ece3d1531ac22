"""The parameters of distributions by name, for programs outside of PyTorch."""

from __future__ import annotations

from functools import singledispatch

from torch import Tensor
from torch.distributions import Distribution, Independent


@singledispatch
def parameters_of(p: Distribution) -> dict[str, Tensor]:
    """The parameters of a distribution, name -> (*batch_shape, ...).

    Default: those that `arg_constraints` of its class names. A distribution that wraps another registers a function of
    its own, with `parameters_of.register`.
    """
    return {name: getattr(p, name) for name in p.arg_constraints}


@parameters_of.register(Independent)
def _(p: Independent[Distribution]) -> dict[str, Tensor]:
    return parameters_of(p.base_dist)
