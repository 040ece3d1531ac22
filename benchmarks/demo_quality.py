"""How good the demo is: image-to-label accuracy, and whether images sampled given a label look like that label.

Trains the catalogue schema fashion_mini with several seeds and prints, for each, the accuracy of the predicted label on
the test images and the share of images sampled given a label (100 decoder means for each label, z ~ q(z | label)) that
a 1-nearest-neighbour classifier on the training pixels gives that label; the same classifier on real test images last.

    python benchmarks/demo_quality.py [--seeds 3] [--schema fashion_mini] [--set train.epochs=30]...
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor

import mmtoolkit
from mmtoolkit.runs.trained import TrainedRun


def nearest_label(images: Tensor, train_images: Tensor, train_labels: Tensor) -> Tensor:
    """The label of the nearest training image, by squared distance of pixels: (N,)."""
    nearest = [torch.cdist(part.flatten(1), train_images.flatten(1)).argmin(1) for part in images.split(500)]
    return train_labels[torch.cat(nearest)]


def columns(run: TrainedRun, split: str) -> tuple[Tensor, Tensor]:
    data = run.dataset.split(split)
    return torch.cat(list(data.values("image"))), torch.cat(list(data.values("label")))


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
    accuracies, shares = [], []
    print(f"{'seed':>4} {'accuracy':>9} {'share':>7} {'ELBO(image)':>12} {'seconds':>8}")
    for seed in range(arguments.seeds):
        schema = mmtoolkit.read_schema(arguments.schema, [*arguments.overrides, f"train.seed={seed}"])
        with tempfile.TemporaryDirectory() as folder:
            run = mmtoolkit.run(schema, Path(folder) / "run")
            seconds = sum(line["seconds"] for line in run.history)
            train_images, train_labels = columns(run, "train")
            right = []
            classes = run.modalities["label"].names  # type: ignore[attr-defined]
            for place, name in enumerate(classes):
                sampled = run.sample(100, {"label": name}, seed=seed)["image"]
                right.append(nearest_label(sampled, train_images, train_labels) == place)
            accuracies.append(accuracy(run))
            shares.append(float(torch.cat(right).float().mean()))
            print(
                f"{seed:>4} {accuracies[-1]:>9.3f} {shares[-1]:>7.3f} {elbo(run):>12.1f} {seconds:>8.1f}",
                flush=True,
            )
    images, labels = columns(run, "test")
    real = float((nearest_label(images, train_images, train_labels) == labels).float().mean())
    mean = sum(accuracies) / len(accuracies), sum(shares) / len(shares)
    print(f"mean {mean[0]:>9.3f} {mean[1]:>7.3f}    (nearest neighbour on real test images: {real:.3f})")


if __name__ == "__main__":
    main()
