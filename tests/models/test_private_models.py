"""What all models with private latents, or with a latent a modality, share: known likelihoods, records, precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributions import MultivariateNormal

from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit import CMVAE, DMVAE, MMVM, Batch, MMVAEPlus, Observed, build
from mmtoolkit.evaluators.importance import estimate
from private_cases import network_of
from toys import Vector, batch_of, randn, seeded, some_values

PRIVATE = [DMVAE(latent_dim=1, private_dim=1), MMVAEPlus(latent_dim=1, private_dim=1)]
EVERY: list[Any] = [
    DMVAE(latent_dim=2, private_dim=1),
    MMVAEPlus(latent_dim=2, private_dim=1),
    CMVAE(latent_dim=2, private_dim=1, clusters=3),
    MMVM(latent_dim=2),
    MMVM(latent_dim=2, divergence="pairs"),
]
KINDS = [f"{model.kind} {place}" for place, model in enumerate(EVERY)]


@pytest.mark.slow
@pytest.mark.parametrize("model", PRIVATE, ids=lambda model: model.kind)
@pytest.mark.parametrize("given", ["ab", "a"])
def test_the_likelihood_of_a_linear_gaussian_model_is_known(model, given):
    """Decoders are linear with unit variance, so that x is Gaussian; importance sampling has to find its density."""
    modalities = {"a": Vector(size=2), "b": Vector(size=1)}
    network = network_of(model, modalities)
    for name in modalities:
        network.encoders.of(name)[1].bias.data[2:] += 1.5  # proposals narrower than the posterior would need more draws
    values = some_values(modalities, 3, seed=1)
    batch = batch_of(values, torch.ones(3, 2, dtype=torch.bool))
    loading = torch.zeros(3, 3).double()  # of x = (a, b) on (shared, private of a, private of b)
    a, b = network.decoders.of("a"), network.decoders.of("b")
    loading[:2, :2] = a.weight
    loading[2, 0], loading[2, 2] = b.weight[0]
    x = torch.cat([values["a"], values["b"]], dim=1)
    exact = MultivariateNormal(torch.cat([a.bias, b.bias]), loading @ loading.T + torch.eye(3)).log_prob(x)
    [actual] = estimate(network, batch, tuple(given), [("a", "b")], 20_000, seeded(3), 2**22)
    torch.testing.assert_close(actual.log_p, exact.detach(), rtol=0, atol=0.03)
    bound = torch.stack([network.bound(batch, randn(3, network.latent_dim, seed=seed)) for seed in range(300)])
    assert (bound.mean(0) < exact + 3 * bound.std(0) / 300**0.5).all()


COLUMNS = {"age": Numeric(mean=(0.0,), std=(1.0,)), "sex": Label(classes=("f", "m"))}


def record_batch(rows: int = 6) -> Batch:
    present = torch.rand(3, rows, generator=seeded(2)) < 0.8
    return Batch(
        {
            "age": Observed(randn(rows, seed=1), present[0]),
            "sex": Observed(torch.randint(2, (rows,), generator=seeded(1)), present[1]),
            "photo": Observed(randn(rows, 2, seed=3), present[2] | ~present[:2].any(0)),
        }
    )


@pytest.mark.parametrize("model", EVERY, ids=KINDS)
def test_columns_of_a_record_share_an_expert_and_are_scored_when_hidden(model):
    units = {"person": Record(columns=COLUMNS), "photo": Vector(size=2)}
    network = build(model, units, seed=0).double().eval()
    batch = record_batch()
    visible = batch.only({"age", "photo"})
    lonely = ~visible.present.any(1)
    visible = batch.where(visible.present | (batch.present & lonely.unsqueeze(1)))
    noise = randn(network.noise_terms(0), 6, network.latent_dim)
    loss, parts = network(batch, noise=noise, visible=visible)
    assert loss.isfinite()
    assert parts["log p(sex)"] < 0
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.decoders.parameters())
    assert len(network.encoders.names) == 2
    if isinstance(model, MMVM):
        return
    q = network.infer(batch, ["photo"])
    own = network.own("person")
    assert not q.mean[:, own].any()
    assert (q.variance[:, own] == 1).all()
    some = network.infer(batch, ["age"])  # a part of the record tells of all that is private to it
    rows = batch.rows("age")
    assert some.mean[rows][:, own].all()


@pytest.mark.parametrize("model", EVERY, ids=KINDS)
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -1e30])
def test_what_stands_in_a_missing_cell_changes_no_bit(model, garbage):
    units = {"a": Vector(size=2), "b": Vector(size=3)}
    present = torch.tensor([[1, 1], [0, 1], [1, 0], [0, 0]]) > 0
    values = some_values(units, 4)
    dirty = {name: torch.where(present[:, [m]], values[name], garbage) for m, name in enumerate(units)}
    results = []
    for each in (values, dirty):
        network = build(model, units, seed=0).double()
        loss, _ = network(batch_of(each, present), noise=randn(network.noise_terms(0), 4, network.latent_dim))
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    assert all(map(torch.equal, *results))
