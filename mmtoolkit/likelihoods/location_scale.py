"""The likelihoods of a location and a scale: Gaussian, Laplace, Student's t."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit.components import Form, Grid, Likelihood, Numbers, Series
from mmtoolkit.core.posterior import at_least_float32

SMALLEST, LARGEST = 1e-50, 1e50
"""The bounds of a scale. Within them no standardised number and no density overflows float64."""
_LEAST_SCALE = {"unit": 0.01}  # of a learned scale, in the unit of the values
_LEAST_STANDARD = 1e-3  # of a learned scale, in that of standardised numbers

Scale = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]


class LocationScaleLikelihood(Likelihood):
    """The base class of likelihoods with a location and a scale at each place.

    The location of values from 0 to 1 is the logistic function of a network's output, and of others linear in it.
    """

    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Grid, Series)

    scale: Scale | tuple[Scale, ...] | None = None
    """The scale, in the unit of the values: one for all, or one for each number or channel. By default learned, one
    each (for pixels the σ-VAE of Rybkin et al. 2021)."""

    def misfit(self, form: Form) -> str | None:
        """As the base class says, or that `scale` has too many or too few entries."""
        if (misfit := super().misfit(form)) is not None or not isinstance(self.scale, tuple):
            return misfit
        if len(self.scale) == form.places[0]:
            return None
        return f"scale has {len(self.scale)} entries and there are {form.places[0]}"

    def head(self, form: Form) -> nn.Module:
        """The outputs are locations."""
        return LocationScaleHead(self, form)

    def distribution(self, location: Tensor, scale: Tensor) -> Distribution:
        """The distribution of this location and scale, both (N, *places)."""
        raise NotImplementedError


class GaussianLikelihood(LocationScaleLikelihood):
    """A normal distribution at each place; its scale is the standard deviation."""

    kind: Literal["gaussian"] = "gaussian"

    def distribution(self, location: Tensor, scale: Tensor) -> Distribution:
        """N(location, scale²)."""
        return distributions.Normal(location, scale, validate_args=False)


class LaplaceLikelihood(LocationScaleLikelihood):
    """A Laplace distribution at each place: density exp(-|x - location| / scale) / (2 scale)."""

    kind: Literal["laplace"] = "laplace"
    robust: ClassVar[bool] = True

    def distribution(self, location: Tensor, scale: Tensor) -> Distribution:
        """Laplace(location, scale)."""
        return distributions.Laplace(location, scale, validate_args=False)


class StudentTLikelihood(LocationScaleLikelihood):
    """Student's t distribution at each place, for values with outliers (Lange et al. 1989)."""

    kind: Literal["student_t"] = "student_t"
    robust: ClassVar[bool] = True

    degrees: Annotated[float, Field(gt=2)] = 4.0
    """The degrees of freedom, more than 2 so that the variance is finite."""

    def distribution(self, location: Tensor, scale: Tensor) -> Distribution:
        """StudentT(degrees, location, scale)."""
        return distributions.StudentT(self.degrees, location, scale, validate_args=False)


class LocationScaleHead(nn.Module):
    """From outputs (N, 1, *places) to a distribution; numbers in float64, since they may be dates in seconds.

    Args:
        likelihood: with the scale, and the distribution.
        form: of the values.
    """

    def __init__(self, likelihood: LocationScaleLikelihood, form: Form) -> None:
        super().__init__()
        self.distribution = likelihood.distribution
        self.unit = form.support == "unit"
        self.in_float64 = isinstance(form, (Numbers, Series))
        self.standard = Standard(form)
        self.least = _LEAST_SCALE.get(form.support, _LEAST_STANDARD)
        by_channel = (form.places[0], *[1] * (len(form.places) - 1))
        self.raw_scale: nn.Parameter | None = None
        self.scale: Tensor
        if likelihood.scale is None:
            self.raw_scale = nn.Parameter(torch.zeros(by_channel))
        else:
            scale = torch.tensor(likelihood.scale, dtype=torch.float64).expand(form.places[0]).reshape(by_channel)
            self.register_buffer("scale", scale.clone(), persistent=False)

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        raw = raw.squeeze(1)
        raw = raw.double() if self.in_float64 else at_least_float32(raw)
        location = torch.sigmoid(raw) if self.unit else self.standard.restored(raw)
        if self.raw_scale is None:
            scale = self.scale.to(location.dtype)
        else:
            scale = F.softplus(self.raw_scale.to(location.dtype)) + self.least
            scale = scale if self.unit else scale * self.standard.scale.to(location.dtype)
        return self.distribution(location, scale.expand_as(location))


class Standard(nn.Module):
    """The shift and scale of a form, one for each number or channel; 0 and 1 if it has none.

    Args:
        form: of the values.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        by_channel = (form.places[0], *[1] * (len(form.places) - 1))
        for name, values, default in (("shift", form.shift, 0.0), ("scale", form.scale, 1.0)):
            numbers = torch.tensor(values or [default] * form.places[0], dtype=torch.float64)
            # Not saved with the weights: the options keep them.
            self.register_buffer(name, numbers.reshape(by_channel), persistent=False)

    def restored(self, raw: Tensor) -> Tensor:
        """Values from standardised ones (N, *places): shift + scale * raw."""
        return self.shift.to(raw.dtype) + self.scale.to(raw.dtype) * raw
