"""How well `mmt score` finds wrong cells, beside a robust z-score and an isolation forest.

In three tables of scikit-learn 1 % of the cells become wrong: they take the value that another row has in the column
(`other`), ten or 2.54 times their own (`times 10`, `times 2.54`), or change places with another number of their row
(`swapped`, which makes two cells wrong); a class becomes another one (`class`). In the pictures of fashion_mini 1 % of
the labels become another one. A method gives each cell a score, and the area under its precision-recall curve (average
precision) says how early the wrong cells come. A forest scores rows: each cell has the score of its row.

Models train twice: on the corrupted table itself, and on the clean one, in the rows that are then scored. Tables are
trained by `mmt init` and `mmt run` with nothing edited.

    python benchmarks/corruption.py [--seeds 3] [--only wine]... [--out FILE.json] [--runs DIR]
    python benchmarks/corruption.py --page FILE.json

It needs scikit-learn and pandas, and takes some 20 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score

import mmtoolkit
from mmtoolkit import Arrays, DataWarning, Schema, TrainedRun
from mmtoolkit.cli import application
from mmtoolkit.using.references import training_reference

SHARE = 0.01
SAMPLES = 100
SAMPLES_OF_PICTURES = 20
TABLES = ("breast_cancer", "wine", "diabetes")
FASHION = "fashion_mini labels"
KINDS = ("other", "times 10", "times 2.54", "swapped")
METHODS = ("mmtoolkit", "without hiding", "only ranks", "only log p", "robust z-score", "isolation forest")
Scores = NDArray[np.float64]


def clean_table(name: str) -> pd.DataFrame:
    """A table of scikit-learn, with its classes as words."""
    bunch: Any = getattr(datasets, f"load_{name}")(as_frame=True, **({"scaled": False} if name == "diabetes" else {}))
    frame: pd.DataFrame = bunch.frame.copy()
    frame.columns = [str(column).replace(" ", "_").replace("/", "_") for column in frame]
    if name == "diabetes":
        return frame.assign(sex=np.where(frame["sex"] == 1, "one", "two"))
    return frame.assign(target=[str(bunch.target_names[target]) for target in bunch.target])


def numeric(frame: pd.DataFrame) -> list[int]:
    """The places of the columns of numbers."""
    return [place for place, column in enumerate(frame) if pd.api.types.is_numeric_dtype(frame[column])]


def corrupted(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """A copy with wrong cells, and what is wrong with each cell, empty if nothing: (N, C)."""
    draw = np.random.default_rng(seed)
    numbers = numeric(frame)
    new = frame.astype({frame.columns[place]: float for place in numbers})
    faults = np.full(frame.shape, "", dtype="U10")
    while (faults != "").sum() < SHARE * frame.size:
        row, column = (int(draw.integers(size)) for size in frame.shape)
        kind, cell = str(draw.choice(KINDS)), frame.iat[row, column]
        with_column = int(draw.choice([place for place in numbers if place != column]))
        others = frame.iloc[:, column][frame.iloc[:, column] != cell]
        if column not in numbers:
            kind = "class"
        elif (kind.startswith("times") and cell == 0) or (
            kind == "swapped" and (faults[row, with_column] or frame.iat[row, with_column] == cell)
        ):
            continue
        if faults[row, column]:
            continue
        if kind == "swapped":
            new.iat[row, column], new.iat[row, with_column] = frame.iat[row, with_column], cell
            faults[row, with_column] = kind
        elif kind.startswith("times"):
            new.iat[row, column] = cell * float(kind.removeprefix("times "))
        else:
            new.iat[row, column] = others.iloc[int(draw.integers(len(others)))]
        faults[row, column] = kind
    return new, faults


def z_scores(frame: pd.DataFrame, known: pd.DataFrame) -> Scores:
    """|x - median| / MAD of numbers, -log of the share of a class, by the columns of `known`: (N, C)."""
    scores = {}
    for column in frame:
        if pd.api.types.is_numeric_dtype(frame[column]):
            median = known[column].median()
            spread = 1.4826 * (known[column] - median).abs().median() or known[column].std()
            scores[column] = (frame[column] - median).abs() / spread
        else:
            shares = known[column].value_counts(normalize=True)
            scores[column] = -np.log(frame[column].map(shares).astype(float))
    return pd.DataFrame(scores).to_numpy()


def forest_scores(features: Scores, known: Scores) -> Scores:
    """How isolated rows are, by a forest of the known ones: (N,)."""
    scores: Scores = -IsolationForest(n_estimators=300, random_state=0).fit(known).score_samples(features)
    return scores


def one_hot(frame: pd.DataFrame, like: pd.DataFrame) -> Scores:
    ones = pd.get_dummies(frame).reindex(columns=pd.get_dummies(like).columns, fill_value=False)
    return ones.to_numpy(dtype=float)


def our_scores(run: TrainedRun, table: Any, names: Sequence[str], samples: int) -> dict[str, Scores]:
    """The scores of cells, each (N, C): by suspicion, without hiding worse cells, and by rank or log p alone."""
    scored, suspects = run.score(table, samples=samples, top=2 * len(table[names[0]]) * len(names))
    reference, _ = training_reference(run, samples)
    log_probs = {name: np.asarray(scored[f"{name}_log_prob"], dtype=float) for name in names}
    alone = [reference.suspicion(name, torch.from_numpy(values)).numpy() for name, values in log_probs.items()]
    suspicion = np.full((len(log_probs[names[0]]), len(names)), -np.inf)
    for suspect in suspects:
        if suspect.column in names:  # a picture beside the labels is none of them
            suspicion[suspect.row, names.index(suspect.column)] = suspect.suspicion
    ranks = [np.asarray(scored[f"{name}_rank"], dtype=float) for name in names]
    return {
        "mmtoolkit": suspicion,
        "without hiding": np.stack(alone, 1),
        "only ranks": -np.stack(ranks, 1),
        "only log p": -np.stack(list(log_probs.values()), 1),
    }


def average_precision(scores: Scores, faults: NDArray[np.str_]) -> dict[str, float]:
    """Of all wrong cells, of those of each kind among the right ones, and of rows with a wrong cell."""
    wrong = faults != ""
    results = {"cells": float(average_precision_score(wrong.ravel(), scores.ravel()))}
    for kind in sorted({*faults.ravel()} - {""}):
        among = (faults == kind) | ~wrong
        results[kind] = float(average_precision_score((faults == kind)[among], scores[among]))
    results["rows"] = float(average_precision_score(wrong.any(1), scores.max(1)))
    return results


def trained(folder: Path, frame: pd.DataFrame, name: str) -> TrainedRun:
    """The run of a table, as `mmt init` and `mmt run` make it."""
    app = application()
    frame.to_csv(folder / f"{name}.csv", index=False)
    for words in (
        ["init", str(folder / f"{name}.csv"), "--out", str(folder / f"{name}.yaml"), "--overwrite"],
        ["run", str(folder / f"{name}.yaml"), "--out", str(folder / name), "--no-figures", "--resume"],
    ):
        app(words, prog_name="mmt", standalone_mode=False)
    return mmtoolkit.load(folder / name)


def score_tables(name: str, seeds: int, folder: Path) -> list[dict[str, Any]]:
    """One result for each seed, each of the two trainings and each method."""
    frame = clean_table(name)
    clean_run, results = trained(folder, frame, f"{name}-clean"), []
    for seed in range(seeds):
        table, faults = corrupted(frame, seed)
        for known, run in {"clean": clean_run, "corrupted": trained(folder, table, f"{name}-{seed}")}.items():
            base = frame if known == "clean" else table
            forest = forest_scores(one_hot(table, base), one_hot(base, base))
            methods = our_scores(run, table, list(table), SAMPLES) | {
                "robust z-score": z_scores(table, base),
                "isolation forest": np.repeat(forest[:, None], table.shape[1], axis=1),
            }
            for method, scores in methods.items():
                of_method = {"table": name, "seed": seed, "known": known, "method": method}
                results.append(of_method | average_precision(scores, faults))
    return results


def score_labels(seeds: int, folder: Path) -> list[dict[str, Any]]:
    """The same of the labels of fashion_mini: of its training rows, of which 1 % have a wrong label."""
    schema = mmtoolkit.read_schema("fashion_mini")
    data = mmtoolkit.prepare(schema.data, schema.units)
    columns = {}
    for split in ("train", "valid"):
        rows = data.split(split)
        classes = np.array(data.modalities["label"].fixed_cells())
        columns[split] = {
            "image": list(rows.stored["image"].numpy()),
            "label": classes[rows.stored["label"].numpy()],
        }

    def run_of(train: dict[str, Any], name: str) -> TrainedRun:
        source = Arrays.of({"train": train, "valid": columns["valid"]})
        own = Schema(
            name=name, data=source, modalities=schema.modalities, model=schema.model, train=schema.train, evaluate=()
        )
        return mmtoolkit.run(own, folder / name, resume=True, figures=False)

    clean, results = columns["train"], []
    pixels = np.stack(clean["image"]).reshape(len(clean["label"]), -1) / 255.0
    clean_run = run_of(clean, "fashion-clean")
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        labels = clean["label"].copy()
        rows = draw.choice(len(labels), round(SHARE * len(labels)), replace=False)
        labels[rows] = [draw.choice(classes[classes != label]) for label in labels[rows]]
        faults = np.where(labels != clean["label"], "class", "").astype("U10")[:, None]
        table = clean | {"label": labels}
        for known, run in {"clean": clean_run, "corrupted": run_of(table, f"fashion-{seed}")}.items():
            base = pd.DataFrame({"label": clean["label"] if known == "clean" else labels})
            frame = pd.DataFrame({"label": labels})
            features, features_known = (np.hstack([pixels, one_hot(part, base)]) for part in (frame, base))
            methods = our_scores(run, table, ["label"], SAMPLES_OF_PICTURES) | {
                "robust z-score": z_scores(frame, base),
                "isolation forest": forest_scores(features, features_known)[:, None],
            }
            for method, scores in methods.items():
                of_method = {"table": FASHION, "seed": seed, "known": known, "method": method}
                results.append(of_method | average_precision(scores, faults))
    return results


def page(results: list[dict[str, Any]]) -> str:
    """The tables of the documentation: means over seeds, and the standard deviation over seeds."""
    frame = pd.DataFrame(results)
    lines = []
    for known, title in (("corrupted", "Trained on the corrupted table itself"), ("clean", "Trained on the clean one")):
        lines += [
            f"**{title}**",
            "",
            f"| table | wrong | {' | '.join(METHODS)} |",
            f"| --- | --- |{' ---: |' * len(METHODS)}",
        ]
        for table in frame["table"].unique():
            part = frame[(frame["table"] == table) & (frame["known"] == known)]
            for what in ("cells", "rows", *KINDS, "class"):
                numbers = [
                    part[part["method"] == method].get(what, pd.Series(dtype=float)).dropna() for method in METHODS
                ]
                if (table == FASHION and what != "cells") or not len(numbers[0]):
                    continue
                texts = [f"{values.mean():.2f} ± {values.std(ddof=0):.2f}" for values in numbers]
                lines.append(f"| {table} | {'all' if what == 'cells' else what} | {' | '.join(texts)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[*TABLES, "fashion"])
    parser.add_argument("--out", type=Path, default=Path("corruption.json"))
    parser.add_argument("--runs", type=Path, help="keep the runs in this folder, and resume those that are there")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    if given.page:
        print(page(json.loads(given.page.read_text())))
        return
    warnings.simplefilter("ignore", DataWarning)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for what in given.only or [*TABLES, "fashion"]:
            folder = given.runs or Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            results += (
                score_labels(given.seeds, folder) if what == "fashion" else score_tables(what, given.seeds, folder)
            )
            given.out.write_text(json.dumps(results, indent=1) + "\n")
    print(page(results))


if __name__ == "__main__":
    main()
