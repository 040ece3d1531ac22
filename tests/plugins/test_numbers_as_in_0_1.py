"""Numbers, attributes and binaries have the initial weights that they had in 0.1, and learn as they did.

The numbers were computed by version 0.1 (commit aaa0340).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mmt_attributes import Attributes, Numeric
from mmt_binary import Binary
from mmtoolkit import MVAE, Batch, GaussianLikelihood, NumberModality, Observed, StudentTLikelihood, build

BODY = Numeric(columns=("x", "y"), mean=(170.0, 70.0), std=(10.0, 15.0))


@dataclass(frozen=True)
class Recorded:
    """What 0.1 computed for a modality.

    Attributes:
        modality: the modality, in the words of today.
        weights: of encoder, encoder with a condition, branch, decoder and head, in this order after seed 0: the number
            of parameters and the sum of their magnitudes.
        log_prob: of eight rows under the decoder, in sum.
        losses: of three steps of Adam.
    """

    modality: NumberModality
    weights: list[tuple[int, float]]
    log_prob: float
    losses: list[float]


RECORDED = [
    Recorded(
        Numeric(mean=(170.0,), std=(10.0,)),
        weights=[
            (266758, 6389.342140723636),
            (267782, 6402.154059236755),
            (12, 6.564231872558594),
            (527874, 12202.287702662812),
            (5, 1.3211550116539001),
        ],
        log_prob=-44.58692478642942,
        losses=[17.12714762216938, 14.788190589369751, 12.444436496507262],
    ),
    Recorded(
        BODY,
        weights=[
            (268294, 6511.325374644102),
            (269318, 6524.693238800713),
            (30, 7.645932912826538),
            (528388, 12225.21581127281),
            (10, 2.478537753224373),
        ],
        log_prob=-250.68395875051002,
        losses=[88.57363327786516, 81.20577646389454, 71.58183545650094],
    ),
    Recorded(
        Numeric(mean=(170.0,), std=(10.0,), likelihood=StudentTLikelihood(degrees=3.0)),
        weights=[
            (266758, 6389.342140723636),
            (267782, 6402.154059236755),
            (12, 6.564231872558594),
            (527874, 12202.287702662812),
            (5, 1.3211550116539001),
        ],
        log_prob=-37.534656919143835,
        losses=[14.162460440580917, 13.051641649975625, 11.910425380855813],
    ),
    Recorded(
        Numeric(mean=(170.0,), std=(10.0,), likelihood=GaussianLikelihood(scale=4.0)),
        weights=[
            (266758, 6389.342140723636),
            (267782, 6402.154059236755),
            (12, 6.564231872558594),
            (527873, 12202.287702662812),
            (4, 1.3211550116539001),
        ],
        log_prob=-83.89777874676848,
        losses=[31.6562641588495, 25.464477300942573, 18.098237200390678],
    ),
    Recorded(
        Attributes(columns=("a", "b", "c"), values=("0", "1")),
        weights=[
            (269830, 7490.871475845035),
            (270854, 7500.700614585102),
            (24, 6.278971230611205),
            (531971, 13769.975780290546),
            (12, 3.030200008302927),
        ],
        log_prob=-11.606438040733337,
        losses=[5.0821967124938965, 6.322275638580322, 2.671614408493042],
    ),
    Recorded(
        Binary(values=("0", "1")),
        weights=[
            (266758, 6699.810025556687),
            (267782, 6678.464937501058),
            (12, 8.402326814830303),
            (527873, 12202.099116686206),
            (4, 1.596595898270607),
        ],
        log_prob=-5.552408814430237,
        losses=[2.9559285640716553, 2.313582420349121, 1.844176173210144],
    ),
]


def rows_of(modality: NumberModality) -> Tensor:
    """Eight rows, of several numbers some unknown."""
    draw = torch.Generator().manual_seed(5)
    if isinstance(modality, Binary):
        return torch.randint(0, 2, (8,), generator=draw).float()
    known = torch.rand(8, modality.size, generator=draw) < 0.7
    known[:, 0] = True
    if isinstance(modality, Attributes):
        answers = torch.randint(0, 2, (8, modality.size), generator=draw).float()
        return torch.stack([answers * known, known.float()], 1)
    numbers = torch.randn(8, modality.size, generator=draw, dtype=torch.float64) * 12 + 160
    return numbers[:, 0] if modality.single else torch.stack([numbers * known, known.double()], 1)


def summary(network: nn.Module | None) -> tuple[int, float]:
    assert network is not None
    weights = [parameter.detach().double().flatten() for parameter in network.parameters()]
    return sum(map(len, weights)), float(torch.cat(weights).abs().sum())


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.modality.kind)
def test_weights_and_steps_are_those_of_0_1(recorded: Recorded) -> None:
    modality, x = recorded.modality, rows_of(recorded.modality)
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(8, 3, generator=draw)
    torch.manual_seed(0)
    encoders = modality.encoder(6), modality.encoder(6, extra=2), modality.branch(6)
    decoder, head = modality.decoder(3), modality.head(3)
    summaries = [summary(network) for network in (*encoders, decoder, head)]

    assert [count for count, _ in summaries] == [count for count, _ in recorded.weights]
    assert [size for _, size in summaries] == pytest.approx([size for _, size in recorded.weights], rel=1e-12)
    assert decoder(z).log_prob(x).sum().item() == pytest.approx(recorded.log_prob, rel=1e-5)

    network = build(MVAE(latent_dim=3), {"a": modality, "b": modality}, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batch = Batch({"a": Observed(x, torch.ones(8, dtype=torch.bool)), "b": Observed(x, torch.arange(8) % 3 != 0)})
    noise = torch.randn(3, 8, 3, generator=draw)
    losses = []
    for _ in recorded.losses:
        optimizer.zero_grad()
        loss, _ = network(batch, noise=noise)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(recorded.losses, rel=1e-4)
