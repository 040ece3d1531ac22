"""A record that is trained: conditional means of a linear-Gaussian truth, and what reads its columns afterwards."""

import itertools

import pytest
import torch

import mmtoolkit
from mmt_attributes import Numeric
from mmt_record import Record
from mmtoolkit import MLP, MVAE, Batch, Observed
from mmtoolkit.core.batch import Block
from mmtoolkit.schema.train import HideOptions
from mmtoolkit.training.hiding import draw_visible

NAMES = ("a", "b", "c", "d")
FACTOR = torch.tensor([[1.0], [0.8], [-0.7], [0.5]], dtype=torch.float64)
NOISE = torch.tensor([0.4, 0.5, 0.6, 0.5], dtype=torch.float64)
MEAN = torch.tensor([10.0, -3.0, 0.0, 100.0], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T + torch.diag(NOISE**2)


def rows_of(n, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return MEAN + noise @ torch.linalg.cholesky(COVARIANCE).T


@pytest.fixture(scope="module")
def network():
    """A record trained on 4,000 rows of the truth, with one latent variable, as the truth has."""
    x, steps, batch = rows_of(4000, 1), 2000, 256
    columns = {n: Numeric(mean=(float(x[:, k].mean()),), std=(float(x[:, k].std()),)) for k, n in enumerate(NAMES)}
    record = Record(columns=columns, network=MLP(width=32, depth=2, decoder_depth=1))
    network = mmtoolkit.build(MVAE(latent_dim=1), {"row": record}, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    torch.manual_seed(0)
    present = torch.ones(batch, 4, dtype=torch.bool)
    for step in range(steps):
        block = Block(x[torch.randint(0, len(x), (batch,))], present, (torch.float64,) * 4)
        rows = Batch.of_present(batch, {}, {}, blocks={NAMES: block})
        visible = rows.where(draw_visible(network, present, HideOptions(rate=0.5, whole=0.2)))
        loss, _ = network(rows, min(1.0, step / (0.5 * steps)), visible=visible)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return network.eval()


@pytest.mark.slow
@torch.no_grad()
def test_a_record_recovers_the_conditional_mean_of_any_column_given_any_others(network):
    x = rows_of(2000, 2)
    batch = Batch({name: Observed(x[:, k], torch.ones(2000, dtype=torch.bool)) for k, name in enumerate(NAMES)})
    for target in range(4):
        others = [k for k in range(4) if k != target]
        for given in itertools.chain.from_iterable(itertools.combinations(others, size) for size in (1, 2, 3)):
            of_given = COVARIANCE[list(given)][:, list(given)]
            weights = COVARIANCE[target, list(given)] @ torch.linalg.inv(of_given)
            mean = MEAN[target] + (x[:, list(given)] - MEAN[list(given)]) @ weights
            variance = COVARIANCE[target, target] - weights @ COVARIANCE[list(given), target]
            q = network.infer(batch, [NAMES[k] for k in given])
            noise = torch.randn(100, *q.mean.shape, generator=torch.Generator().manual_seed(3))
            name = NAMES[target]
            p = network.decode(q.rsample(noise).flatten(0, 1), batch, [name])[name]
            predicted = network.modalities[name].pooled(p, 100)
            # In units of what no prediction can know. The mean alone would be off by 0.6 to 2.3.
            error = float((predicted - mean).square().mean().sqrt() / variance.sqrt())
            assert error < 0.2, (name, given, error)
