"""Models with a mixture over a record and a photo: the record is one unit, whatever is known of it."""

from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

import mmtoolkit
from mixture_cases import log_mixture, product
from mmt_attributes import Label, Numeric
from mmt_record import Record
from mmtoolkit import MLP, MMJSD, MMVAE, Batch, MoPoE, Observed
from toys import Vector, randn

D, B = 3, 6
COLUMNS = {
    "age": Numeric(mean=(0.0,), std=(1.0,)),
    "sex": Label(classes=("f", "m")),
    "size": Numeric(mean=(0.0,), std=(1.0,)),
}
UNITS = {
    "person": Record(columns=COLUMNS, network=MLP(width=16, depth=2, residual=True, norm="layer")),
    "photo": Vector(weight=0.6),
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
STANDARD = Normal(torch.zeros(D).double(), 1.0)


def batch_of(present: torch.Tensor) -> Batch:
    return Batch({name: Observed(value, present[:, m]) for m, (name, value) in enumerate(VALUES.items())})


def network_of(model: mmtoolkit.Model) -> Any:
    return mmtoolkit.build(model, UNITS, seed=0).double().eval()


def experts_of(network: Any, visible: Batch) -> dict[str, Normal]:
    """The expert of each unit of which a single row shows anything."""
    actual = {unit: network.expert(unit, visible) for unit in UNITS}
    return {unit: Normal(q.mean[0], q.variance[0].sqrt()) for unit, q in actual.items() if q is not None}


@pytest.mark.parametrize("seen", [PRESENT, SEEN])
def test_mmvae_has_one_expert_of_a_record_and_scores_all_its_known_columns(seen: torch.Tensor) -> None:
    network = network_of(MMVAE(latent_dim=D))
    noise, total = randn(2, B, D), torch.zeros(()).double()
    for row in range(B - 1):
        batch, visible = (batch_of(which).take(torch.tensor([row])) for which in (PRESENT, seen))
        experts = experts_of(network, visible)
        for term, unit in enumerate(UNITS):
            if unit in experts:
                q = experts[unit]
                z = q.mean + q.stddev * noise[term, row]
                scores = network.log_prob(z.unsqueeze(0), batch, tuple(UNITS))
                weighted = sum(network.modalities[name].weight * p[0] for name, p in scores.items())
                about = q.log_prob(z).sum() - log_mixture(experts.values(), z)
                total = total + (weighted - kl_divergence(q, STANDARD).sum() + about) / len(experts)
    loss, _ = network(batch_of(PRESENT), noise=noise, visible=batch_of(seen))
    assert_close(loss, -total / (B - 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seen", [PRESENT, SEEN])
def test_the_others_diverge_by_units(seen: torch.Tensor) -> None:
    mean, js = 0.0, 0.0
    network = network_of(MoPoE(latent_dim=D))
    for row in range(B - 1):
        with torch.no_grad():
            experts = [*experts_of(network, batch_of(seen).take(torch.tensor([row]))).values()]
        products = [*experts, product(experts)] if len(experts) == 2 else experts
        mean += sum(float(kl_divergence(q, STANDARD).sum()) for q in products) / len(products)
        every = [*experts, STANDARD]
        centre = product(every, [1 / len(every)] * len(every))
        js += sum(float(kl_divergence(q, centre).sum()) for q in every) / len(every)
    for model, expected, part in (
        (MoPoE(latent_dim=D, divergence="mean"), mean, "KL"),
        (MMJSD(latent_dim=D), js, "JS"),
    ):
        _, parts = network_of(model)(batch_of(PRESENT), noise=randn(1, B, D), visible=batch_of(seen))
        assert_close(float(parts[part]), expected / (B - 1), rtol=1e-9, atol=1e-9)
