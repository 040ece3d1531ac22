"""The MMVAE against a loop over rows, experts and draws in float64; its gradients against long averages."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Laplace, MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from mixture_cases import (
    FEW,
    HOLES,
    MODALITIES,
    NAMES,
    STANDARD,
    D,
    assert_equal_parts,
    compared_gradients,
    drawn,
    experts_of,
    gradients_of,
    log_mixture,
    log_probs_of,
    network_of,
    noise_for,
    seen_of,
    some,
    usable,
    weighted,
)
from mmtoolkit.core.batch import Batch
from mmtoolkit.models import MMVAE, VAE
from mmtoolkit.priors import LaplacePrior, NormalPrior
from mmtoolkit.training.networks import build
from toys import Vector, batch_of, bools, randn, some_values


def explicit(
    network: Any, batch: Batch, seen: Batch, noise: Tensor, beta: float, laplace: bool, prior: Any
) -> tuple[Tensor, dict[str, Any]]:
    """The loss and the sums of its parts (Shi et al. 2019, section 3), by loops over rows, experts and draws."""
    total = torch.zeros((), dtype=torch.float64)
    sums: dict[str, Any] = dict.fromkeys(["KL", *(f"log p({n})" for n in NAMES)], 0.0)
    for row in range(batch.size):
        experts = experts_of(network, seen, row, laplace)
        for m, name in enumerate(NAMES):
            if name not in experts:
                continue
            expert, logs = experts[name], []
            each = noise[m, row].unsqueeze(0) if network.draws == 1 else noise[m, :, row]
            for epsilon in each:
                z = drawn(expert, epsilon)
                log_probs = log_probs_of(network, batch, row, z)
                above = log_mixture(experts.values(), z) - prior.log_prob(z).sum()
                if network.draws == 1 and prior is STANDARD:  # of which only a part is estimated
                    about = expert.log_prob(z).sum() - log_mixture(experts.values(), z)
                    above = kl_divergence(expert, STANDARD).sum() - about
                logs.append(weighted(network, log_probs) - beta * above)
                for other, log_prob in log_probs.items():
                    sums[f"log p({other})"] += log_prob / len(each) / len(experts)
                sums["KL"] += above / len(each) / len(experts)
            total = total + (torch.stack(logs).logsumexp(0) - math.log(len(logs))) / len(experts)
    return -total / usable(batch), sums


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("laplace", [False, True])
@FEW
@given(present=bools(4, 3), hidden=bools(4, 3), beta=st.sampled_from([0.0, 0.4, 1.0]), standard=st.booleans())
def test_the_loss_is_a_loop_over_rows_experts_and_draws(
    draws: int, laplace: bool, present: Tensor, hidden: Tensor, beta: float, standard: bool
) -> None:
    model = MMVAE(
        latent_dim=D,
        draws=draws,
        experts="laplace" if laplace else "gaussian",
        prior=NormalPrior() if standard else LaplacePrior(scale=1.3),
    )
    network, batch = network_of(model), some(present)
    seen, noise = seen_of(batch, hidden), noise_for(network, 4)
    prior = STANDARD if standard else Laplace(torch.zeros(D).double(), 1.3)
    expected, sums = explicit(network, batch, seen, noise, beta, laplace, prior)
    loss, parts = network(batch, beta, noise=noise, visible=seen)
    assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    assert_equal_parts(network, batch, parts, sums)
    if present.any():
        actual, slow = gradients_of(network, loss), gradients_of(network, expected)
        assert_close(actual, slow, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("laplace", [False, True])
@pytest.mark.parametrize("asked", [["a", "b", "c"], ["a", "c"], ["b"], []])
def test_the_posterior_mixes_what_is_given_and_there(laplace: bool, asked: list[str]) -> None:
    network = network_of(MMVAE(latent_dim=D, experts="laplace" if laplace else "gaussian"))
    batch, z = some(HOLES), randn(4, 5, D, seed=3)
    q = network.infer(batch, asked)
    for row in range(5):
        experts = {name: e for name, e in experts_of(network, batch, row, laplace).items() if name in asked}
        parts = [*experts.values()] or [STANDARD]
        assert_close(q.log_prob(z)[:, row], log_mixture(parts, z[:, row]), rtol=1e-9, atol=1e-9)
        assert_close(q.mean[row], torch.stack([part.mean for part in parts]).mean(0), rtol=1e-9, atol=1e-9)
        if not experts:
            assert torch.equal(q.rsample(z)[:, row], z[:, row])


@pytest.mark.parametrize("draws", [1, 4])
def test_one_modality_is_the_vae(draws: int) -> None:
    one: dict[str, Any] = {"b": MODALITIES["b"]}
    batch = some(torch.tensor([[True], [False], [True]]), one)
    actual = []
    for model in (VAE(latent_dim=D, draws=draws), MMVAE(latent_dim=D, draws=draws)):
        network = network_of(model, one)
        loss, _ = network(batch, 0.3, noise=noise_for(network, 3))
        actual.append((loss, gradients_of(network, loss), network.bound(batch, randn(3, D))[[0, 2]]))
    for mmvae, vae in zip(*actual[::-1], strict=True):
        assert_close(mmvae, vae, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"draws": 3, "gradient": "dreg"}, {"experts": "laplace"}])
def test_the_order_of_modalities_and_of_rows_changes_nothing(options: dict[str, Any]) -> None:
    order, rows = [2, 0, 1], torch.tensor([3, 0, 4, 2, 1])
    network, values = network_of(MMVAE(latent_dim=D, **options)), some_values(MODALITIES, 5)
    other = network_of(MMVAE(latent_dim=D, **options), {NAMES[i]: MODALITIES[NAMES[i]] for i in order})
    for name in NAMES:
        for of in ("encoders", "decoders"):
            getattr(other, of).of(name).load_state_dict(getattr(network, of).of(name).state_dict())
    noise = noise_for(network, 5)
    loss, _ = network(batch_of(values, HOLES), 0.6, noise=noise)
    turned = batch_of({NAMES[i]: values[NAMES[i]][rows] for i in order}, HOLES[rows][:, order])
    again, _ = other(turned, 0.6, noise=noise[order].index_select(-2, rows))
    assert_close(again, loss, rtol=1e-12, atol=0)
    gradients_of(network, loss)
    gradients_of(other, again)
    for name in NAMES:
        pairs = zip(network.encoders.of(name).parameters(), other.encoders.of(name).parameters(), strict=True)
        for p, r in pairs:
            assert_close(r.grad, p.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("draws", [1, 3])
def test_an_absent_expert_does_not_count(draws: int) -> None:
    two: dict[str, Any] = {name: MODALITIES[name] for name in "ab"}
    whole, part = network_of(MMVAE(latent_dim=D, draws=draws)), network_of(MMVAE(latent_dim=D, draws=draws), two)
    for name in two:
        part.encoders.of(name).load_state_dict(whole.encoders.of(name).state_dict())
        part.decoders.of(name).load_state_dict(whole.decoders.of(name).state_dict())
    values, noise = some_values(MODALITIES, 4), noise_for(whole, 4)
    present = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]) > 0
    loss, _ = whole(batch_of(values, present), noise=noise)
    expected, _ = part(batch_of({n: values[n] for n in two}, present[:, :2]), noise=noise[:2])
    assert_close(loss, expected, rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1.0, 0.4])
@pytest.mark.parametrize("experts", ["gaussian", "laplace"])
def test_the_doubly_reparametrised_gradient_is_unbiased_and_varies_less(beta: float, experts: Any) -> None:
    def model(gradient: Any) -> MMVAE:
        return MMVAE(latent_dim=D, draws=5, gradient=gradient, experts=experts)

    errors, spread = compared_gradients(model, HOLES[:4], beta)
    assert errors.abs().max() < 5  # of 30 seeds
    assert errors.square().mean().sqrt() < 1.5
    if experts == "gaussian":  # of Laplace experts it varies less after some training
        assert spread < 0.95


def test_many_draws_of_a_linear_model_find_its_likelihood() -> None:
    linear: dict[str, Any] = {"a": Vector(size=2), "b": Vector(size=3)}  # x = W z + bias + noise
    network: Any = build(MMVAE(latent_dim=D, draws=4000), linear, seed=0).double()
    batch = some(torch.ones(6, 2, dtype=torch.bool), linear)
    weight = torch.cat([network.decoders.of(name).weight for name in linear]).detach()
    bias = torch.cat([network.decoders.of(name).bias for name in linear]).detach()
    x = torch.cat([batch.value(name) for name in linear], 1)
    exact = MultivariateNormal(bias, weight @ weight.T + torch.eye(5).double()).log_prob(x).mean()
    with torch.no_grad():
        actual = -network(batch, noise=noise_for(network, 6))[0]
        few = build(MMVAE(latent_dim=D, draws=2), linear, seed=0).double()
        loose = -few(batch, noise=noise_for(few, 6))[0]
    assert loose < exact - 0.3
    assert exact - 0.15 < actual < exact + 0.02


def test_a_learned_scale_of_the_prior_gets_a_gradient() -> None:
    model = MMVAE(latent_dim=D, experts="laplace", prior=LaplacePrior(scale="learned"))
    network = network_of(model)
    loss, _ = network(some(HOLES), noise=noise_for(network, 5))
    loss.backward()
    raw = network.prior.scale.raw
    assert raw.grad.abs().min() > 0
    assert_close(raw.grad.sum(), torch.zeros(()).double(), rtol=0, atol=1e-12)  # the mean scale stays


def test_memory_is_linear_in_the_batch_and_small_beside_decoders() -> None:
    class Wide(Vector):
        """A vector whose networks have a hidden layer."""

        def decoder(self, size: int) -> torch.nn.Module:
            return torch.nn.Sequential(torch.nn.Linear(size, 256), torch.nn.ReLU(), super().decoder(256))

    def saved(rows: int, wide: bool) -> int:
        """The bytes that a step saves for its gradient."""
        modalities: dict[str, Any] = {f"m{i}": Wide(size=400) if wide else Vector(size=1) for i in range(5)}
        network, storages = network_of(MMVAE(latent_dim=16), modalities), {}

        def pack(x: Tensor) -> Tensor:
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        batch = some(torch.ones(rows, 5, dtype=torch.bool), modalities)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            loss, _ = network(batch)
        assert loss.isfinite()
        return sum(storages.values())

    one, two, four = (saved(rows, False) for rows in (100, 200, 400))
    assert_close((four - two) / (two - one), 2.0, rtol=0.02, atol=0)
    assert one < 0.2 * saved(100, True)


def test_normal_experts_and_prior_need_no_density_of_others_in_a_row_of_one() -> None:
    network, batch = network_of(MMVAE(latent_dim=D)), some(torch.tensor([[True, False, False]]))
    _, parts = network(batch, noise=noise_for(network, 1))
    (expert,) = experts_of(network, batch, 0).values()
    assert isinstance(expert, Normal)
    assert_close(parts["KL"], kl_divergence(expert, STANDARD).sum().detach(), rtol=1e-12, atol=0)
