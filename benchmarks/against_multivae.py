"""The joint log-likelihood by importance sampling, against MultiVae's MVAE, side by side in one process.

MultiVae 1.0.3 (github.com/AgatheSenellart/MultiVae) estimates log p(x, y) of an MVAE by draws from its joint
posterior, as `log_likelihood` does by q(z | image, label). Both read the same networks: those of the schema `mnist`
(Wu & Goodman 2018, section 4.1), with the same weights; the rows and the number of draws are the same. They alternate,
and the ratio of their speeds is printed with both estimates, which must agree: with PyTorch's own matrix products, with
those that `mmt` chooses (`kernels.choose_kernels`), and for each as a user gets it.

It needs an environment of its own that holds both. MultiVae imports torchvision, but this script uses nothing of it:
where it is not installed, empty modules stand in for it.

    python -m venv other && other/bin/pip install -e .
    other/bin/pip install --no-deps multivae==1.0.3 pythae==0.1.2 nltk
    other/bin/pip install scikit-learn pandas regex tqdm
    other/bin/python benchmarks/against_multivae.py [--rows 200] [--samples 1000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from types import ModuleType
from typing import Any

import torch

if importlib.util.find_spec("torchvision") is None:

    class _Empty(ModuleType):
        """A module that has a class of any name."""

        __path__: list[str] = []  # noqa: RUF012

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

    for _part in ("", ".datasets", ".datasets.utils", ".transforms", ".transforms.functional", ".models", ".utils"):
        sys.modules[f"torchvision{_part}"] = _Empty(f"torchvision{_part}")
    sys.modules["torchvision.io"] = _Empty("torchvision.io")

from multivae import models as their_models
from multivae.data.datasets import MultimodalBaseDataset
from multivae.models.base import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit.core.batch import Batch, Observed
from mmtoolkit.evaluators.importance import estimate
from mmtoolkit.models import MVAE
from mmtoolkit.training.kernels import choose_kernels
from mmtoolkit.training.networks import build

LATENT = 64
MEMORY = 16 * 2**20


class Encoder(BaseEncoder):  # type: ignore[misc]
    """One of our encoders as MultiVae reads it."""

    def __init__(self, module: nn.Module, classes: bool) -> None:
        super().__init__()
        self.module, self.classes, self.latent_dim = module, classes, LATENT

    def forward(self, x: Tensor) -> Any:
        mean, logvar = self.module(x.argmax(-1) if self.classes else x).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=logvar)


class Decoder(BaseDecoder):  # type: ignore[misc]
    """One of our decoders as MultiVae reads it: logits of pixels, of classes their probabilities."""

    def __init__(self, module: nn.Module, classes: bool) -> None:
        super().__init__()
        self.module, self.classes, self.latent_dim = module, classes, LATENT

    def forward(self, z: Tensor) -> Any:
        p = self.module(z)
        return ModelOutput(reconstruction=p.logits if self.classes else p.base_dist.logits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    modalities = {"image": Image(shape=(1, 28, 28), network="mlp"), "label": Label(classes=tuple("0123456789"))}
    ours = build(MVAE(latent_dim=LATENT), modalities, seed=0).eval()
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 2, (options.rows, 1, 28, 28), generator=draw).float()
    labels = torch.randint(0, 10, (options.rows,), generator=draw)
    there = torch.ones(options.rows, dtype=torch.bool)
    batch = Batch({"image": Observed(images, there), "label": Observed(labels, there)})

    theirs = their_models.MVAE(
        their_models.MVAEConfig(
            n_modalities=2,
            latent_dim=LATENT,
            input_dims={"image": (1, 28, 28), "label": (10,)},
            decoders_dist={"image": "bernoulli", "label": "categorical"},
        ),
        encoders={name: Encoder(ours.encoders.of(name), name == "label") for name in modalities},
        decoders={name: Decoder(ours.decoders.of(name), name == "label") for name in modalities},
    ).eval()
    data = MultimodalBaseDataset({"image": images, "label": F.one_hot(labels, 10).float()})

    generator = torch.Generator().manual_seed(0)
    names = tuple(modalities)

    def alternate(kernels: str) -> list[tuple[float, float]]:
        """Rows a second of MultiVae and of mmtoolkit, side by side, as often as asked."""
        speeds = []
        for _ in range(options.repeats):
            torch.manual_seed(0)
            started = time.perf_counter()
            with torch.no_grad():
                nll = float(theirs.compute_joint_nll(data, K=options.samples))
            between = time.perf_counter()
            [of_both] = estimate(ours, batch, names, [names], options.samples, generator, MEMORY)
            ended = time.perf_counter()
            speeds.append((options.rows / (between - started), options.rows / (ended - between)))
        other, own = (statistics.median(speed) for speed in zip(*speeds, strict=True))
        ratios = [own / other for other, own in speeds]
        print(f"{kernels}: MultiVae {other:.1f} rows/s, mmtoolkit {own:.1f} rows/s ({torch.get_num_threads()} threads)")
        print(f"  {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"  log p(image, label): {-nll / options.rows:.3f} and {float(of_both.log_p.mean()):.3f} nats")
        return speeds

    standing = alternate("both with PyTorch's own kernels")
    choose_kernels()
    chosen = alternate("both with the kernels that mmt chooses")
    ratios = [own / other for (other, _), (_, own) in zip(standing, chosen, strict=True)]
    print(f"each as it comes: mmtoolkit is {statistics.median(ratios):.2f} times as fast")


if __name__ == "__main__":
    main()
