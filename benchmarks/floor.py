"""How much slower training through `mmt run` is than the same steps written by hand.

Both sides train the same networks of the schema `mnist` (Wu & Goodman 2018, section 4.1) on the same number of rows
and steps, alternating, in one process, and the ratio of their times is printed. The floor holds its data in memory as
float32 and is one flat loop with a fused Adam: each modality encoded once, one joint and two unimodal terms, each
decoder run once. Steps alone are compared; what validation and checkpoints add to an epoch is printed apart.

    python benchmarks/floor.py [--rows 5000] [--repeats 20]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit.components import Columns, Source, Table, TrainingStart
from mmtoolkit.data.dataset import prepare
from mmtoolkit.models import MVAE
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.kernels import choose_kernels
from mmtoolkit.training.networks import build
from mmtoolkit.training.trainer import Trainer

BATCH, LATENT = 100, 64
CLASSES = tuple("0123456789")


class Generated(Source):
    """Images of noise with labels: the work of a step does not depend on what is in them."""

    kind: Literal["generated"] = "generated"
    count: int

    def splits(self) -> tuple[str, ...]:
        return ("train", "valid")

    def files(self) -> Sequence[Path]:
        return []

    def load(self, split: str) -> Table:
        draw = torch.Generator().manual_seed(0)
        rows = self.count if split == "train" else self.count // 5  # MNIST: 50,000 and 10,000
        images = torch.randint(0, 256, (rows, 28, 28), generator=draw, dtype=torch.uint8)
        labels = torch.randint(0, 10, (rows,), generator=draw)
        return Columns({"image": images.numpy(), "label": labels.numpy().astype(str)})


def mlp(*sizes: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return layers[:-1]


def floor_epoch(networks: nn.ModuleDict, optimizer: torch.optim.Adam, images: Tensor, labels: Tensor) -> float:
    """Seconds that an epoch of flat steps takes."""
    begun = time.perf_counter()
    order = torch.randperm(len(images))
    for start in range(0, len(images), BATCH):
        chosen = order[start : start + BATCH]
        x, y = images[chosen], labels[chosen]
        mean_x, logvar_x = networks["image_encoder"](x).chunk(2, 1)
        mean_y, logvar_y = networks["label_encoder"](y).chunk(2, 1)
        precision_x, precision_y = torch.exp(-logvar_x), torch.exp(-logvar_y)
        total = torch.cat([1 + precision_x + precision_y, 1 + precision_x, 1 + precision_y])
        weighted_x, weighted_y = mean_x * precision_x, mean_y * precision_y
        mean = torch.cat([weighted_x + weighted_y, weighted_x, weighted_y]) / total
        logvar = -torch.log(total)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()
        joint, alone_x, alone_y = z.chunk(3)
        logits_x = networks["image_decoder"](torch.cat([joint, alone_x]))
        logits_y = networks["label_decoder"](torch.cat([joint, alone_y]))
        loss = F.binary_cross_entropy_with_logits(logits_x, x.repeat(2, 1), reduction="sum")
        loss = loss + F.cross_entropy(logits_y, y.repeat(2), reduction="sum") + kl
        (loss / len(x)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - begun


def floor_networks() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "image_encoder": nn.Sequential(*mlp(784, 512, 512, 2 * LATENT)),
            "label_encoder": nn.Sequential(nn.Embedding(10, 512), nn.SiLU(), *mlp(512, 512, 2 * LATENT)),
            "image_decoder": nn.Sequential(*mlp(LATENT, 512, 512, 512, 784)),
            "label_decoder": nn.Sequential(*mlp(LATENT, 512, 512, 512, 10)),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    choose_kernels()  # as `mmt run` does, for both

    modalities = {"image": Image(shape=(1, 28, 28), network="mlp"), "label": Label(classes=CLASSES)}
    dataset = prepare(Generated(count=arguments.rows), modalities)
    images = torch.cat(list(dataset.splits["train"].values("image"))).flatten(1)
    labels = torch.cat(list(dataset.splits["train"].values("label")))
    networks = floor_networks()
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-3, fused=True)
    options = TrainOptions(epochs=arguments.repeats + 1, batch_size=BATCH)
    network = build(MVAE(latent_dim=LATENT), dataset.modalities, seed=0)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in networks.parameters())

    floor: list[float] = []

    class Alternate:
        """Runs an epoch of the floor after each epoch of ours."""

        def begin(self, start: TrainingStart) -> None: ...

        def look(self, epoch: int, step: int, means: dict[str, float]) -> None: ...

        def epoch(self, line: dict[str, object]) -> None:
            torch.use_deterministic_algorithms(False)  # the floor has no such promise to keep
            floor.append(floor_epoch(networks, optimizer, images, labels))
            torch.use_deterministic_algorithms(True)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(network, dataset, options, Path(folder), new_fabric("cpu"), Alternate())
        trainer.run()
        ours = [line["seconds"] for line in trainer.history]
        overhead = [line["overhead_seconds"] for line in trainer.history]
    ours, overhead, floor = ours[1:], overhead[1:], floor[1:]  # the first epoch warms up
    rows = arguments.rows
    print(f"{'':>22} {'rows/s':>9} {'seconds an epoch':>17}")
    for name, seconds in (("floor", floor), ("mmt run, steps", ours)):
        median = statistics.median(seconds)
        print(f"{name:>22} {rows / median:>9,.0f} {median:>17.2f}")
    pairs = [a / b for a, b in zip(ours, floor, strict=True)]
    print(f"steps: {statistics.median(pairs):.3f} times the floor (each pair: {', '.join(f'{p:.3f}' for p in pairs)})")
    added = statistics.median(o / s for o, s in zip(overhead, ours, strict=True))
    print(f"validation and checkpoint add {added:.1%} to an epoch of {rows:,} rows")


if __name__ == "__main__":
    main()
