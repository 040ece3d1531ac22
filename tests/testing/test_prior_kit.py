"""The kit's checks of priors: ours keep every promise, and each broken one is named with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from facts import assert_facts
from mmtoolkit import MixturePrior, NormalPrior, Posterior, Prior, PriorModule
from mmtoolkit.priors.mixture import LearnedMixture
from mmtoolkit.testing import check_prior, examine


class Wide(PriorModule):
    """N(1, 2² I)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.shift = nn.Parameter(torch.ones(latent_dim))

    def log_prob(self, z: Tensor) -> Tensor:
        log_prob: Tensor = torch.distributions.Normal(self.shift, 2.0).log_prob(z.to(self.shift.dtype)).sum(-1)
        return log_prob

    def sample(self, noise: Tensor) -> Tensor:
        return self.shift + 2 * noise


def prior_of(**methods: Any) -> Prior:
    """A prior whose module has these methods in place of its own."""
    module = type("Module", (Wide,), methods)

    class Own(Prior):
        kind: Literal["own"] = "own"

        def build(self, latent_dim: int) -> PriorModule:
            made: PriorModule = module(latent_dim)
            return made

    return Own()


class Other(Prior):
    kind: Literal["other"] = "other"

    def build(self, latent_dim: int) -> PriorModule:
        return nn.Linear(1, 1)  # type: ignore[return-value]


BROKEN: dict[str, tuple[Callable[[], Prior], tuple[str, ...]]] = {
    "no module": (Other, ("build", "Linear", "PriorModule")),
    "a density without its constant": (
        lambda: prior_of(log_prob=lambda self, z: -((z - self.shift) / 2).square().sum(-1) / 2),
        ("log_prob", "integrates to one", "25", "add the term"),
    ),
    "draws of another scale": (
        lambda: prior_of(sample=lambda self, noise: self.shift + noise),
        ("sample", "density log_prob", "make sample and log_prob agree"),
    ),
    "a wrong mean": (lambda: prior_of(mean=property(lambda self: self.origin)), ("mean", "draws", "agree")),
    "a wrong variance": (
        lambda: prior_of(variance=property(lambda self: self.origin + 1)),
        ("variance", "draws", "agree"),
    ),
    "a generator": (
        lambda: prior_of(sample=lambda self, noise: self.shift + 2 * torch.randn_like(noise)),
        ("sample", "noise alone", "all draws from `noise`"),
    ),
    "noise of others": (
        lambda: prior_of(sample=lambda self, noise: self.shift + 2 * noise + 0.1 * noise.mean()),
        ("sample", "own D numbers", "row by row"),
    ),
    "a wrong divergence": (
        lambda: prior_of(kl=lambda self, q, noise: q.kl(noise)),
        ("kl", "KL(q || p)", "make kl and log_prob agree"),
    ),
    "a wrong shape": (
        lambda: prior_of(log_prob=lambda self, z: Wide.log_prob(self, z).sum()),
        ("log_prob", "finite with shape (3, 5)", "correct it"),
    ),
    "a parameter that does not learn": (
        lambda: prior_of(log_prob=lambda self, z: torch.distributions.Normal(1.0, 2.0).log_prob(z).sum(-1)),
        ("every parameter", "shift", "use or remove it"),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_prior(case: str) -> None:
    make, facts = BROKEN[case]
    with pytest.raises(AssertionError) as raised:
        check_prior(make())
    lines = str(raised.value).splitlines()
    for line in lines:
        try:
            assert_facts(line, *facts)
        except AssertionError:
            continue
        return
    pytest.fail(f"no line has {facts}: {lines}")


def test_a_prior_with_the_defaults_keeps_every_promise() -> None:
    check_prior(prior_of())


def test_a_prior_is_examined_with_its_promises() -> None:
    outcomes = list(examine(MixturePrior(components=2)))
    assert len(outcomes) == 8
    assert not [outcome for outcome in outcomes if outcome.faults]
    assert any("integrates to one" in outcome.promise for outcome in outcomes)


def test_a_mixture_that_forgets_its_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(self: LearnedMixture, noise: Tensor) -> Tensor:
        return self.means[0] + noise

    monkeypatch.setattr(LearnedMixture, "sample", sample)
    with pytest.raises(AssertionError, match="sample"):
        check_prior(MixturePrior(components=3))


def test_a_normal_prior_asks_the_posterior() -> None:
    class Asked:
        def kl(self, noise: Tensor | None = None) -> Tensor:
            return torch.full((2,), 7.0)

    posterior: Posterior = Asked()  # type: ignore[assignment]
    assert NormalPrior().build(3).kl(posterior, torch.zeros(2, 3)).tolist() == [7.0, 7.0]
