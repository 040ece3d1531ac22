"""How much slower a step on 19 modalities is than the same step written by hand.

The networks are those of the schema `celeba19` (Wu & Goodman 2018, section 4.4): an image of 64x64 and 18 attributes,
each a modality of its own, k = 1. Two sides train on the same number of rows and steps, alternating, in one process:
ours, and the floor, one flat loop over data in memory with a fused Adam: each modality encoded once, one joint,
nineteen unimodal and one random term, each decoder run once over just what it must reconstruct. The ratios of their
times are printed; the first epoch of each warms up. Noise stands for faces: the work of a step does not depend on what
is in them.

    python benchmarks/floor19.py [--rows 500] [--repeats 7] [--no-image]

`--no-image` leaves the image out, so that the attributes are all there is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmt_binary import Binary
from mmt_image import DCGAN, Image
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, TrainingStart
from mmtoolkit.core.subsets import draw_subsets
from mmtoolkit.data.dataset import Dataset, Split
from mmtoolkit.models import MVAE
from mmtoolkit.models.mvae import SubsetOptions
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.sources import CelebA
from mmtoolkit.training.devices import new_fabric
from mmtoolkit.training.kernels import choose_kernels
from mmtoolkit.training.networks import build
from mmtoolkit.training.trainer import Trainer

BATCH, LATENT, ATTRIBUTES = 100, 100, 18


def generated(modalities: Mapping[str, Modality], rows: int) -> Dataset:
    """Rows of noise, stored as a source's would be."""
    draw = torch.Generator().manual_seed(0)
    stored = {
        name: torch.randint(0, 256 if m.picture else 2, (rows, *m.event_shape()), generator=draw, dtype=torch.uint8)
        for name, m in modalities.items()
    }
    split = Split("train", modalities, stored, torch.ones(rows, len(stored), dtype=torch.bool))
    return Dataset(CelebA(), modalities, {"train": split})


class Floor:
    """The same training as one flat loop."""

    def __init__(self, dataset: Dataset) -> None:
        modalities = dataset.modalities
        self.data = [torch.cat(list(dataset.splits["train"].values(name))) for name in modalities]
        self.encoders = nn.ModuleList(m.encoder(2 * LATENT) for m in modalities.values())
        self.decoders = nn.ModuleList(m.decoder(LATENT) for m in modalities.values())
        parameters = [*self.encoders.parameters(), *self.decoders.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)

    def epoch(self, number: int) -> None:
        order = torch.randperm(len(self.data[0])).split(BATCH)
        for step, chosen in enumerate(order, start=number * len(order)):
            # As training does: so that both sides draw the same subset, and decode as many images.
            torch.manual_seed(seed_for("step", 0, step, 0))
            x = [column.index_select(0, chosen) for column in self.data]
            self.step(x)

    def step(self, x: list[Tensor]) -> None:
        count, size = len(x), len(x[0])
        random = draw_subsets(count, 1)[0]
        mean, logvar = torch.stack([e(v) for e, v in zip(self.encoders, x, strict=True)]).chunk(2, -1)
        precision = torch.exp(-logvar)
        weighted = mean * precision
        total = torch.cat([precision.sum(0, True), precision[random].sum(0, True), precision]) + 1
        sums = torch.cat([weighted.sum(0, True), weighted[random].sum(0, True), weighted])
        mean, logvar = sums / total, -torch.log(total)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)  # (2 + M, B, D)
        loss = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum()
        for i, (decoder, value) in enumerate(zip(self.decoders, x, strict=True)):
            terms = [z[0], z[1], z[2 + i]] if random[i] else [z[0], z[2 + i]]
            loss = loss - decoder(torch.cat(terms)).log_prob(value.repeat(len(terms), *[1] * (value.ndim - 1))).sum()
        (loss / size).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def ours(dataset: Dataset, epochs: int, between: Callable[[], None]) -> list[float]:
    """Seconds of each epoch of ours; `between` is called after each."""
    model = MVAE(latent_dim=LATENT, subsets=SubsetOptions(k=1))

    class Alternate:
        def begin(self, start: TrainingStart) -> None: ...

        def look(self, epoch: int, step: int, means: dict[str, float]) -> None: ...

        def epoch(self, line: dict[str, object]) -> None:
            torch.use_deterministic_algorithms(False)  # the floor has no such promise to keep
            between()
            torch.use_deterministic_algorithms(True)

    with tempfile.TemporaryDirectory() as folder:
        network = build(model, dataset.modalities, seed=0)
        options = TrainOptions(epochs=epochs, batch_size=BATCH, learning_rate=1e-4)
        trainer = Trainer(network, dataset, options, Path(folder), new_fabric("cpu"), Alternate())
        trainer.run()
        return [line["seconds"] for line in trainer.history]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-image", action="store_true")
    arguments = parser.parse_args()
    choose_kernels()  # as `mmt run` does, for both

    modalities: dict[str, Modality] = {f"attribute {i}": Binary(values=("0", "1")) for i in range(ATTRIBUTES)}
    if not arguments.no_image:
        modalities = {"image": Image(shape=(3, 64, 64), network=DCGAN()), **modalities}
    dataset = generated(modalities, arguments.rows)
    floor = Floor(dataset)
    flat: list[float] = []

    def between() -> None:
        begun = time.perf_counter()
        floor.epoch(len(flat))
        flat.append(time.perf_counter() - begun)

    seconds = ours(dataset, arguments.repeats + 1, between)
    pairs = [a / b for a, b in zip(seconds[1:], flat[1:], strict=True)]
    speed = arguments.rows / statistics.median(seconds[1:])
    print(
        f"{speed:,.0f} rows/s, {statistics.median(pairs):.3f} times the floor "
        f"(each pair: {', '.join(f'{p:.3f}' for p in pairs)})"
    )


if __name__ == "__main__":
    main()
