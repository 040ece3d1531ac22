"""Our losses against code of the models' authors, in float64, with the same networks and noise.

    python benchmarks/authors.py FOLDER

FOLDER holds checkouts of three repositories of github.com: `mmvae` (iffsid/mmvae), `mmjsd` (thomassutter/mmjsd) and
`multi-view-AE` (alawryaguila/multi-view-AE). Their functions run as they are, on what our networks give. It needs the
environment of `peers.py`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, distributions

from mmtoolkit.components import Model
from mmtoolkit.core.laplace import softmax_scale
from mmtoolkit.core.posterior import Gaussian
from mmtoolkit.models import MMJSD, MMVAE, GPoE
from peers import Case, Pair, distance, joined


@contextmanager
def _modules(folder: Path, names: Mapping[str, ModuleType]) -> Iterator[None]:
    """Import from a folder, with some modules in place of others; forget all of it afterwards."""
    with mock.patch.dict(sys.modules, names), mock.patch.object(sys, "path", [str(folder), *sys.path]):
        yield


def _empty(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(contents)
    return module


def _pair(model: Model) -> Pair:
    return Pair(Case(model.kind, model, lambda noise, present: [], 1.0), with_peer=False)


def _mmvae(folder: Path, model: MMVAE) -> str:
    """The bounds of several draws, with both gradients."""
    with _modules(folder / "mmvae/src", {"datasets": _empty("datasets", CUBImageFt=object)}):
        objectives: Any = importlib.import_module("objectives")
    pair = _pair(model)
    noise = pair.noise(seed=3)
    loss, ours = pair.ours(noise)
    network, batch = pair.network, pair.batch
    network.zero_grad()
    experts = network.experts(batch)
    laplace = model.experts == "laplace"
    family = distributions.Laplace if laplace else distributions.Normal
    scales = softmax_scale(experts.logvar) if laplace else torch.exp(0.5 * experts.logvar)
    quantiles = distributions.Laplace(0.0, 1.0).icdf(torch.special.ndtr(noise)) if laplace else noise
    draws = [m + s * e for m, s, e in zip(experts.mean, scales, quantiles, strict=True)]

    class Theirs:
        """What their objectives read of a model."""

        pz, pz_params = family, (torch.zeros(4), torch.ones(4))
        vaes = [  # noqa: RUF012
            SimpleNamespace(qz_x=family, qz_x_params=(m, s), llik_scaling=1.0)
            for m, s in zip(experts.mean, scales, strict=True)
        ]

        def __call__(self, x: list[Tensor], count: int) -> Any:
            def likelihood(unit: str, z: Tensor) -> Any:
                def log_prob(_: Tensor) -> Tensor:
                    values = batch.value(unit)
                    each = [network.decoders.of(unit)(one).log_prob(values) for one in z]
                    return torch.stack(each).unsqueeze(-1)

                return SimpleNamespace(log_prob=log_prob, batch_shape=z.shape[:2])

            q = [family(m, s) for m, s in zip(experts.mean, scales, strict=True)]
            return q, [[likelihood(unit, z) for unit in network.units] for z in draws], draws

    rows = [batch.value(unit).reshape(batch.size, -1) for unit in network.units]
    bound = getattr(objectives, "m_dreg_looser" if model.gradient == "dreg" else "m_iwae_looser")
    other = -bound(Theirs(), rows, model.draws) / batch.size
    other.backward()
    theirs = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in network.named_parameters()}
    return f"loss {_two(float(loss), float(other.detach()))}; of gradients {distance(joined(theirs), joined(ours)):.1e}"


def _mmjsd(folder: Path) -> str:
    """The divergence from the dynamic prior."""
    with _modules(folder / "mmjsd", {}):
        measures: Any = importlib.import_module("divergence_measures.mm_div")
    pair = _pair(MMJSD(latent_dim=4))
    _, parts = pair.network(pair.batch, noise=pair.noise(seed=3))
    experts = pair.network.experts(pair.batch)
    zeros = torch.zeros_like(experts.mean[:1])
    every = Gaussian.joined([experts, Gaussian(zeros, zeros)])
    weights = torch.full((len(every.mean),), 1 / len(every.mean))
    flags = SimpleNamespace(device=torch.device("cpu"))
    theirs, _, _ = measures.calc_alphaJSD_modalities(
        flags, every.mean, every.logvar, weights, normalization=pair.batch.size
    )
    return _two(float(parts["JS"]), float(theirs.detach()))


def _gpoe(folder: Path) -> str:
    """The mean of the joint posterior."""
    base = _empty("peer_base", __path__=[str(folder / "multi-view-AE/multiviewae/base")])
    with _modules(folder, {"peer_base": base}):
        pooling: Any = importlib.import_module("peer_base.representations").weightedProductOfExperts()
    network, batch = (pair := _pair(GPoE(latent_dim=4))).network, pair.batch
    q = network.posterior(batch, frozenset(network.units))
    experts = network.experts(batch)
    mean, logvar = pooling(experts.mean, experts.logvar, network.weights_of_experts())
    return f"of means {distance(mean, q.mean):.1e}, of log-variances {distance(logvar, q.logvar):.1e}"


def _two(ours: float, theirs: float) -> str:
    return f"{ours:.6f}, theirs {theirs:.6f}, difference {abs(ours - theirs) / abs(ours):.1e}"


def main() -> None:
    """Print a line for each comparison."""
    folder = Path(sys.argv[1])
    torch.set_default_dtype(torch.float64)
    for prior in ({"experts": "gaussian"}, {"experts": "laplace", "prior": {"kind": "laplace"}}):
        for gradient in ("standard", "dreg"):
            model = MMVAE.model_validate({"latent_dim": 4, "draws": 5, "gradient": gradient, **prior})
            print(f"mmvae of {prior['experts']} experts, {gradient}: {_mmvae(folder, model)}")
    print(f"mmjsd, divergence: {_mmjsd(folder)}")
    print(f"gpoe, pool: {_gpoe(folder)}")


if __name__ == "__main__":
    main()
