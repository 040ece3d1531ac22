"""How good the demo is: image-to-label accuracy, and whether images sampled given a label look like that label.

Trains the catalogue schema fashion_mini with several seeds and prints, for each, the accuracy of the predicted label on
the test images and the share of images sampled given a label (100 decoder means for each label, z ~ q(z | label)) that
a 1-nearest-neighbour classifier on the training pixels gives that label. A model that draws the mean image of each
class would have a large share, so beside it stand density and coverage (Naeem et al. 2020): of the sampled images of
each label against 100 test images of that label, by pixels and 5 neighbours, averaged over the labels. Last come the
classifier on real test images, and density and coverage of training images in place of sampled ones.

    python benchmarks/demo_quality.py [--seeds 3] [--schema fashion_mini] [--set model.kind=mvtcae]...
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor

import mmtoolkit
from mmtoolkit.evaluators.prdc import prdc
from mmtoolkit.runs.trained import TrainedRun

IMAGES = 100  # of each label
NEIGHBOURS = 5


def nearest_label(images: Tensor, train_images: Tensor, train_labels: Tensor) -> Tensor:
    """The label of the nearest training image, by squared distance of pixels: (N,)."""
    nearest = [torch.cdist(part.flatten(1), train_images.flatten(1)).argmin(1) for part in images.split(500)]
    return train_labels[torch.cat(nearest)]


def columns(run: TrainedRun, split: str) -> tuple[Tensor, Tensor]:
    data = run.dataset.split(split)
    return torch.cat(list(data.values("image"))), torch.cat(list(data.values("label")))


def variety(images: Tensor, real: Tensor) -> Tensor:
    """Density and coverage of images against real ones of the same label, by pixels: (2,)."""
    scores = prdc(real[:IMAGES].flatten(1), images[:IMAGES].flatten(1), NEIGHBOURS)
    return torch.stack([scores[name].float().mean() for name in ("density", "coverage")])


def accuracy(run: TrainedRun) -> float:
    results = next(score["results"] for score in run.results["scores"] if score["kind"] == "prediction")
    found = [r for r in results if r["target"] == ["label"] and r["given"] == ["image"] and r["metric"] == "accuracy"]
    return float(found[0]["value"])


def elbo(run: TrainedRun) -> float:
    results = next(score["results"] for score in run.results["scores"] if score["kind"] == "elbo")
    return float(next(r["value"] for r in results if r["target"] == ["image"] and r["given"] == ["image"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--schema", default="fashion_mini")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    scores: list[tuple[float, ...]] = []
    print(f"{'seed':>4} {'accuracy':>9} {'share':>7} {'density':>8} {'coverage':>9} {'ELBO(image)':>12} {'seconds':>8}")
    for seed in range(arguments.seeds):
        schema = mmtoolkit.read_schema(arguments.schema, [*arguments.overrides, f"train.seed={seed}"])
        with tempfile.TemporaryDirectory() as folder:
            run = mmtoolkit.run(schema, Path(folder) / "run")
            seconds = sum(line["seconds"] for line in run.history)
            train_images, train_labels = columns(run, "train")
            images, labels = columns(run, "test")
            right, varied = [], []
            classes = run.modalities["label"].names  # type: ignore[attr-defined]
            for place, name in enumerate(classes):
                sampled = run.sample(IMAGES, {"label": name}, seed=seed)["image"]
                right.append(nearest_label(sampled, train_images, train_labels) == place)
                varied.append(variety(sampled, images[labels == place]))
            share, (density, coverage) = float(torch.cat(right).float().mean()), torch.stack(varied).mean(0).tolist()
            scores.append((accuracy(run), share, density, coverage))
            print(
                f"{seed:>4} {scores[-1][0]:>9.3f} {share:>7.3f} {density:>8.2f} {coverage:>9.3f} "
                f"{elbo(run):>12.1f} {seconds:>8.1f}",
                flush=True,
            )
    means = [sum(column) / len(column) for column in zip(*scores, strict=True)]
    real = float((nearest_label(images, train_images, train_labels) == labels).float().mean())
    each = [variety(train_images[train_labels == k], images[labels == k]) for k in range(len(classes))]
    density, coverage = torch.stack(each).mean(0).tolist()
    print(f"mean {means[0]:>9.3f} {means[1]:>7.3f} {means[2]:>8.2f} {means[3]:>9.3f}")
    print(f"real {'':>9} {real:>7.3f} {density:>8.2f} {coverage:>9.3f}")


if __name__ == "__main__":
    main()
