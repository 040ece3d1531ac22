"""Models that pool experts over a record and a photo: the record is one unit, whatever is known of it."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import mmtoolkit
from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit import MLP, Batch, Observed
from mmtoolkit.models import CRMVAE, HELVAE, MCVAE, MVTCAE, Barycentre, GPoE, Holder
from toys import Vector, randn

D, B = 3, 6
COLUMNS = {
    "age": Numeric(mean=(0.0,), std=(1.0,)),
    "sex": Label(classes=("f", "m")),
    "size": Numeric(mean=(0.0,), std=(1.0,)),
}
UNITS = {
    "person": Record(columns=COLUMNS, network=MLP(width=16, depth=2, residual=True, norm="layer")),
    "photo": Vector(),
}
# Whole, no column, no photo, a column alone, some of both, and nothing.
PRESENT = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0]]) > 0
SEEN = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]) > 0
VALUES = {
    "age": randn(B),
    "sex": torch.tensor([0, 1, 1, 0, 1, 0]),
    "size": randn(B, seed=1),
    "photo": randn(B, 2, seed=2),
}
MODELS = {
    "mvtcae": MVTCAE(latent_dim=D, alpha=0.4),
    "crmvae": CRMVAE(latent_dim=D),
    "gpoe": GPoE(latent_dim=D),
    "mcvae": MCVAE(latent_dim=D),
    "barycentre": Barycentre(latent_dim=D),
    "mixture of barycentres": Barycentre(latent_dim=D, mixture=True),
    "helvae": HELVAE(latent_dim=D),
    "holder": Holder(latent_dim=D),
}


def batch_of(present):
    return Batch({name: Observed(value, present[:, m]) for m, (name, value) in enumerate(VALUES.items())})


def network_of(model):
    return mmtoolkit.build(model, UNITS, seed=0).double().eval()


@pytest.mark.parametrize("name", ["mvtcae", "crmvae", "mcvae"])
@pytest.mark.parametrize("seen", [PRESENT, SEEN])
def test_the_loss_counts_a_record_once_and_scores_all_its_known_columns(name, seen):
    network = network_of(MODELS[name])
    noise, total = randn(network.noise_terms(0), B, D), torch.zeros(()).double()
    for row in range(B - 1):
        batch, visible = (batch_of(which).take(torch.tensor([row])) for which in (PRESENT, seen))
        experts = {}
        for unit in UNITS:
            if (q := network.expert(unit, visible)) is not None:
                experts[unit] = Normal(q.mean[0], q.variance[0].sqrt())

        def score(q, term, units=tuple(UNITS), row=row, batch=batch):
            z = (q.mean + q.stddev * noise[term, row]).unsqueeze(0)
            return sum(network.log_prob(z, batch, units).values(), torch.zeros(1).double())[0]

        n, prior = len(experts), Normal(torch.zeros(D).double(), 1.0)
        precision = sum(1 / q.variance for q in experts.values())
        joint = Normal(sum(q.mean / q.variance for q in experts.values()) / precision, precision**-0.5)
        from_prior = kl_divergence(joint, prior).sum()
        from_experts = sum(kl_divergence(joint, q).sum() for q in experts.values())
        places = {unit: place for place, unit in enumerate(UNITS)}
        if name == "mvtcae":
            objective = (n - 0.4) / n * score(joint, 0) - 0.7 * (0.6 * from_prior + 0.4 / n * from_experts)
        elif name == "crmvae":
            both = score(joint, 0) + sum(score(q, 1 + places[unit], [unit]) for unit, q in experts.items())
            objective = both / (2 * (n + 1)) - 0.7 * (from_prior + from_experts) / (n + 1)
        else:
            objective = sum(score(q, places[u]) - 0.7 * kl_divergence(q, prior).sum() for u, q in experts.items())
        total = total - objective
    loss = network(batch_of(PRESENT), 0.7, noise=noise, visible=batch_of(seen))[0]
    torch.testing.assert_close(loss, total / (B - 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_each_model_learns_from_what_is_known_of_a_record(model):
    network = network_of(model)
    loss, parts = network(batch_of(PRESENT), noise=randn(network.noise_terms(0), B, D), visible=batch_of(SEEN))
    loss.backward()
    assert {"log p(age)", "log p(sex)", "log p(size)", "log p(photo)", "KL"} <= parts.keys()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
    z = randn(B, D)
    whole, some = (network.infer(batch_of(PRESENT), names).log_prob(z) for names in (["person"], ["age", "size"]))
    assert torch.equal(some, network.infer(batch_of(PRESENT).only({"age", "size"}), ["person"]).log_prob(z))
    assert not torch.allclose(whole[0], some[0])
