"""Each prior against its closed form, numerical integration and long averages; what its options refuse."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, distributions

from mmtoolkit import FlowPrior, Gaussian, LaplacePrior, MixturePrior, NormalPrior, Prior, PriorModule, StudentTPrior
from mmtoolkit.base.errors import UserError
from mmtoolkit.components.plugins import Plugins, load_plugins
from mmtoolkit.schema.schema import parse_schema
from toys import randn

PRIORS: dict[str, Prior] = {
    "normal": NormalPrior(),
    "normal of a scale": NormalPrior(scale=1.7),
    "normal of learned scales": NormalPrior(scale="learned"),
    "laplace": LaplacePrior(scale=0.7),
    "laplace of learned scales": LaplacePrior(scale="learned"),
    "student_t": StudentTPrior(degrees=4.5, scale=1.3),
    "one component": MixturePrior(components=1),
    "mixture": MixturePrior(components=3),
    "many components": MixturePrior(components=40),
    "spline": FlowPrior(width=16, transforms=2),
    "affine": FlowPrior(transform="affine", width=16, transforms=2),
}
EACH = pytest.mark.parametrize("name", PRIORS)


def module_of(name: str, size: int) -> PriorModule:
    """A prior, away from where it starts, in float64."""
    torch.manual_seed(3)
    module = PRIORS[name].build(size).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("size", [1, 2])
def test_the_density_integrates_to_one(name: str, size: int) -> None:
    module = module_of(name, size)
    # A grid that is uniform in asinh(z), so that it reaches far into the tails.
    s = torch.linspace(-8, 8, 40_001 if size == 1 else 501, dtype=torch.float64)
    axes = [s] * size
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
    with torch.no_grad():
        density = (module.log_prob(torch.sinh(grid)) + torch.cosh(grid).log().sum(-1)).exp()
    total = density.sum() * float(s[1] - s[0]) ** size
    assert total == pytest.approx(1, abs=2e-3)


@EACH
@pytest.mark.parametrize("size", [1, 3])
def test_draws_have_the_moments(name: str, size: int) -> None:
    module = module_of(name, size)
    with torch.no_grad():
        z = module.sample(randn(40_000, size, seed=4))
    error = z.std(0) / math.sqrt(len(z))
    own = error * (math.sqrt(10) if isinstance(PRIORS[name], FlowPrior) else 0)  # of moments by 4,096 draws
    assert ((z.mean(0) - module.mean).abs() < 4 * (error + own)).all()
    squares = (z - z.mean(0)).square()
    spread = squares.std(0) / math.sqrt(len(z)) * (4 if isinstance(PRIORS[name], FlowPrior) else 1)
    assert ((squares.mean(0) - module.variance).abs() < 5 * spread).all()


@EACH
def test_the_divergence_is_a_long_average(name: str) -> None:
    module, size = module_of(name, 2), 2
    q = Gaussian(randn(4, size, seed=5), randn(4, size, seed=6) - 1)
    noise = randn(20_000, 4, size, seed=7)
    with torch.no_grad():
        z = distributions.Normal(q.mean, q.variance.sqrt())
        draws = q.mean + q.variance.sqrt() * randn(20_000, 4, size, seed=8)
        above = z.log_prob(draws).sum(-1) - module.log_prob(draws)
        error = above.std(0) / math.sqrt(len(draws))
        assert ((module.kl(q, noise) - above.mean(0)).abs() < 5 * error).all()
        assert torch.equal(module.kl(q, noise[0]), module.kl(q, noise[0]))


@pytest.mark.parametrize("degrees", [2.1, 3.0, 8.0, 300.0])
def test_students_t_has_its_quantiles(degrees: float) -> None:
    module = StudentTPrior(degrees=degrees, scale=2.0).build(1).double()
    noise = torch.linspace(-7, 7, 401, dtype=torch.float64).unsqueeze(1)
    z = module.sample(noise)
    # P(t < z), by a fine sum of the density between neighbours, must be that of the noise.
    s = torch.linspace(0, 1, 2001, dtype=torch.float64)
    between = z[:-1] + (z[1:] - z[:-1]) * s
    areas = torch.trapezoid(module.log_prob(between.unsqueeze(-1)).exp(), between, dim=1)
    torch.testing.assert_close(areas, _between(noise[:, 0]), rtol=1e-3, atol=0)
    assert torch.equal(z, -module.sample(-noise))


def _between(x: Tensor) -> Tensor:
    """The normal probability between neighbours, precise in both tails."""
    low, high = x[:-1], x[1:]
    ndtr = torch.special.ndtr
    return torch.where(high <= 0, ndtr(high) - ndtr(low), ndtr(-low) - ndtr(-high))


def test_closed_forms() -> None:
    z = randn(7, 3)
    laplace = distributions.Laplace(torch.zeros(()).double(), 0.7).log_prob(z).sum(-1)
    torch.testing.assert_close(module_of("laplace", 3).log_prob(z), laplace, rtol=1e-12, atol=1e-12)
    student = distributions.StudentT(torch.tensor(4.5).double(), 0.0, 1.3).log_prob(z).sum(-1)
    torch.testing.assert_close(module_of("student_t", 3).log_prob(z), student, rtol=1e-12, atol=1e-12)
    mixture: Any = module_of("many components", 3)
    parts = distributions.Independent(distributions.Normal(mixture.means, (0.5 * mixture.logvars).exp()), 1)
    expected = distributions.MixtureSameFamily(distributions.Categorical(logits=mixture.logits), parts)
    torch.testing.assert_close(mixture.log_prob(z), expected.log_prob(z), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mixture.mean, expected.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mixture.variance, expected.variance, rtol=1e-10, atol=1e-10)


def test_a_mixture_draws_each_component_by_its_weight() -> None:
    module: Any = MixturePrior(components=3).build(2).double()
    with torch.no_grad():
        module.means.copy_(torch.tensor([[-50.0, 0], [0, 50], [50, 0]]))
        module.logits.copy_(torch.tensor([0.1, 0.6, 0.3]).log())
        z = module.sample(randn(30_000, 2, seed=9))
    for place, weight in enumerate((0.1, 0.6, 0.3)):
        own = z[(z - module.means[place]).norm(dim=1) < 20]
        assert len(own) / len(z) == pytest.approx(weight, abs=4 * math.sqrt(weight / len(z)))
        centred = own - module.means[place]
        assert (centred.mean(0).abs() < 4 / math.sqrt(len(own))).all()
        covariance = centred.T @ centred / len(own)
        torch.testing.assert_close(covariance, torch.eye(2).double(), rtol=0, atol=6 / math.sqrt(len(own)))


def test_one_component_at_the_origin_is_the_normal_prior() -> None:
    module: Any = MixturePrior(components=1).build(3).double()
    with torch.no_grad():
        module.means.zero_()
    normal, z = NormalPrior().build(3).double(), randn(50, 3)
    torch.testing.assert_close(module.log_prob(z), normal.log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module.sample(z), z, rtol=1e-9, atol=1e-9)
    assert torch.equal(module.mean, normal.mean)
    assert torch.equal(module.variance, normal.variance)


@pytest.mark.parametrize("name", ["mixture", "spline", "affine"])
def test_moments_follow_what_is_learned(name: str) -> None:
    module = module_of(name, 2)
    before = module.mean.clone()
    assert torch.equal(module.mean, before)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5)
    assert not torch.equal(module.mean, before)


@pytest.mark.parametrize("transform", ["spline", "affine"])
def test_a_flow_and_its_inverse_agree(transform: Any) -> None:
    module: Any = FlowPrior(transform=transform, width=16).build(4).double()
    noise = randn(20, 4)
    base, volume = module.transform().call_and_ladj(module.sample(noise))
    torch.testing.assert_close(base, noise, rtol=1e-6, atol=1e-6)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda z: module.transform()(z)))(module.sample(noise))
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], volume, rtol=1e-6, atol=1e-6)


def test_a_flow_starts_close_to_the_normal_prior() -> None:
    noise = randn(500, 4)
    for transform in ("spline", "affine"):
        torch.manual_seed(0)
        module = FlowPrior.model_validate({"transform": transform}).build(4).double()
        assert (module.sample(noise) - noise).abs().mean() < 0.1


def test_without_zuko_the_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(UserError, match=r"model\.prior: .*zuko; install it with pip install 'mmtoolkit\[flows\]'"):
        FlowPrior().build(2)


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.mark.parametrize(
    ("prior", "fault"),
    [
        ("mixtur", "schema: model.prior: there is no prior of kind 'mixtur'; did you mean 'mixture'?; the kinds are "),
        ({"kind": "mixture", "components": 0}, "schema: model.prior.components: input should be greater than 0"),
        ({"kind": "student_t", "degrees": 0}, "schema: model.prior.degrees: input should be greater than 2"),
        ({"kind": "student_t", "degrees": -1}, "schema: model.prior.degrees: input should be greater than 2"),
        ({"kind": "laplace", "scale": 0}, "schema: model.prior.scale: input should be greater than 0"),
        ({"kind": "laplace", "components": 3}, "schema: model.prior.components: unknown key; the keys here are kind, "),
        ({"kind": "flow", "transform": "splin"}, "schema: model.prior.transform: input should be 'spline' or 'affine'"),
        ({"components": 3}, "schema: model.prior: has no kind; add kind: one of normal, laplace, student_t, mixture"),
        ({"kind": "image"}, "schema: model.prior.kind: there is no prior of kind 'image' (image is a kind of modality"),
    ],
)
@pytest.mark.parametrize("model", ["mvae", "vae", "cvae", "jmvae", "bivcca"])
def test_wrong_options(model: str, prior: Any, fault: str, plugins: Plugins) -> None:
    data = {"name": "x", "data": "mnist", "modalities": {"a": "label", "b": "label"}}
    with pytest.raises(UserError) as raised:
        parse_schema({**data, "model": {"kind": model, "prior": prior}}, plugins=plugins)
    (line,) = raised.value.faults
    assert line.startswith(fault)
