"""The mmJSD against a loop over rows and distributions in float64, and the identities of its divergence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence
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
from mmtoolkit.core.batch import Batch
from mmtoolkit.models import MMJSD
from toys import batch_of, bools, randn, some_values

WEIGHTS = {"a": 0.5, "c": 3.0}


def divided(weights: list[float]) -> list[float]:
    return [w / sum(weights) for w in weights]


def explicit(
    network: Any, batch: Batch, seen: Batch, noise: Tensor, beta: float, weights: dict[str, float], of_prior: float
) -> tuple[Tensor, dict[str, Any]]:
    """The loss and the sums of its parts (Sutter et al. 2020, section 3), by loops over rows and distributions."""
    total = torch.zeros((), dtype=torch.float64)
    sums: dict[str, Any] = dict.fromkeys(["JS", *(f"log p({n})" for n in NAMES)], 0.0)
    for row in range(batch.size):
        experts = experts_of(network, seen, row)
        if not experts:
            continue
        own = [weights.get(name, 1.0) for name in experts]
        every, pi = [*experts.values(), STANDARD], divided([*own, of_prior])
        dynamic = product(every, pi)
        divergence = sum(w * kl_divergence(q, dynamic).sum() for w, q in zip(pi, every, strict=True))
        place, rest = choice(noise[0, row], divided(own))
        z = every[place].mean + every[place].stddev * rest
        log_probs = log_probs_of(network, batch, row, z)
        total = total + weighted(network, log_probs) - beta * divergence
        for name, log_prob in log_probs.items():
            sums[f"log p({name})"] += log_prob
        sums["JS"] += divergence
    return -total / usable(batch), sums


@pytest.mark.parametrize(("weights", "of_prior"), [({}, 1.0), (WEIGHTS, 0.3)])
@FEW
@given(present=bools(4, 3), hidden=bools(4, 3), beta=st.sampled_from([0.0, 0.4, 1.0]))
def test_the_loss_is_a_loop_over_rows_and_distributions(
    weights: dict[str, float], of_prior: float, present: Tensor, hidden: Tensor, beta: float
) -> None:
    network, batch = network_of(MMJSD(latent_dim=D, weights=weights, prior_weight=of_prior)), some(present)
    seen, noise = seen_of(batch, hidden), noise_for(network, 4)
    expected, sums = explicit(network, batch, seen, noise, beta, weights, of_prior)
    loss, parts = network(batch, beta, noise=noise, visible=seen)
    assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    assert_equal_parts(network, batch, parts, sums)
    if present.any():
        actual, slow = gradients_of(network, loss), gradients_of(network, expected)
        assert_close(actual, slow, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("weights", [{}, WEIGHTS])
@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
def test_the_posterior_mixes_what_is_given_and_there(weights: dict[str, float], asked: list[str]) -> None:
    network = network_of(MMJSD(latent_dim=D, weights=weights))
    batch, z = some(HOLES), randn(4, 5, D, seed=3)
    q = network.infer(batch, asked)
    for row in range(5):
        experts = {name: e for name, e in experts_of(network, batch, row).items() if name in asked}
        shares = divided([weights.get(name, 1.0) for name in experts]) or [1.0]
        parts = [*experts.values()] or [STANDARD]
        assert_close(q.log_prob(z)[:, row], log_mixture(parts, z[:, row], shares), rtol=1e-9, atol=1e-9)


def js_of(experts: list[Normal], **options: Any) -> Tensor:
    """The divergence of one row whose experts are these."""
    names = list(MODALITIES)[: len(experts)]
    modalities: dict[str, Any] = dict.fromkeys(names, MODALITIES["a"])
    network = network_of(MMJSD(latent_dim=D, **options), modalities)
    with torch.no_grad():
        for name, expert in zip(names, experts, strict=True):
            *_, last = network.encoders.of(name)
            last.weight.zero_()
            last.bias.copy_(torch.cat([expert.mean, 2 * expert.stddev.log()]))
    batch = some(torch.ones(1, len(names), dtype=torch.bool), modalities)
    divergence: Tensor = network(batch, noise=noise_for(network, 1))[1]["JS"]
    return divergence


def test_experts_that_are_the_prior_do_not_diverge() -> None:
    assert js_of([STANDARD, STANDARD]) == pytest.approx(0, abs=1e-12)


def test_one_shifted_expert_diverges_by_an_eighth_of_the_squared_shift() -> None:
    shift = torch.tensor([1.0, -2.0]).double()
    # Both are half of the shift away from their geometric mean, and KL(q || p) is half of the squared shift.
    assert js_of([Normal(shift, 1.0)]) == pytest.approx(5 / 8)


def test_the_dynamic_prior_makes_the_divergence_smallest() -> None:
    experts = [Normal(randn(D, seed=m), randn(D, seed=3 + m).exp()) for m in range(2)]
    every, pi = [*experts, STANDARD], divided([1.0, 1.0, 2.0])
    smallest = js_of(experts, prior_weight=2.0)
    best = product(every, pi)
    # By its definition over log-densities: KL(f || q) averaged over q is smallest at the geometric mean f.
    z = best.sample((4000,))
    normaliser = (torch.stack([w * q.log_prob(z).sum(-1) for w, q in zip(pi, every, strict=True)]).sum(0)).sub(
        best.log_prob(z).sum(-1)
    )
    assert normaliser.std() < 1e-9  # so the weighted product is the geometric mean
    assert smallest > 0


def test_the_order_of_modalities_and_of_rows_changes_nothing() -> None:
    order, rows = [2, 0, 1], torch.tensor([3, 0, 2, 1])
    network = network_of(MMJSD(latent_dim=D, weights=WEIGHTS))
    other = network_of(MMJSD(latent_dim=D, weights=WEIGHTS), {NAMES[i]: MODALITIES[NAMES[i]] for i in order})
    for name in NAMES:
        for of in ("encoders", "decoders"):
            getattr(other, of).of(name).load_state_dict(getattr(network, of).of(name).state_dict())
    values, present, noise = some_values(MODALITIES, 4), HOLES[:4], noise_for(network, 4)
    turned = {NAMES[i]: values[NAMES[i]][rows] for i in order}
    z = randn(3, 4, D)
    density = network.infer_all(batch_of(values, present)).log_prob(z)
    again = other.infer_all(batch_of(turned, present[rows][:, order])).log_prob(z[:, rows])
    assert_close(again, density[:, rows], rtol=1e-10, atol=1e-10)
    js = network(batch_of(values, present), noise=noise)[1]["JS"]
    turned_js = other(batch_of(turned, present[rows][:, order]), noise=noise[:, rows])[1]["JS"]
    assert_close(turned_js, js, rtol=1e-12, atol=0)
    in_rows = batch_of({name: x[rows] for name, x in values.items()}, present[rows])
    assert_close(network(in_rows, noise=noise[:, rows])[0], network(batch_of(values, present), noise=noise)[0])


def test_a_weight_of_no_modality_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        MMJSD(weights={"d": 1.0}).build(MODALITIES)
    assert str(caught.value) == "model.weights: there is no modality 'd'; the modalities are a, b, c"
