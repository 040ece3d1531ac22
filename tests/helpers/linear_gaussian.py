"""Linear-Gaussian models, whose likelihoods and posteriors are known in closed form, and runs that hold their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from mmtoolkit.components import Modality, Network, Source
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.evaluators import LogLikelihood
from mmtoolkit.models import MVAE
from mmtoolkit.training.networks import build
from toys import Vector, VectorDecoder, randn, seeded

D = 2
SIZES = {"a": 3, "b": 2, "c": 4}
SCALES = {"a": (0.7, 1.3), "b": (1.1, 0.4), "c": (0.5, 0.9)}


class Line(Vector):
    """Real numbers x = W z + b + noise of unit variance, whose posterior a linear encoder can give exactly."""

    kind: Literal["line"] = "line"  # type: ignore[assignment]

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        return LineEncoder(self.size + extra, width)


class LineEncoder(nn.Linear):
    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(x if c is None else torch.cat([x, c.to(x)], dim=1))


@dataclass
class Held:
    """A run whose rows are held in memory."""

    model: Network
    batch: Batch
    seed: int = 0
    at_once: int = 7
    device = torch.device("cpu")
    folder = Path()
    baselines: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def modalities(self) -> Mapping[str, Modality]:
        return self.model.modalities

    @property
    def source(self) -> Source:
        raise AssertionError("no likelihood needs the source")

    @property
    def generator(self) -> torch.Generator:
        return seeded(self.seed)

    @property
    def present(self) -> Mapping[str, Tensor]:
        return {"test": self.batch.present}

    def say(self, line: str) -> None:
        """Progress, which comes only where the machine is slow."""

    def batches(self, split: str, rows: Iterable[Tensor] | None = None, redraw: bool = False) -> Iterator[Batch]:
        return self.batch.split(self.at_once) if rows is None else map(self.batch.take, rows)


class Truth:
    """Weights of a linear-Gaussian model whose posterior has independent dimensions, given any of the modalities."""

    def __init__(self) -> None:
        self.weights = {
            name: torch.linalg.qr(randn(size, D, seed=place))[0] * torch.tensor(SCALES[name], dtype=torch.float64)
            for place, (name, size) in enumerate(SIZES.items())
        }
        self.offsets = {name: randn(size, seed=10 + place) for place, (name, size) in enumerate(SIZES.items())}

    def modalities(self) -> dict[str, Modality]:
        return {name: Line(size=size) for name, size in SIZES.items()}

    def rows(self, count: int, seed: int = 0) -> dict[str, Tensor]:
        z = randn(count, D, seed=seed)
        return {
            name: z @ w.T + self.offsets[name] + randn(count, len(w), seed=seed + 1 + place)
            for place, (name, w) in enumerate(self.weights.items())
        }

    def log_p(self, values: Mapping[str, Tensor], names: Collection[str]) -> Tensor:
        """log N(x; b, W Wᵀ + I) of some modalities together: (B,)."""
        names = [name for name in values if name in names]
        if not names:
            return torch.zeros(len(next(iter(values.values()))), dtype=torch.float64)
        w = torch.cat([self.weights[name] for name in names])
        covariance = w @ w.T + torch.eye(len(w), dtype=torch.float64)
        mean = torch.cat([self.offsets[name] for name in names])
        log_prob: Tensor = MultivariateNormal(mean, covariance).log_prob(torch.cat([values[name] for name in names], 1))
        return log_prob

    def set_decoder(self, decoder: nn.Module, name: str) -> None:
        assert isinstance(decoder, VectorDecoder)
        with torch.no_grad():
            decoder.weight.copy_(self.weights[name])
            decoder.bias.copy_(self.offsets[name])

    def set_encoder(self, encoder: nn.Module, name: str, prior: float, wrong: float = 0.0) -> None:
        """The expert of a modality in a product with the prior (prior 0), or its posterior alone (prior 1)."""
        assert isinstance(encoder, LineEncoder)
        w = self.weights[name]
        precision = (w * w).sum(0)
        scaled = w.T / (precision + prior).unsqueeze(1)
        with torch.no_grad():
            encoder.weight[:D] = scaled * (1 - wrong)
            encoder.weight[D:] = 0
            encoder.bias[:D] = -(scaled @ self.offsets[name]) + wrong
            encoder.bias[D:] = -(precision + prior).log() + wrong

    def mvae(self, wrong: float = 0.0) -> Network:
        """An MVAE whose product of experts is the true posterior, but for `wrong`."""
        network = build(MVAE(latent_dim=D), self.modalities(), seed=0).double().eval()
        for name in SIZES:
            self.set_decoder(network.decoders.of(name), name)
            self.set_encoder(network.encoders.of(name), name, 0, wrong)
        return network


TRUTH = Truth()
EXACT = TRUTH.mvae()
WRONG = TRUTH.mvae(0.3)


def whole(values: Mapping[str, Tensor]) -> Batch:
    rows = len(next(iter(values.values())))
    return Batch({name: Observed(x, torch.ones(rows, dtype=torch.bool)) for name, x in values.items()})


def score(run: Held, *entries: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    evaluator = LogLikelihood.model_validate({"entries": entries or None, **options})
    evaluator.check(list(run.modalities))
    evaluator.check_model(run.model)
    return evaluator.evaluate(run, "test").results


def subsets(names: Collection[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))
