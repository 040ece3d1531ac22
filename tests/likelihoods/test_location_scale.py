"""The likelihoods of a location and a scale against their formulas, in the unit of the values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mmtoolkit import (
    Classes,
    Form,
    GaussianLikelihood,
    Grid,
    LaplaceLikelihood,
    Likelihood,
    LognormalLikelihood,
    Numbers,
    Series,
    StudentTLikelihood,
)
from mmtoolkit.components.support import Support
from toys import EXAMPLES, randn

Density = Callable[[float, float, float], float]


def gaussian(x: float, m: float, s: float) -> float:
    return -((x - m) ** 2) / (2 * s**2) - math.log(s * math.sqrt(2 * math.pi))


def laplace(x: float, m: float, s: float) -> float:
    return -abs(x - m) / s - math.log(2 * s)


def student_t(x: float, m: float, s: float) -> float:
    v = 3.5
    const = math.lgamma((v + 1) / 2) - math.lgamma(v / 2) - math.log(math.pi * v) / 2 - math.log(s)
    return const - (v + 1) / 2 * math.log1p(((x - m) / s) ** 2 / v)


def lognormal(x: float, m: float, s: float) -> float:
    return gaussian(math.log(x), m, s) - math.log(x)


KINDS: dict[str, tuple[Callable[..., Likelihood], Density]] = {
    "gaussian": (GaussianLikelihood, gaussian),
    "laplace": (LaplaceLikelihood, laplace),
    "student_t": (lambda **options: StudentTLikelihood(degrees=3.5, **options), student_t),
    "lognormal": (LognormalLikelihood, lognormal),
}
EACH = pytest.mark.parametrize("kind", KINDS)
SCALES: tuple[Any, ...] = (None, "predicted", 0.7, (0.3, 2.0))


def softplus(raw: float) -> float:
    return math.log1p(math.exp(raw))


def form_of(kind: str, shape: type[Form] = Numbers) -> Form:
    """Two numbers or channels, with shift and scale of the values, or of their logarithms."""
    sizes = {Numbers: (2,), Grid: (2, 3, 2), Series: (2, 3)}[shape]
    support: Support = "positive" if kind == "lognormal" else "real"
    return shape(*sizes, support=support, shift=(5.0, -1.0), scale=(2.0, 0.1))


@EACH
@pytest.mark.parametrize("shape", [Numbers, Grid, Series])
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_densities(kind: str, shape: type[Form], scale: Any) -> None:
    make, density = KINDS[kind]
    likelihood, form = make(scale=scale), form_of(kind, shape)
    head = likelihood.head(form).double()
    raw = randn(4, likelihood.numbers(form), *form.places, seed=1)
    x = form.shift[0] + randn(4, *form.places, seed=2)
    x = x.exp() if kind == "lognormal" else x
    log_prob = head(raw).log_prob(x).detach()
    assert log_prob.shape == x.shape
    for place in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        row, channel, *rest = place
        at = (row, slice(None), channel, *rest)
        m = form.shift[channel] + form.scale[channel] * float(raw[at][0])
        raw_scale = float(raw[at][1]) if scale == "predicted" else 0.0
        s = form.scale[channel] * (softplus(raw_scale) + 1e-3)
        if isinstance(scale, (float, tuple)):
            s = scale if isinstance(scale, float) else scale[channel]
        assert float(log_prob[tuple(place)]) == pytest.approx(density(float(x[tuple(place)]), m, s), rel=1e-9)


@EACH
@pytest.mark.parametrize("scale", SCALES[:2], ids=str)
def test_another_unit_divides_the_density(kind: str, scale: Any) -> None:
    """If x becomes c x, the density becomes that of x divided by c; the networks and their outputs stay the same."""
    likelihood, c = KINDS[kind][0](scale=scale), 60.0
    old = form_of(kind)
    if kind == "lognormal":  # log(c x) = log c + log x
        new = Numbers(2, support="positive", shift=tuple(s + math.log(c) for s in old.shift), scale=old.scale)
    else:
        new = Numbers(2, shift=tuple(c * s for s in old.shift), scale=tuple(c * s for s in old.scale))
    raw = randn(4, likelihood.numbers(old), 2, seed=3)
    p, q = likelihood.head(old)(raw), likelihood.head(new)(raw)
    x = p.sample()
    torch.testing.assert_close(q.log_prob(c * x), p.log_prob(x) - math.log(c), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(q.mean, c * p.mean, rtol=1e-9, atol=0)


@EACH
@pytest.mark.parametrize("scale", SCALES[:3], ids=str)
def test_densities_integrate_to_one(kind: str, scale: Any) -> None:
    make, _ = KINDS[kind]
    likelihood, form = make(scale=scale), form_of(kind)
    raw = randn(1, likelihood.numbers(form), 2, seed=4)
    t = torch.linspace(-9, 9, 40_001, dtype=torch.float64).unsqueeze(1)
    centre, width = torch.tensor(form.shift), torch.tensor(form.scale)
    y, dy = centre + width * torch.sinh(t), width * torch.cosh(t)
    x, dx = (y.clamp(-600, 600).exp(), y.clamp(-600, 600).exp() * dy) if kind == "lognormal" else (y, dy)
    with torch.no_grad():
        density = likelihood.head(form)(raw).log_prob(x.unsqueeze(1)).exp().squeeze(1)
    total = (density * dx).sum(0) * float(t[1] - t[0])
    torch.testing.assert_close(total, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", SCALES[:3], ids=str)
def test_lognormal_moments(scale: Any) -> None:
    likelihood = LognormalLikelihood(scale=scale)
    form = Numbers(2, support="positive", shift=(1.0, -2.0), scale=(0.5, 0.3))
    raw = randn(3, likelihood.numbers(form), 2, seed=5)
    m = torch.tensor(form.shift) + torch.tensor(form.scale, dtype=torch.float64) * raw[:, 0]
    raw_scale = raw[:, 1] if scale == "predicted" else torch.zeros(3, 2, dtype=torch.float64)
    s = torch.full_like(m, 0.7) if scale == 0.7 else torch.tensor(form.scale) * (raw_scale.exp().log1p() + 1e-3)
    p = likelihood.head(form)(raw)
    torch.testing.assert_close(p.mean, (m + s**2 / 2).exp())
    torch.testing.assert_close(p.variance, ((s**2).exp() - 1) * (2 * m + s**2).exp())
    x = torch.tensor([1e-300, 0.2, 3e7], dtype=torch.float64)
    assert likelihood.read(x).tolist() == [math.log(number) for number in x.tolist()]


@EACH
@pytest.mark.parametrize("shape", [Numbers, Grid, Series])
@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("size", [30.0, 1e4, 1e9])
def test_far_out_nothing_overflows(kind: str, shape: type[Form], scale: Any, size: float) -> None:
    likelihood, form = KINDS[kind][0](scale=scale), form_of(kind, shape)
    head = likelihood.head(form)
    raw = (size * randn(5, likelihood.numbers(form), *form.places, seed=6)).float().requires_grad_()
    p = head(raw)
    log_prob = p.log_prob(torch.full(p.batch_shape, 0.3))
    log_prob.sum().backward()
    for numbers in (log_prob, raw.grad, p.mean, p.variance, *(q.grad for q in head.parameters())):
        assert numbers is not None
        assert numbers.isfinite().all()
    assert (p.variance > 0).all()


@EXAMPLES
@given(st.floats(-1e6, 1e6), st.floats(-100, 1e6))
def test_a_predicted_scale_is_bounded_below(location: float, raw_scale: float) -> None:
    head = GaussianLikelihood(scale="predicted").head(Numbers(1, scale=(8.0,)))
    p = head(torch.tensor([[[location], [raw_scale]]], dtype=torch.float64))
    assert float(p.stddev) == pytest.approx(8.0 * (max(raw_scale, 0) + math.log1p(math.exp(-abs(raw_scale))) + 1e-3))


def test_grey_values_have_a_location_between_0_and_1() -> None:
    form = Grid(1, 2, 2, support="unit")
    raw = 100 * randn(3, 2, 1, 2, 2, seed=7)
    p = LaplaceLikelihood(scale="predicted").head(form)(raw)
    assert ((p.mean >= 0) & (p.mean <= 1)).all()
    least = torch.nn.functional.softplus(raw[:, 1]) + 0.01
    torch.testing.assert_close(p.scale, least)  # in the unit of the values


def test_numbers_are_computed_in_float64() -> None:
    form = Numbers(1, shift=(1.7e9,), scale=(3.0,))
    p = GaussianLikelihood(scale=1.0).head(form)(torch.zeros(1, 1, 1))
    assert float(p.log_prob(torch.tensor([[1.7e9 + 1]], dtype=torch.float64))) == pytest.approx(gaussian(1, 0, 1))
    series = LognormalLikelihood().head(Series(1, 2, support="positive"))(torch.zeros(1, 1, 1, 2))
    assert series.mean.dtype == torch.float64


def test_misfits() -> None:
    assert "entries" in str(GaussianLikelihood(scale=(1.0, 2.0)).misfit(Numbers(3)))
    assert "logarithms" in str(LognormalLikelihood(scale=20.0).misfit(Numbers(1, support="positive")))
    assert "logarithms" in str(LognormalLikelihood(scale=(1.0, 20.0)).misfit(Numbers(2, support="positive")))
    assert LognormalLikelihood(scale=2.0).misfit(Grid(1, 2, 2, support="positive")) is None
    for kind, (make, _) in KINDS.items():
        assert "classes" in str(make().misfit(Classes(3))), kind
    others: tuple[Support, ...] = ("real", "unit", "whole")
    for support in others:
        assert "above 0" in str(LognormalLikelihood().misfit(Numbers(1, support=support)))
    with pytest.raises(ValidationError):
        GaussianLikelihood(scale="learned")
