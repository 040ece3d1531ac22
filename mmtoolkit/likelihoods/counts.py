"""The likelihoods of counts: Poisson and negative binomial."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit.components import Form, Grid, Likelihood, Numbers, Series
from mmtoolkit.components.support import Support

_LEAST_LOG_MEAN, _LARGEST_LOG_MEAN = math.log(1e-6), math.log(2**53)  # float64 holds all whole numbers up to 2**53
_LEAST_DISPERSION = 1e-6  # below it a negative binomial is a Poisson distribution to six digits
_LEAST_SHIFT, _STEEPEST = 1e-3, 2.0


class CountLikelihood(Likelihood):
    """The base class of likelihoods of counts 0, 1, 2, …; an encoder reads the logarithm of 1 + count.

    The logarithm of the mean is linear in a network's output. Shift and scale of the form are those of log(1 + count):
    at output 0 the mean is exp(shift) - 1, and a step of the output there changes log(1 + mean) by the scale, or log
    mean by 2 if that is less, so that rare counts are learned in bounded steps.
    """

    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Grid, Series)
    support: ClassVar[Support] = "whole"

    def read(self, x: Tensor) -> Tensor:
        """log(1 + x)."""
        return x.log1p()


class PoissonLikelihood(CountLikelihood):
    """A Poisson distribution at each place: its variance is its mean."""

    kind: Literal["poisson"] = "poisson"

    def head(self, form: Form) -> nn.Module:
        """The outputs are logarithms of means, in the unit of the form."""
        return PoissonHead(form)


class NegativeBinomialLikelihood(CountLikelihood):
    """A negative binomial distribution at each place, with the variance μ + α μ² (Hilbe 2011).

    The dispersion α of each number or channel is learned. It is for what comes in clusters, such as animals in flocks,
    visits of a doctor, or molecules in cells.
    """

    kind: Literal["negative_binomial"] = "negative_binomial"

    def head(self, form: Form) -> nn.Module:
        """The outputs are logarithms of means, in the unit of the form."""
        return NegativeBinomialHead(form)


class CountMeans(nn.Module):
    """From outputs (N, *places) to the logarithms of means, in float64.

    Args:
        form: of the counts. Without a shift, the logarithm of the mean is the output.
    """

    at_zero: Tensor
    slope: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.by_channel = (form.places[0], *[1] * (len(form.places) - 1))
        shift = torch.tensor(form.shift or [math.log(2.0)] * form.places[0], dtype=torch.float64)
        scale = torch.tensor(form.scale or [0.5] * form.places[0], dtype=torch.float64)
        at_zero = shift.clamp(min=_LEAST_SHIFT).expm1().log()
        # Since log(1 + mean) is the softplus of log(mean), its slope there is a logistic function.
        slope = (scale / torch.sigmoid(at_zero)).clamp(max=_STEEPEST)
        # Not saved with the weights: the options keep shift and scale.
        self.register_buffer("at_zero", at_zero.reshape(self.by_channel), persistent=False)
        self.register_buffer("slope", slope.reshape(self.by_channel), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """Log-means (N, *places), between those of 1e-6 and of the largest whole number that float64 counts to."""
        log_mean = torch.addcmul(self.at_zero, self.slope, raw.double())
        return log_mean.clamp(_LEAST_LOG_MEAN, _LARGEST_LOG_MEAN)


class PoissonHead(nn.Module):
    """From outputs (N, 1, *places) to a distribution, in float64: terms of its density cancel where counts are large.

    Args:
        form: of the counts.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.log_means = CountMeans(form)

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        return distributions.Poisson(self.log_means(raw.squeeze(1)).exp(), validate_args=False)


class NegativeBinomialHead(nn.Module):
    """From outputs (N, 1, *places) to a distribution, in float64, with a dispersion of each number or channel.

    Args:
        form: of the counts.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.log_means = CountMeans(form)
        self.raw_dispersion = nn.Parameter(torch.zeros(self.log_means.by_channel))

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        log_mean = self.log_means(raw.squeeze(1))
        dispersion = F.softplus(self.raw_dispersion.double()) + _LEAST_DISPERSION
        logits = dispersion.log() + log_mean
        return distributions.NegativeBinomial(1 / dispersion.expand_as(log_mean), logits=logits, validate_args=False)
