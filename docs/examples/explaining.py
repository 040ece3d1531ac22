"""What each cell tells a run about a tea: on average, and in one row."""

import tempfile
from pathlib import Path

import pandas

import mmtoolkit

TEAS = Path(__file__).with_name("teas.csv")
SCHEMA = {
    "name": "teas",
    "data": {"kind": "table", "path": str(TEAS), "missing": ["", "?"]},
    "modalities": {
        "kind": {"kind": "label"},
        "cup": {"kind": "label"},
        "minutes": {"kind": "numeric"},
        "caffeine": {"kind": "numeric"},
        "milk": {"kind": "binary"},
    },
    "model": {"kind": "mvae", "latent_dim": 3},
    "train": {"epochs": 60, "warmup_epochs": 40, "batch_size": 32, "learning_rate": 2e-3},
}


def main() -> None:
    """Train for a few seconds, then explain z and the predicted caffeine."""
    with tempfile.TemporaryDirectory() as folder:
        run = mmtoolkit.run(mmtoolkit.parse_schema(SCHEMA), Path(folder) / "run", figures=False)
        teas = pandas.read_csv(TEAS, na_values=["?"], index_col="sku")
        why = run.explain(teas, target="caffeine")

        print("on average")
        for name in SCHEMA["modalities"]:
            share, kl = why[f"{name}_share"].mean(), why[f"{name}_kl"].mean()
            print(f"  {name}: share {share:.2f}, KL {kl:.2f} nats")
        print(f"  prior: share {why['prior_share'].mean():.2f}")

        tea, row = teas.loc["TEA-84087"], why.loc["TEA-84087"]
        print(f"caffeine predicted: {row['caffeine_predicted']:.1f}, true: {tea['caffeine']}")
        for name in ("kind", "cup", "minutes", "milk"):
            print(f"  {name} {tea[name]}: effect {row[f'{name}_effect']:.1f}")


if __name__ == "__main__":
    main()
