"""A run's encoder as a feature extractor: under a linear layer in PyTorch, and before scikit-learn."""

import tempfile
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import mmtoolkit
from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, FashionMini, Schema, TrainedRun, TrainOptions


class Features(nn.Module):
    """The mean of a modality's expert q(z | x): from values (N, *event) to (N, D), frozen.

    Args:
        run: whose encoder it is; the module holds its own weights, and nothing else of the run.
        name: the modality.
    """

    def __init__(self, run: TrainedRun, name: str) -> None:
        super().__init__()
        self.size = run.model.latent_dim
        self.encoder = run.model.encoders.of(name).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Features":
        """Stay as in evaluation, so that batch normalisation keeps its statistics."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """The first half of what the encoder gives; the second is the log of the variance."""
        return self.encoder(x)[:, : self.size]


def trained(folder: Path) -> TrainedRun:
    """A small run to take the encoder from. Any run will do: `mmtoolkit.load("runs/demo")`."""
    schema = Schema(
        name="clothes",
        data=FashionMini(rows={"train": 1000, "valid": 200, "test": 500}),
        modalities={"image": Image(shape=(1, 28, 28), network="mlp"), "label": Label()},
        model=MVAE(latent_dim=16),
        train=TrainOptions(epochs=4, warmup_epochs=2, batch_size=50, learning_rate=3e-3),
    )
    mmtoolkit.run(schema, folder)
    return mmtoolkit.load(folder)


def values_of(run: TrainedRun, split: str) -> tuple[Tensor, Tensor]:
    """Pictures and labels of a split, as networks read them."""
    batches = list(run.batches(split))
    return tuple(torch.cat([batch.value(name) for batch in batches]) for name in ("image", "label"))


def main() -> None:
    """Train a linear classifier on the features of 1,000 pictures, in two ways."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(Path(folder) / "run")
    x, y = values_of(run, "train")
    x_test, y_test = values_of(run, "test")

    # In PyTorch: a frozen encoder and a linear layer, trained as any module.
    classifier = nn.Sequential(Features(run, "image"), nn.Linear(16, 10))
    before = [p.clone() for p in classifier[0].parameters()]
    optimizer = torch.optim.Adam([p for p in classifier.parameters() if p.requires_grad], lr=0.05)
    for _ in range(200):
        loss = nn.functional.cross_entropy(classifier(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = (classifier.eval()(x_test).argmax(1) == y_test).float().mean().item()
    print(f"a linear layer: accuracy {accuracy:.2f}")
    assert all(torch.equal(p, q) for p, q in zip(before, classifier[0].parameters(), strict=True)), "it is not frozen"

    # In scikit-learn: the mean of q(z | what a row has), from rows of cells as a table holds them.
    image = run.modalities["image"]
    rows = [{"image": image.cell(value)} for value in x]
    held_out = [{"image": image.cell(value)} for value in x_test]
    regression = LogisticRegression(max_iter=1000).fit(run.infer(rows).mean, y)
    score = regression.score(run.infer(held_out).mean, y_test)
    print(f"logistic regression: accuracy {score:.2f}")
    assert min(accuracy, score) > 0.5, "the features tell nothing of the labels"


if __name__ == "__main__":
    main()
