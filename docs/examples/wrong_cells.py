"""Wrong cells among new wines, found by a model of checked ones."""

import tempfile
import warnings
from pathlib import Path

from sklearn.datasets import load_wine

import mmtoolkit
from mmtoolkit import Arrays, DataWarning

SCHEMA = {
    "name": "wines",
    "data": {"kind": "arrays"},
    "modalities": {
        "record": {
            "kind": "record",
            "columns": {
                "chemistry": {"kind": "numeric", "each": load_wine().feature_names},
                "grower": {"kind": "label"},
            },
        }
    },
    "model": {"kind": "mvae", "latent_dim": 16, "subsets": {"k": 0}},
    "train": {
        "epochs": 12,
        "warmup_epochs": 5,
        "sampling": {"rows": 1500},
        "learning_rate": 3e-3,
        "hide": {"rate": 0.7, "whole": 0.2},
        "seed": 0,
    },
    "evaluate": [],
}


def main() -> None:
    """Train for some seconds on most of the wines, make cells of the others wrong, and print the most suspicious."""
    wines = load_wine(as_frame=True).frame
    wines["grower"] = wines.pop("target").map({0: "Barolo", 1: "Grignolino", 2: "Barbera"})
    new = wines[::6].reset_index(drop=True)
    checked = wines.drop(index=wines.index[::6])

    new.loc[3, "hue"] = None  # a hole, which has no score
    new.loc[8, "magnesium"] *= 10  # a wrong unit
    new.loc[15, ["alcohol", "ash"]] = new.loc[15, ["ash", "alcohol"]].tolist()  # swapped
    new.loc[25, "grower"] = "Barolo"  # a wrong class: it is a Barbera

    with tempfile.TemporaryDirectory() as folder:
        schema = mmtoolkit.parse_schema(SCHEMA).model_copy(update={"data": Arrays.of(checked)})
        run = mmtoolkit.run(schema, Path(folder) / "run", figures=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # few rows have a loose bound on their likelihood
            scores, suspects = run.score(new, top=4)

    print("scores:", ", ".join(scores.columns[:5]), "…")
    print("hue of row 3:", scores.loc[3, "hue_log_prob"], scores.loc[3, "hue_rank"])
    for suspect in sorted(suspects, key=lambda suspect: (suspect.row, suspect.column)):
        print(f"{suspect.column} of row {suspect.row}: {suspect.cell}, expected {suspect.expected}")


if __name__ == "__main__":
    main()
