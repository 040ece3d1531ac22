"""What mvtcae, crmvae, gpoe, mcvae, barycentre, helvae and holder have in common."""

import itertools

import pytest
import torch
from torch.distributions import MultivariateNormal

from mmtoolkit.core.prior import OrPrior
from mmtoolkit.evaluators.importance import estimate
from mmtoolkit.models import CRMVAE, HELVAE, MCVAE, MVTCAE, Barycentre, GPoE, Holder
from mmtoolkit.priors import StudentTPrior
from pooled_cases import PRESENT, SEEN, TOYS, B, D, assert_close, gradients, network_of, perturb
from toys import Vector, batch_of, randn, seeded, some_values

MODELS = {
    "mvtcae": MVTCAE(latent_dim=D),
    "crmvae": CRMVAE(latent_dim=D),
    "gpoe": GPoE(latent_dim=D),
    "mcvae": MCVAE(latent_dim=D),
    "barycentre": Barycentre(latent_dim=D),
    "mixture of barycentres": Barycentre(latent_dim=D, mixture=True),
    "helvae": HELVAE(latent_dim=D),
    "holder": Holder(latent_dim=D),
}
EVERY = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def noise_order(network, order):
    """The place of each term's noise when units are in another order."""
    terms = network.noise_terms(0)
    if terms == 1:
        return [0]
    if terms == 3:
        return order
    if terms == 4:
        return [0, *(1 + m for m in order)]
    pairs = [(m, m) for m in range(3)] + list(itertools.combinations(range(3), 2))
    return [pairs.index((min(i, j), max(i, j))) for i, j in ((order[i], order[j]) for i, j in pairs)]


@EVERY
@pytest.mark.parametrize("order", [[2, 0, 1], [1, 0, 2]])
def test_the_order_of_modalities_does_not_matter(model, order):
    network, values = network_of(model), some_values(TOYS, B)
    perturb(network)
    names = [list(TOYS)[m] for m in order]
    other = network_of(model, {name: TOYS[name] for name in names}, seed=1)
    for own, from_ in ((other.encoders, network.encoders), (other.decoders, network.decoders)):
        for name in names:
            own.of(name).load_state_dict(from_.of(name).state_dict())
    if hasattr(network, "weights_of_experts"):
        other.weights_of_experts.logits.data = network.weights_of_experts.logits.data[order]
    batch = batch_of(values, PRESENT)
    permuted = batch_of({name: values[name] for name in names}, PRESENT[:, order])
    z = randn(2, B, D)
    for given in (["a"], ["a", "c"], names):
        assert_close(other.infer(permuted, given).log_prob(z), network.infer(batch, given).log_prob(z))
    if model == MODELS["mixture of barycentres"]:
        return  # the same noise draws from another of its parts
    noise = randn(network.noise_terms(0), B, D, seed=4)
    loss, parts = network(batch, 0.3, noise=noise)
    other_loss, other_parts = other(permuted, 0.3, noise=noise[noise_order(network, order)])
    assert_close(other_loss, loss)
    for name, part in parts.items():
        assert_close(other_parts[name], part)


@EVERY
def test_the_order_of_rows_does_not_matter(model):
    network, values, noise = network_of(model), some_values(TOYS, B), None
    noise = randn(network.noise_terms(0), B, D, seed=4)
    order = torch.tensor([3, 4, 0, 2, 1])
    batch, visible = batch_of(values, PRESENT), batch_of(values, SEEN)
    loss = network(batch, 0.3, noise=noise, visible=visible)[0]
    values = {name: value[order] for name, value in values.items()}
    batch, visible = batch_of(values, PRESENT[order]), batch_of(values, SEEN[order])
    assert_close(network(batch, 0.3, noise=noise[:, order], visible=visible)[0], loss)


@EVERY
def test_what_the_model_says_of_itself(model):
    network = network_of(model)
    assert network.subsets() is None
    assert network.inputs == network.targets == tuple(TOYS)
    assert network.usable(PRESENT).tolist() == [True] * 4 + [False]
    assert network.divergences() == (("KL",) if len(network.divergences()) == 1 else ("KL", "KL(joint, experts)"))


@EVERY
def test_a_row_that_has_nothing_of_the_given_has_the_prior(model):
    batch = batch_of(some_values(TOYS, B), PRESENT)
    q = network_of(model).infer(batch, ["a"])
    assert not q.mean[2:].any()
    assert torch.equal(q.variance[2:], torch.ones(3, D).double())
    z = randn(B, D)
    other = network_of(type(model).model_validate({**dict(model), "prior": StudentTPrior()}))
    q = other.infer(batch, ["a"])
    assert isinstance(q, OrPrior)
    assert_close(q.log_prob(z)[2:], other.prior.log_prob(z)[2:])


@pytest.mark.slow
@EVERY
def test_importance_sampling_finds_the_likelihood_of_a_linear_model(model):
    linear = {"a": Vector(size=2), "b": Vector(size=3)}  # x = W z + bias + noise: its log p has a closed form
    network = network_of(model, linear).eval()
    values = {name: randn(20, linear[name].size, seed=seed) for seed, name in enumerate(linear)}
    batch = batch_of(values, torch.ones(20, 2, dtype=torch.bool))
    weight = torch.cat([network.decoders.of(name).weight for name in linear]).detach()
    bias = torch.cat([network.decoders.of(name).bias for name in linear]).detach()
    joint = MultivariateNormal(bias, weight @ weight.T + torch.eye(5).double())
    exact = joint.log_prob(torch.cat([*values.values()], 1))
    [actual] = estimate(network, batch, ("a", "b"), [("a", "b")], 10_000, seeded(), 2**24)
    assert (actual.ess > 20).all()
    assert abs(actual.log_p.mean() - exact.mean()) < 5 * float((1 / actual.ess).mean() / 20) ** 0.5
    with torch.no_grad():
        bounds = torch.stack([network.bound(batch, e) for e in randn(200, 20, D)])
    assert (bounds.mean(0) < exact + 4 * bounds.std(0) / 200**0.5).all()


@pytest.mark.parametrize("name", ["mvtcae", "mixture of barycentres"])
def test_the_dreg_gradient_is_that_of_the_bound_on_average(name):
    rows, options = 20_000, {**dict(MODELS[name]), "draws": 3}
    values = {key: value.expand(rows, *value.shape[1:]) for key, value in some_values(TOYS, 1, seed=3).items()}
    batch, noise = batch_of(values, torch.ones(rows, 3, dtype=torch.bool)), randn(1, 3, rows, D, seed=6)
    actual = {}
    for gradient in ("standard", "dreg"):
        network = network_of(type(MODELS[name]).model_validate({**options, "gradient": gradient}))
        actual[gradient] = gradients(network, network(batch, 1.0, noise=noise)[0])
    for key, expected in actual["standard"].items():
        tolerance = 0.03 if key.startswith("encoders") else 1e-9
        assert (actual["dreg"][key] - expected).abs().max() < tolerance * max(1.0, float(expected.abs().max()))
        assert key.startswith("decoders") or not torch.equal(actual["dreg"][key], expected)


def test_holder_has_no_dreg_gradient():
    with pytest.raises(ValueError, match="gradient"):
        Holder.model_validate({"draws": 2, "gradient": "dreg"})
