"""The likelihoods of a location and a scale: Gaussian, Laplace, Student's t, log-normal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, distributions, nn
from torch.distributions import Distribution

from mmtoolkit.components import Form, Grid, Likelihood, Numbers, ScaledHead, Series
from mmtoolkit.components.support import IN_WORDS, Support
from mmtoolkit.core.posterior import at_least_float32

SMALLEST, LARGEST = 1e-50, 1e50
"""The bounds of a scale. Within them no standardised number and no density overflows float64."""
_SCALES_OF_UNIT = 1e-4, 1e4  # those within which no density of numbers from 0 to 1 overflows float32
_LEAST_SCALE = {"unit": 0.01}  # of a learned scale, in the unit of the values
_LEAST_STANDARD = 1e-3  # of a learned scale, in that of standardised numbers
_LARGEST_OF_LOGS = 15.0  # log-normal numbers of LARGEST then have a variance below 1e298

_SCALE = Field(ge=SMALLEST, le=LARGEST)


class LocationScaleLikelihood(Likelihood):
    """The base class of likelihoods with a location and a scale at each place.

    The location of values from 0 to 1 is the logistic function of a network's output, and of others linear in it. A
    scale that is learned or predicted is a softplus, bounded below.
    """

    scores: ClassVar[tuple[type[Form], ...]] = (Numbers, Grid, Series)

    scale: Annotated[float, _SCALE] | tuple[Annotated[float, _SCALE], ...] | Literal["predicted"] | None = None
    """The scale, in the unit of the values: one for all, or one for each number or channel; or `predicted`, by the
    network from z. By default learned, one each (for pixels the σ-VAE of Rybkin et al. 2021)."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A scale that is learned, one that is predicted, and one that is fixed."""
        return [cls.model_validate({"scale": scale}) for scale in (None, "predicted", 0.5)]

    def misfit(self, form: Form) -> str | None:
        """As the base class says, or that `scale` has too many or too few entries, or one that is no scale of them."""
        if (misfit := super().misfit(form)) is not None:
            return misfit
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        least, largest = _SCALES_OF_UNIT if form.support == "unit" else (SMALLEST, LARGEST)
        for scale in scales:
            if isinstance(scale, float) and not least <= scale <= largest:
                return f"scale is {scale:g}, and that of {IN_WORDS[form.support]} is {least:g} to {largest:g}"
        if not isinstance(self.scale, tuple) or len(self.scale) == form.places[0]:
            return None
        return f"scale has {len(self.scale)} entries and there are {form.places[0]}"

    def numbers(self, form: Form) -> int:
        """The location, and the scale if it is predicted."""
        return 2 if self.scale == "predicted" else 1

    def head(self, form: Form) -> nn.Module:
        """The outputs are locations, and scales before softplus."""
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


class LognormalLikelihood(LocationScaleLikelihood):
    """A log-normal distribution at each place, for positive numbers of several orders of magnitude, such as prices.

    Location and scale are those of the natural logarithms, which networks read; the density is that of the numbers.
    The location stays within ±log 1e50 and the scale within 15, so that mean and variance are finite in float64.
    """

    kind: Literal["lognormal"] = "lognormal"
    support: ClassVar[Support] = "positive"

    def misfit(self, form: Form) -> str | None:
        """As the base class says, or that a scale is too large."""
        if (misfit := super().misfit(form)) is not None:
            return misfit
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        if any(isinstance(scale, float) and scale > _LARGEST_OF_LOGS for scale in scales):
            return f"scale is that of logarithms, at most {_LARGEST_OF_LOGS:g}"
        return None

    def distribution(self, location: Tensor, scale: Tensor) -> Distribution:
        """LogNormal(location, scale), in float64."""
        location = location.double().clamp(-math.log(LARGEST), math.log(LARGEST))
        return distributions.LogNormal(location, scale.double().clamp(max=_LARGEST_OF_LOGS), validate_args=False)

    def read(self, x: Tensor) -> Tensor:
        """The natural logarithm."""
        return x.log()


class LocationScaleHead(ScaledHead):
    """From outputs (N, 1 or 2, *places) to a distribution; numbers in float64, since they may be dates in seconds.

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
        self.scale: Tensor | None
        self.register_buffer("scale", None)
        if likelihood.scale is None:
            self.raw_scale = nn.Parameter(torch.zeros(by_channel))
        elif likelihood.scale != "predicted":
            scale = torch.tensor(likelihood.scale, dtype=torch.float64).expand(form.places[0]).reshape(by_channel)
            self.register_buffer("scale", scale.clone(), persistent=False)

    @property
    def scales(self) -> Tensor | None:
        """One for each number or channel, in the unit of the outputs, float64."""
        return None if self.raw_scale is None else F.softplus(self.raw_scale.double()) + self.least

    def forward(self, raw: Tensor) -> Distribution:
        """Batch (N, *places)."""
        raw, *raw_scales = (raw.double() if self.in_float64 else at_least_float32(raw)).unbind(1)
        location = torch.sigmoid(raw) if self.unit else self.standard.restored(raw)
        if self.scale is not None:
            scale = self.scale.to(location.dtype)
        else:
            raw_scale = raw_scales[0] if self.raw_scale is None else self.raw_scale.to(location.dtype)
            scale = F.softplus(raw_scale) + self.least
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
        return torch.addcmul(self.shift.to(raw.dtype), self.scale.to(raw.dtype), raw)
