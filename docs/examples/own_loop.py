"""A run folder of networks that a loop of your own trained: mmt sample, impute, evaluate and report read it."""

import tempfile
from pathlib import Path

import torch

import mmtoolkit
from mmtoolkit import TrainedRun, build, parse_schema, prepare

SCHEMA = {
    "name": "labels",
    "data": {"kind": "fashion_mini", "rows": {"train": 1000, "valid": 100, "test": 200}},
    "modalities": {
        "image": {"kind": "image", "shape": [1, 28, 28], "network": {"kind": "mlp", "width": 64}},
        "label": {"kind": "label", "weight": 10.0},
    },
    "model": {"kind": "mvae", "latent_dim": 8},
    "evaluate": ["prediction"],
}


def main() -> None:
    """Train for three epochs, save the run, load it again and use it."""
    schema = parse_schema(SCHEMA)
    data = prepare(schema.data, schema.units)
    network = build(schema.model, data.units, seed=0)

    train, device = data.splits["train"], torch.device("cpu")
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    draw = torch.Generator().manual_seed(0)
    for epoch in range(3):
        for rows in torch.randperm(len(train), generator=draw).split(50):
            loss, _ = network(train.batch(rows, device), beta=epoch / 3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    with tempfile.TemporaryDirectory() as folder:
        TrainedRun.of_network(schema, network, data).save(Path(folder) / "labels")
        run = mmtoolkit.load(Path(folder) / "labels")
        print("files:", ", ".join(sorted(path.name for path in run.folder.glob("*.*"))))

        picture = data.source.load("test").column("image")[0]
        print("label of a picture:", run.impute({"image": [picture], "label": [None]})["label"])

        scores = {(*score["given"], *score["target"]): score["value"] for score in run.results["scores"][0]["results"]}
        print(f"label from image: accuracy {scores['image', 'label']:.2f}")
        assert scores["image", "label"] > 0.2, "labels are not predicted"


if __name__ == "__main__":
    main()
