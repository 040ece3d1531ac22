"""An MVAE as a Lightning module: pictures of clothes and their labels, a fifth of which is missing."""

import tempfile
from collections.abc import Sequence

import pytorch_lightning as L  # with all of Lightning, `import lightning.pytorch as L`, which is the same
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, Batch, FashionMini, Network, Split, Supervision, build, prepare


class Multimodal(L.LightningModule):
    """Trains the networks of any model of mmtoolkit."""

    def __init__(self, network: Network, warmup_epochs: int = 2, learning_rate: float = 3e-3) -> None:
        super().__init__()
        self.network = network
        self.warmup_epochs = warmup_epochs
        self.learning_rate = learning_rate

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        """The loss, β rising from 0 to 1 over the warm-up."""
        beta = min(self.current_epoch / self.warmup_epochs, 1.0)
        loss, parts = self.network(batch, beta)
        self.log_dict({"loss": loss, **parts}, batch_size=batch.size)
        return loss if loss.requires_grad else None  # no row of the batch has anything: nothing to learn

    def validation_step(self, batch: Batch, index: int) -> None:
        """The ELBO of what each row has, from the same noise every epoch."""
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(batch.size, self.network.latent_dim, generator=generator).to(self.device)
        self.log("elbo", self.network.bound(batch, noise).mean(), batch_size=batch.size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), self.learning_rate)


def rows_of(split: Split, shuffle: bool = False) -> DataLoader:
    """Batches of a split. They are made on the host; Lightning moves them, as a `Batch` has `to`."""

    def collate(rows: Sequence[int]) -> Batch:
        return split.batch(torch.tensor(rows), torch.device("cpu"))

    return DataLoader(range(len(split)), batch_size=50, shuffle=shuffle, collate_fn=collate)


def main() -> None:
    """Train for five epochs, take the best weights, and predict labels from pictures."""
    L.seed_everything(0, verbose=False)
    source = FashionMini(rows={"train": 3000, "valid": 200, "test": 500}, supervision=Supervision(keep=0.8))
    data = prepare(source, {"image": Image(shape=(1, 28, 28), network="mlp"), "label": Label(weight=10.0)})
    network = build(MVAE(latent_dim=16), data.modalities, seed=0)
    module = Multimodal(network)
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="elbo", mode="max")
        trainer = L.Trainer(
            max_epochs=5,
            accelerator="cpu",
            callbacks=[best],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        (before,) = trainer.validate(module, rows_of(data.splits["valid"]), verbose=False)
        trainer.fit(module, rows_of(data.splits["train"], shuffle=True), rows_of(data.splits["valid"]))
        module.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])

    network.eval()
    batch = data.splits["test"].batch(torch.arange(500), torch.device("cpu"))
    with torch.no_grad():
        p = network.decode(network.infer(batch, ["image"]).mean, batch, ["label"])["label"]
    accuracy = (data.modalities["label"].point(p) == batch.value("label")).float().mean().item()
    print(f"ELBO of validation: first {before['elbo']:.1f}, best {best.best_model_score:.1f} nats")
    print(f"label from image: accuracy {accuracy:.2f}")
    assert best.best_model_score > before["elbo"], "training did not help"
    assert accuracy > 0.4, "labels are not predicted"


if __name__ == "__main__":
    main()
