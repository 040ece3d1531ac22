"""An MVAE of images and labels in Python: a source of one's own, training, loading, inference and sampling."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

import mmtoolkit
from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, Columns, Component, Elbo, Prediction, Schema, Source, Table, TrainOptions, hookimpl


class Stripes(Source):
    """Noisy 8x8 pictures of horizontal or vertical stripes, and which of the two; a third of the labels is missing."""

    kind: Literal["stripes"] = "stripes"
    size: int = 3000

    def splits(self) -> tuple[str, ...]:
        """Two splits; training chooses its best weights on `valid`."""
        return "train", "valid"

    def files(self) -> Sequence[Path]:
        """None: the rows follow from the options alone."""
        return []

    def load(self, split: str) -> Table:
        """Images as uint8 (N, 8, 8), labels as words, None where missing."""
        draw = np.random.default_rng(self.splits().index(split))
        vertical = draw.random(self.size) < 0.5
        stripes = np.zeros((8, 8), dtype=np.float64)
        stripes[::2] = 1.0
        clean = np.where(vertical[:, None, None], stripes.T, stripes)
        images = (255 * np.clip(0.8 * clean + 0.2 * draw.random((self.size, 8, 8)), 0, 1)).astype(np.uint8)
        labels = [None if draw.random() < 1 / 3 else ("vertical" if v else "horizontal") for v in vertical]
        return Columns({"image": images, "label": labels})


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """This file is a plugin too, so that `load` finds the source that the run's schema names."""
    return [Stripes]


def main() -> None:
    """Train for two epochs, load the run again, infer and sample."""
    schema = Schema(
        name="stripes",
        data=Stripes(),
        modalities={"image": Image(shape=(1, 8, 8), network="mlp"), "label": Label()},
        model=MVAE(latent_dim=4),
        train=TrainOptions(epochs=2, batch_size=50, learning_rate=3e-3, warmup_epochs=1),
        evaluate=[Elbo(), Prediction()],
    )
    with tempfile.TemporaryDirectory() as folder:
        mmtoolkit.run(schema, Path(folder) / "run")
        run = mmtoolkit.load(Path(folder) / "run", plugin_files=[__file__])

        losses = [line["loss"] for line in run.history]
        print(f"loss: first {losses[0]:.1f}, last {losses[-1]:.1f} nats")
        print("classes learned:", ", ".join(run.modalities["label"].classes))

        # z of two rows: one has both modalities, one has a label alone.
        picture = Stripes().load("valid").column("image")[0]
        q = run.infer([{"image": picture, "label": "vertical"}, {"label": "vertical"}])
        print("posterior mean:", tuple(q.mean.shape), "variance:", tuple(q.variance.shape))

        # The likelihood of every modality at the posterior mean.
        p = run.decode(q.mean)
        print("p(label | z):", [round(x, 2) for x in p["label"].probs[1].tolist()])

        # Draws of every modality, given a label, and from the prior.
        drawn = run.sample(5, given={"label": "vertical"})
        print("images given a label:", tuple(drawn["image"].shape))
        label = run.modalities["label"]
        print("labels from the prior:", [label.cell(value) for value in run.sample(5)["label"]])

        # Scores on another split, of other entries.
        entries = [{"target": ["label"], "given": ["image"]}]
        scores = run.evaluate([Prediction(entries=entries)], split="valid")
        result = scores[0]["results"][0]
        print(f"{result['metric']} of label given image: {result['value']:.2f}, baseline {result['baseline']:.2f}")


if __name__ == "__main__":
    main()
