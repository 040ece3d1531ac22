"""The MoPoE-VAE against a loop over rows, subsets and draws in float64, and its random subsets."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.distributions import Laplace, Normal, kl_divergence
from torch.testing import assert_close

from mixture_cases import (
    FEW,
    HOLES,
    MODALITIES,
    NAMES,
    STANDARD,
    D,
    assert_equal_parts,
    choice,
    compared_gradients,
    experts_of,
    gradients_of,
    log_mixture,
    log_probs_of,
    network_of,
    noise_for,
    product,
    seen_of,
    some,
    usable,
    weighted,
)
from mmtoolkit.base.errors import UserError
from mmtoolkit.components.terms import Step
from mmtoolkit.core.batch import Batch
from mmtoolkit.models import VAE, MoPoE
from mmtoolkit.priors import LaplacePrior
from toys import Vector, batch_of, bools, randn, some_values


def cuts_of(experts: dict[str, Any], subsets: list[set[str]]) -> list[Normal]:
    """The products of what a row has of each subset, but of those of which it has nothing."""
    return [product(experts[n] for n in NAMES if n in s and n in experts) for s in subsets if s & set(experts)]


def every_subset() -> list[set[str]]:
    """In the order of the numbers whose bits are their members."""
    return [{name for m, name in enumerate(NAMES) if number >> m & 1} for number in range(1, 8)]


def explicit(
    network: Any, batch: Batch, seen: Batch, noise: Tensor, beta: float, mean: bool, subsets: list[set[str]]
) -> tuple[Tensor, dict[str, Any]]:
    """The loss and the sums of its parts (Sutter et al. 2021, section 3), by loops over rows, subsets and draws."""
    total = torch.zeros((), dtype=torch.float64)
    sums: dict[str, Any] = dict.fromkeys(["KL", *(f"log p({n})" for n in NAMES)], 0.0)
    for row in range(batch.size):
        parts = cuts_of(experts_of(network, seen, row), subsets)
        if not parts:
            continue
        logs = []
        each = noise[0, row].unsqueeze(0) if network.draws == 1 else noise[0, :, row]
        divergences = [kl_divergence(part, STANDARD).sum() for part in parts]
        for epsilon in each:
            place, rest = choice(epsilon, [1 / len(parts)] * len(parts))
            z = parts[place].mean + parts[place].stddev * rest
            log_probs = log_probs_of(network, batch, row, z)
            divergence = torch.stack(divergences).mean()
            if network.draws > 1:
                divergence = log_mixture(parts, z) - STANDARD.log_prob(z).sum()
            elif not mean:
                divergence = divergence - (parts[place].log_prob(z).sum() - log_mixture(parts, z))
            logs.append(weighted(network, log_probs) - beta * divergence)
            for name, log_prob in log_probs.items():
                sums[f"log p({name})"] += log_prob / len(each)
            sums["KL"] += divergence / len(each)
        total = total + torch.stack(logs).logsumexp(0) - math.log(len(logs))
    return -total / usable(batch), sums


@pytest.mark.parametrize(("form", "draws"), [("mixture", 1), ("mixture", 3), ("mean", 1)])
@FEW
@given(present=bools(4, 3), hidden=bools(4, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_a_loop_over_rows_subsets_and_draws(
    form: Any, draws: int, present: Tensor, hidden: Tensor, beta: float
) -> None:
    network, batch = network_of(MoPoE(latent_dim=D, divergence=form, draws=draws)), some(present)
    seen, noise = seen_of(batch, hidden), noise_for(network, 4)
    expected, sums = explicit(network, batch, seen, noise, beta, form == "mean", every_subset())
    loss, parts = network(batch, beta, noise=noise, visible=seen)
    assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    assert_equal_parts(network, batch, parts, sums)
    if present.any():
        actual, slow = gradients_of(network, loss), gradients_of(network, expected)
        assert_close(actual, slow, rtol=1e-6, atol=1e-8)


@FEW
@given(present=bools(4, 3), subsets=bools(2, 3))
def test_random_subsets_are_cut_to_what_a_row_has(present: Tensor, subsets: Tensor) -> None:
    network, batch = network_of(MoPoE(latent_dim=D, most_subsets=6)), some(present)
    assert network.draw_subsets().shape == (2, 3)
    noise = noise_for(network, 4)
    listed = [set(NAMES), *({name} for name in NAMES)]
    drawn = [{name for m, name in enumerate(NAMES) if subset[m]} for subset in subsets]
    expected, _ = explicit(network, batch, batch, noise, 1.0, False, listed + drawn)
    loss, _ = network(batch, 1.0, subsets=subsets, noise=noise)
    assert_close(loss, expected, rtol=1e-7, atol=1e-9)


def mixture_of(network: Any, batch: Batch) -> Any:
    return network.terms(Step(network, batch, batch, network.draw_subsets())).q


def test_a_row_mixes_its_own_subsets_in_equal_shares() -> None:
    network, batch, z = network_of(MoPoE(latent_dim=D)), some(HOLES[:4]), randn(4, 4, D, seed=3)
    actual = mixture_of(network, batch).log_prob(z)
    for row in range(4):
        experts = experts_of(network, batch, row)
        parts = [
            product(experts[name] for name in members)
            for size in range(1, 4)
            for members in combinations(experts, size)
        ]
        assert len(parts) == 2 ** len(experts) - 1
        assert_close(actual[:, row], log_mixture(parts, z[:, row]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
def test_a_trained_model_infers_from_the_product_of_what_is_given(asked: list[str]) -> None:
    network, batch = network_of(MoPoE(latent_dim=D)), some(HOLES)
    q = network.infer(batch, asked)
    for row in range(5):
        experts = [e for name, e in experts_of(network, batch, row).items() if name in asked]
        expected = product(experts) if experts else STANDARD
        assert_close(q.mean[row], expected.mean, rtol=1e-9, atol=1e-12)
        assert_close(q.variance[row], expected.variance, rtol=1e-9, atol=1e-12)


def test_the_divergence_of_the_mixture_is_smaller_than_the_mean() -> None:
    batch = some(HOLES[:4].repeat(50, 1))
    kl = {}
    for form in ("mixture", "mean"):
        network = network_of(MoPoE(latent_dim=D, divergence=form))
        kl[form] = network(batch, noise=noise_for(network, 200))[1]["KL"]
    assert 0 < kl["mixture"] < kl["mean"] - 0.01


@pytest.mark.parametrize("options", [{}, {"divergence": "mean"}, {"draws": 4}, {"draws": 4, "gradient": "dreg"}])
def test_one_modality_is_the_vae(options: dict[str, Any]) -> None:
    one: dict[str, Any] = {"b": MODALITIES["b"]}
    batch = some(torch.tensor([[True], [False], [True]]), one)
    actual = []
    for model in (
        VAE(latent_dim=D, **{name: x for name, x in options.items() if name != "divergence"}),
        MoPoE(latent_dim=D, **options),
    ):
        network = network_of(model, one)
        loss, _ = network(batch, 0.3, noise=noise_for(network, 3))
        actual.append((loss, gradients_of(network, loss), network.bound(batch, randn(3, D))[[0, 2]]))
    for mopoe, vae in zip(*actual[::-1], strict=True):
        assert_close(mopoe, vae, rtol=1e-12, atol=1e-12)


def test_the_order_of_modalities_and_of_rows_changes_nothing() -> None:
    order, rows = [2, 0, 1], torch.tensor([3, 0, 2, 1])
    network = network_of(MoPoE(latent_dim=D, divergence="mean"))
    other = network_of(MoPoE(latent_dim=D, divergence="mean"), {NAMES[i]: MODALITIES[NAMES[i]] for i in order})
    for name in NAMES:
        for of in ("encoders", "decoders"):
            getattr(other, of).of(name).load_state_dict(getattr(network, of).of(name).state_dict())
    values, present, z = some_values(MODALITIES, 4), HOLES[:4], randn(3, 4, D)
    batch = batch_of(values, present)
    turned = batch_of({NAMES[i]: values[NAMES[i]][rows] for i in order}, present[rows][:, order])
    density = mixture_of(network, batch).log_prob(z)
    assert_close(mixture_of(other, turned).log_prob(z[:, rows]), density[:, rows], rtol=1e-10, atol=1e-10)
    noise = noise_for(network, 4)
    kl = [n(b, noise=e)[1]["KL"] for n, b, e in ((network, batch, noise), (other, turned, noise[:, rows]))]
    assert_close(kl[1], kl[0], rtol=1e-12, atol=0)
    again = network(batch_of({n: v[rows] for n, v in values.items()}, present[rows]), noise=noise[:, rows])[0]
    assert_close(again, network(batch, noise=noise)[0], rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_the_doubly_reparametrised_gradient_is_unbiased_and_varies_less(beta: float) -> None:
    def model(gradient: Any) -> MoPoE:
        return MoPoE(latent_dim=D, draws=5, gradient=gradient)

    errors, spread = compared_gradients(model, HOLES[:4], beta)
    assert errors.abs().max() < 5  # of 30 seeds
    assert errors.square().mean().sqrt() < 1.5
    assert spread < 0.95


def test_ten_modalities_are_mixed_in_full_and_more_by_random_subsets() -> None:
    many: dict[str, Any] = {f"m{i}": Vector() for i in range(12)}
    ten = network_of(MoPoE(latent_dim=D), {name: many[name] for name in list(many)[:10]})
    assert ten.draw_subsets().shape == (0, 10)
    assert len(ten._listed) == len(ten._listed.unique(dim=0)) == 1023
    assert ten._listed.any(1).all()
    network = network_of(MoPoE(latent_dim=D, most_subsets=40), many)
    torch.manual_seed(0)
    first, second = network.draw_subsets(), network.draw_subsets()
    assert first.shape == (27, 12)
    assert not torch.equal(first, second)
    batch = some(torch.rand(6, 12) < 0.5, many)
    q = mixture_of(network, batch.take(batch.present.any(1).nonzero().squeeze(1)))
    assert len(q.shares) == 40
    loss, _ = network(batch)
    assert gradients_of(network, loss).isfinite().all()


def test_too_few_subsets_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        MoPoE(latent_dim=D, most_subsets=3).build(MODALITIES)
    assert str(caught.value) == (
        "model.most_subsets: is 3, but all of the 3 modalities and each alone are 4 subsets; set it to 4 or more"
    )


def test_the_mean_divergence_from_another_prior_is_a_long_average() -> None:
    network = network_of(MoPoE(latent_dim=D, divergence="mean", prior=LaplacePrior(scale=0.8)))
    one, rows = HOLES[:1], 20_000
    values = {name: x.expand(rows, *x.shape[1:]) for name, x in some_values(MODALITIES, 1).items()}
    with torch.no_grad():
        actual = network(batch_of(values, one.expand(rows, -1)), noise=noise_for(network, rows))[1]["KL"]
        parts = cuts_of(experts_of(network, batch_of(values, one.expand(rows, -1)), 0), every_subset())
        prior = Laplace(torch.zeros(D).double(), 0.8)
        z = [part.mean + part.stddev * randn(rows, D, seed=9) for part in parts]
        each = [(q.log_prob(x) - prior.log_prob(x)).sum(-1).mean() for q, x in zip(parts, z, strict=True)]
    assert_close(actual, torch.stack(each).mean(), rtol=0, atol=0.03)


def test_the_mean_divergence_has_no_bound_of_several_draws() -> None:
    with pytest.raises(ValidationError, match="no bound of several draws; set draws to 1, or divergence to mixture"):
        MoPoE(divergence="mean", draws=2)
