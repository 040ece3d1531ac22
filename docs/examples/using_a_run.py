"""A run on pandas frames: missing cells filled, rows embedded for scikit-learn, scores on a new table."""

import tempfile
from pathlib import Path

import pandas
from sklearn.cluster import KMeans

import mmtoolkit
from mmtoolkit import Prediction

TEAS = Path(__file__).with_name("teas.csv")
SCHEMA = {
    "name": "teas",
    "data": {"kind": "table", "path": str(TEAS), "missing": ["", "?"]},
    "modalities": {
        "kind": {"kind": "label"},
        "cup": {"kind": "label"},
        "brewing": {"kind": "numeric", "columns": ["temperature", "minutes"]},
        "caffeine": {"kind": "numeric"},
        "milk": {"kind": "binary"},
    },
    "model": {"kind": "mvae", "latent_dim": 3},
    "train": {"epochs": 40, "warmup_epochs": 40, "batch_size": 32, "learning_rate": 2e-3},
}


def main() -> None:
    """Train for a few seconds on three quarters of the rows, then use the run on frames."""
    with tempfile.TemporaryDirectory() as folder:
        run = mmtoolkit.run(mmtoolkit.parse_schema(SCHEMA), Path(folder) / "run")

        teas = pandas.read_csv(TEAS, na_values=["?"], index_col="sku")
        filled = run.impute(teas)
        print("missing before and after:", int(teas["kind"].isna().sum()), int(filled["kind"].isna().sum()))
        print("types:", ", ".join(f"{name} {kind}" for name, kind in filled.dtypes.items() if kind == "float64"))

        surer = run.impute(teas, samples=50)
        print("added:", ", ".join(surer.columns[len(teas.columns) :]))

        z = run.embed(teas)
        groups = KMeans(3, n_init=4, random_state=0).fit_predict(z.filter(like="mean_"))
        print("embedded:", z.shape, "groups:", len(set(groups)), "index kept:", z.index.equals(teas.index))

        task = Prediction(entries=[{"target": ["kind"], "given": ["brewing", "caffeine"]}])
        (score,) = run.evaluate_on(teas.head(40), [task])
        result = score["results"][0]
        print(f"{result['metric']} of kind: {result['value']:.2f}, of the commonest {result['baseline']:.2f}")


if __name__ == "__main__":
    main()
