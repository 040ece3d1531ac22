"""A likelihood: the gamma distribution, of numbers above 0 such as amounts, prices and waiting times."""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Gamma

from mmtoolkit import Component, Form, Grid, Likelihood, Numbers, Series, hookimpl


class GammaLikelihood(Likelihood):
    """A gamma distribution at each place; z decides its mean, and its shape is learned."""

    kind: Literal["gamma"] = "gamma"
    scores = (Numbers, Grid, Series)
    support = "positive"

    def read(self, x: Tensor) -> Tensor:
        """What the encoder reads of a number."""
        return x.log()

    def head(self, form: Form) -> nn.Module:
        """From a network's outputs to the distribution."""
        return GammaHead(form)


class GammaHead(nn.Module):
    """From outputs (N, 1, *places) to the distribution at each place."""

    typical: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        channels, *rest = form.places
        column = (channels, *(1 for _ in rest))  # one entry for each number or channel
        logs = torch.tensor(form.shift or [0.0] * channels, dtype=torch.float64)  # the means of what `read` returns
        self.register_buffer("typical", logs.exp().reshape(column), persistent=False)  # the options keep them
        self.raw_shape = nn.Parameter(torch.zeros(column))

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        mean = self.typical * (F.softplus(raw.squeeze(1).double()) + 1e-6)  # finite for every z, and above 0
        shape = F.softplus(self.raw_shape.double()) + 0.1
        return Gamma(shape.expand_as(mean), shape / mean, validate_args=False)


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The components of this file."""
    return [GammaLikelihood]
