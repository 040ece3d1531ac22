"""The core of mmtoolkit in a training loop of your own: three modalities, half of whose cells are missing."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal

from mmtoolkit import Batch, Gaussian, Observed, draw_subsets, product_of_experts

D, ROWS, STEPS, K = 4, 2000, 150, 1  # latent size, rows, steps, random subsets a step
torch.manual_seed(0)

# Data. A hidden class and its position in the plane are seen through three modalities.
hidden = torch.randint(3, (ROWS,))
centres = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]])
position = centres[hidden] + 0.3 * torch.randn(ROWS, 2)
values = {
    "point": position,
    "sensor": position @ torch.randn(2, 8) + 0.1 * torch.randn(ROWS, 8),
    "label": hidden,
}
present = {name: torch.rand(ROWS) < 0.5 for name in values}

# Networks: a module to the mean and log-variance of an expert, and one to the parameters of a likelihood.
sizes = {"point": 2, "sensor": 8, "label": 3}
encoders = nn.ModuleDict(
    {
        "point": nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 2 * D)),
        "sensor": nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 2 * D)),
        "label": nn.Embedding(3, 2 * D),
    }
)
decoders = nn.ModuleDict(
    {name: nn.Sequential(nn.Linear(D, 64), nn.SiLU(), nn.Linear(64, size)) for name, size in sizes.items()}
)


def likelihood(name: str, features: Tensor):
    """p(x | z) with event (2,), (8,) or ()."""
    return Categorical(logits=features) if name == "label" else Independent(Normal(features, 0.3), 1)


def experts_of(batch: Batch) -> Gaussian:
    """The experts q(z | x_m) of all rows, (M, B, D). Encoders read present rows only; zeros stand elsewhere."""
    stacked = []
    for name in batch.names:
        found = encoders[name](batch.value(name))
        stacked.append(found.new_zeros(batch.size, 2 * D).index_copy(0, batch.rows(name), found))
    mean, logvar = torch.stack(stacked).chunk(2, dim=-1)
    return Gaussian(mean, logvar)


def loss_of(batch: Batch) -> Tensor:
    """The negative ELBO summed over the distinct subsets of what each row has, averaged over rows: nats."""
    m = len(batch.names)
    subsets = torch.cat([torch.ones(1, m, dtype=torch.bool), torch.eye(m, dtype=torch.bool), draw_subsets(m, K)])
    members = subsets[:, :, None] & batch.present.T  # (S, M, B): each subset cut to what each row has
    same = (members[:, None] == members[None]).all(2)  # (S, S, B)
    repeated = torch.stack([same[s, :s].any(0) for s in range(len(members))])  # (S, B)
    members = members & ~repeated[:, None]

    q = product_of_experts(experts_of(batch), members)  # (S, B, D)
    z = q.rsample(torch.randn_like(q.mean))
    elbo = -(q.kl() * members.any(1)).sum()
    for place, name in enumerate(batch.names):
        rows = batch.rows(name)
        log_p = likelihood(name, decoders[name](z[:, rows])).log_prob(batch.value(name))  # (S, N)
        elbo = elbo + (log_p * members[:, place, rows]).sum()
    return -elbo / batch.present.any(1).sum()


def main() -> None:
    """Train, then predict labels from the other two modalities."""
    optimizer = torch.optim.Adam([*encoders.parameters(), *decoders.parameters()], lr=5e-3)
    losses = []
    for _ in range(STEPS):
        chosen = torch.randint(ROWS, (100,))
        batch = Batch({name: Observed(values[name][chosen], present[name][chosen]) for name in values})
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    everything = torch.ones(ROWS, dtype=torch.bool)
    batch = Batch({name: Observed(value, everything) for name, value in values.items()})
    given = torch.tensor([True, True, False])[None, :, None].expand(1, 3, ROWS)  # point and sensor, not the label
    with torch.no_grad():
        z = product_of_experts(experts_of(batch), given).mean[0]
        accuracy = (decoders["label"](z).argmax(-1) == hidden).float().mean().item()

    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    print(f"loss: first {first:.2f}, last {last:.2f} nats")
    print(f"label from point and sensor: accuracy {accuracy:.2f}")
    assert last < first, "the loss did not fall"
    assert accuracy > 0.9, "labels are not predicted"


if __name__ == "__main__":
    main()
