"""A listener: a line for each epoch into a file of your own, with the name of the run."""

import json
import tempfile
from pathlib import Path

from mmt_attributes import Label
from mmt_image import Image
from mmtoolkit import MVAE, FashionMini, Listener, Schema, TrainingStart, TrainOptions, run


class Log(Listener):
    """Adds a line to a file at each epoch's end, so that one file holds the course of many runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.run = ""

    def begin(self, start: TrainingStart) -> None:
        """Remember the run. A run that is resumed starts after the epochs that are done."""
        self.run = start.schema.name if start.schema else start.folder.name
        print(f"{self.run}: epochs {start.done + 1} to {start.epochs}, {start.rows} rows each, in {start.folder.name}/")

    def epoch(self, line: dict[str, object]) -> None:
        """Add the epoch's line of history.jsonl, and the run."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.run, **line}) + "\n")


def main() -> None:
    """Train for two epochs and read the file."""
    schema = Schema(
        name="clothes",
        data=FashionMini(rows={"train": 200, "valid": 50}),
        modalities={"image": Image(shape=(1, 28, 28), network="mlp"), "label": Label()},
        model=MVAE(latent_dim=4),
        train=TrainOptions(epochs=2, batch_size=50),
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "epochs.jsonl"
        run(schema, Path(folder) / "first", watcher=Log(log))
        for text in log.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            print(f"{line['run']}, epoch {line['epoch']}: validation bound {line['validation']:.1f} nats")


if __name__ == "__main__":
    main()
