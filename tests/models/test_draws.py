"""Losses of several draws against explicit loops over rows, terms and draws, and their gradients, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mmtoolkit import MVAE, UserError, build, parse_schema
from mmtoolkit.components import ManyDraws, Network
from mmtoolkit.models.mvae import SubsetOptions
from model_cases import MODELS, TOYS, B, D, assert_close, network_of, presence
from toys import batch_of, randn, some_values

K, BETA = 4, 0.7
SUBSETS = torch.tensor([[1, 1, 0], [0, 1, 1]]) > 0
CASES: dict[str, ManyDraws] = {
    **{name: model for name, model in MODELS.items() if isinstance(model, ManyDraws)},
    "mvae": MVAE(latent_dim=D, subsets=SubsetOptions(k=2)),
}


def several(model: ManyDraws, draws: int = K, gradient: str = "standard") -> ManyDraws:
    return model.model_copy(update={"draws": draws, "gradient": gradient})


def terms_of(name: str, network: Any, row: Tensor) -> list[tuple[int, set[str], set[str], float]]:
    """Of a row's presence: the place of each term's noise, what z is inferred from, what is scored, and the weight."""
    names = [unit for unit, there in zip(network.units, row.tolist(), strict=True) if there]
    if name.startswith("vae"):
        return [(0, {network.name}, {network.name}, 1.0)] if network.name in names else []
    if name.startswith("cvae"):
        every = {network.target, *network.given}
        return [(0, every, {network.target}, 1.0)] if every <= set(names) else []
    if name == "bivcca":
        weights = {"a": network.mu, "b": 1 - network.mu}
        total = sum(weights[one] for one in names)
        return [("ab".index(one), {one}, set(names), weights[one] / total) for one in names]
    if name.startswith("jmvae"):
        return [(0, set(names), set(names), 1.0)] if len(names) == 3 else []
    chosen: dict[frozenset[str], int] = {}
    cuts = [{unit for unit, enters in zip("abc", cut.tolist(), strict=True) if enters} for cut in SUBSETS]
    singles = [{unit} for unit in "abc"]
    for place, members in enumerate([{"a", "b", "c"}, *singles, *cuts]):
        if held := frozenset(members & set(names)):
            chosen.setdefault(held, place)
    return [(place, set(held), set(held), 1.0) for held, place in chosen.items()]


def explicit_loss(name: str, network: Any, values: dict[str, Tensor], present: Tensor, noise: Tensor) -> Tensor:
    total, usable = torch.zeros(()).double(), 0
    for row in range(B):
        one = batch_of({key: value[row : row + 1] for key, value in values.items()}, present[row : row + 1])
        listed = terms_of(name, network, present[row])
        usable += bool(listed)
        for place, given, scored, weight in listed:
            q = network.posterior(one, frozenset(given))
            normal = Normal(q.mean[0], q.variance[0].sqrt())
            log_weights = []
            for draw in range(K):
                z = normal.loc + normal.scale * noise[place, draw, row]
                log_probs = network.log_prob(z.unsqueeze(0), one, tuple(scored))
                log_weight = sum(TOYS[key].weight * log_probs[key][0] for key in scored)
                prior = Normal(torch.zeros(D).double(), 1.0).log_prob(z).sum()
                log_weights.append(log_weight + BETA * (prior - normal.log_prob(z).sum()))
            total = total + weight * (torch.stack(log_weights).exp().mean().log())
            if name.startswith("jmvae"):
                for subset in network.subsets()[1:]:
                    other = network.posterior(one, subset)
                    apart = kl_divergence(normal, Normal(other.mean[0], other.variance[0].sqrt())).sum()
                    total = total - network.alpha * apart
    return -total / usable


def case_of(name: str, gradient: str = "standard") -> tuple[Any, dict[str, Tensor], Tensor, Tensor]:
    network: Any = network_of(several(CASES[name], gradient=gradient))
    terms = network.noise_terms(2 if name == "mvae" else 0)
    values = some_values(network.modalities, B)
    return network, values, presence(CASES[name]), randn(terms, K, B, D, seed=4)


@pytest.mark.parametrize("gradient", ["standard", "dreg"])
@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_several_draws_is_a_loop_over_rows_terms_and_draws(name: str, gradient: str) -> None:
    network, values, present, noise = case_of(name, gradient)
    loss, _ = network(batch_of(values, present), BETA, SUBSETS if name == "mvae" else None, noise)
    assert_close(loss, explicit_loss(name, network, values, present, noise))


@pytest.mark.parametrize("name", CASES)
def test_equal_draws_are_one_draw_but_for_its_estimate_of_the_divergence(name: str) -> None:
    network, values, present, noise = case_of(name)
    subsets = SUBSETS if name == "mvae" else None
    same = noise[:, :1].expand(-1, K, -1, -1)
    loss, parts = network(batch_of(values, present), 0.0, subsets, same)
    network.draws = 1
    one, one_parts = network(batch_of(values, present), 0.0, subsets, noise[:, 0])
    assert_close(loss, one)
    reconstructions = [part for part in parts if part.startswith("log p")]
    assert_close({part: parts[part] for part in reconstructions}, {part: one_parts[part] for part in reconstructions})


def test_more_draws_bound_the_likelihood_more_tightly() -> None:
    losses = []
    for draws in (1, 10, 100):
        network = network_of(several(CASES["vae"], draws))
        values = some_values(network.modalities, B)
        batch = batch_of(values, torch.ones(B, 3, dtype=torch.bool))
        torch.manual_seed(0)
        with torch.no_grad():
            losses.append(torch.stack([network(batch)[0] for _ in range(400)]).mean().item())
    assert losses[0] > losses[1] > losses[2]


def grads(network: Network, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_dreg_weights_the_path_of_a_draw_by_its_importance_and_the_square_of_it() -> None:
    network, values, _, noise = case_of("vae", "dreg")
    batch = batch_of(values, torch.ones(B, 3, dtype=torch.bool))
    actual = grads(network, network(batch, BETA, noise=noise)[0])

    mean, logvar = network.encoders[0](values["a"]).chunk(2, dim=-1)
    z = mean + (logvar / 2).exp() * noise[0]
    leaf = z.detach().requires_grad_()
    log_p = TOYS["a"].weight * network.decoders[0](leaf).log_prob(values["a"].expand(K, B, -1))
    prior = Normal(torch.zeros(D).double(), 1.0).log_prob(leaf).sum(-1)
    log_q = Normal(mean.detach(), (logvar / 2).exp().detach()).log_prob(leaf).sum(-1)
    log_weights = log_p + BETA * (prior - log_q)
    importance = log_weights.detach().softmax(0)
    network.zero_grad()
    (along,) = torch.autograd.grad(log_weights.sum(), leaf, retain_graph=True)
    (-(importance * log_weights).sum() / B).backward()
    # The score of q enters the log-weight β times, so that the square alone would be right for β = 1 only.
    path = (1 - BETA) * importance + BETA * importance.square()
    z.backward(-(path.unsqueeze(-1) * along) / B)
    for name, parameter in network.named_parameters():
        if name.startswith(("encoders", "decoders")):
            assert_close(actual[name], parameter.grad)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_dreg_agrees_with_the_standard_gradient_on_average_and_varies_less(beta: float) -> None:
    model, values = CASES["vae"], some_values(dict(list(TOYS.items())), B)
    batch = batch_of(values, torch.ones(B, 3, dtype=torch.bool))
    samples: dict[str, Tensor] = {}
    for gradient in ("standard", "dreg"):
        network = network_of(several(model, 8, gradient))
        torch.manual_seed(1)
        each = []
        for _ in range(600):
            actual = grads(network, network(batch, beta)[0])
            each.append(torch.cat([actual[name].flatten() for name in actual if name.startswith("encoders")]))
        samples[gradient] = torch.stack(each)
    means = {gradient: x.mean(0) for gradient, x in samples.items()}
    errors = {gradient: x.std(0) / len(x) ** 0.5 for gradient, x in samples.items()}
    apart = (means["standard"] - means["dreg"]).abs() / (errors["standard"] ** 2 + errors["dreg"] ** 2).sqrt()
    assert apart.max() < 5
    assert errors["dreg"].square().sum() < errors["standard"].square().sum()


def test_one_draw_is_the_default_and_dreg_needs_more() -> None:
    assert MVAE().draws == 1
    with pytest.raises(ValidationError, match="set draws to 2 or more"):
        MVAE(gradient="dreg")


def schema_with(model: dict[str, Any]) -> Any:
    return parse_schema(
        {
            "name": "draws",
            "data": {"kind": "fashion_mini"},
            "modalities": {"image": {"kind": "image", "shape": [1, 28, 28]}, "label": "label"},
            "model": model,
        }
    )


def test_a_schema_takes_draws() -> None:
    schema = schema_with({"kind": "mvae", "draws": 3, "gradient": "dreg"})
    network: Any = build(schema.model, {"a": TOYS["a"], "c": TOYS["c"]}, seed=0)
    assert (network.draws, network.gradient) == (3, "dreg")
    with pytest.raises(UserError, match=r"draws.*greater than 0"):
        schema_with({"kind": "vae", "draws": 0})


def test_a_hidden_value_is_scored_and_not_read_with_several_draws() -> None:
    network, values, _, noise = case_of("mvae")
    present = torch.ones(B, 3, dtype=torch.bool)
    mask = present.clone()
    mask[:, 0] = False
    batch = batch_of(values, present)
    other = {**values, "a": values["a"] + 1}
    losses = [network(b, 0.0, SUBSETS, noise, visible=b.where(mask))[0] for b in (batch, batch_of(other, present))]
    assert not math.isclose(losses[0].item(), losses[1].item())
    parts = [network(b, 1.0, SUBSETS, noise, visible=b.where(mask))[1]["KL"] for b in (batch, batch_of(other, present))]
    assert_close(parts[0], parts[1])
