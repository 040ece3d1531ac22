"""Write the finished runs of a study's folder into the catalogue's results, and the pages that show them anew.

Run it as `python benchmarks/record.py runs/studies/tables-mnist`. Each run becomes a file of registry/results.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import write_yaml
from mmtoolkit.catalogue import shipped
from mmtoolkit.runs.folder import read_data, read_declared, read_finished_record, read_history, read_results
from mmtoolkit.study.file import Study, axis_text
from mmtoolkit.study.grid import Cell, read_study
from mmtoolkit.study.table import Number, numbers_of_run

RESULTS = Path(__file__).parents[1] / "registry" / "results"


def record(folder: Path, out: Path = RESULTS) -> list[Path]:
    """Write a result for each finished run of a study's folder.

    Raises:
        UserError: the folder holds no study of the catalogue.
    """
    path = folder / "study.yaml"
    study, cells = read_study(path)
    if study.name not in shipped.studies():
        raise UserError(f"{path}: {study.name} is no study of the catalogue; results are of those only")
    before, planned = read_study(study.name)
    epochs = {(axis_text(cell.labels), cell.seed): cell.schema.train.epochs for cell in planned}
    command = shlex.join(["mmt", "study", study.name, *_settings(study, before)])
    files = []
    for cell in cells:
        run = folder / "runs" / cell.folder
        try:
            read_finished_record(run)
        except UserError as error:
            print(f"{cell.title}: left out: {error}")
            continue
        result = {"study": study.name, **_result(study, cell, run, epochs[axis_text(cell.labels), cell.seed], command)}
        labels = "-".join(map(axis_text, cell.labels.values()))
        name = re.sub(r"[^0-9a-z]+", "-", f"{study.name}-{labels}-seed-{cell.seed}".lower()).strip("-")
        files.append(out / f"{name}.yaml")
        files[-1].write_text(write_yaml(result), encoding="utf-8")
    return files


def _settings(study: Study, before: Study) -> list[str]:
    """The options --set that make the catalogue's study this one; those of places of files are left out."""
    changed = [key for key, value in study.set.items() if before.set.get(key, ...) != value and key != "data.root"]
    return [word for key in changed for word in ("--set", f"{key}={axis_text(study.set[key])}")]


def _result(study: Study, cell: Cell, run: Path, planned: int, command: str) -> dict[str, Any]:
    record, results = read_finished_record(run), read_results(run)
    training = results["training"]
    history = read_history(run, training["epochs"])
    published = shipped.published(study.reference.published) if study.reference else {}
    numbers, _ = numbers_of_run(study, cell, results, history, published)
    declared = read_declared(run)
    declared["data"].pop("root", None)  # where the files were says nothing about the result
    return {
        "run": {axis: axis_text(label) for axis, label in cell.labels.items()},
        "command": command,
        "seed": cell.seed,
        "epochs": {"trained": training["epochs"], "planned": planned, "kept": training["kept_epoch"]},
        "rows": {split: facts["rows"] for split, facts in read_data(run)["splits"].items()},
        "machine": {"device": record["device_name"], "threads": record["threads"], "precision": record["precision"]},
        "seconds": round(sum(line["seconds"] for line in history), 1),
        "finished": record["times"]["finished"],
        "versions": {**record["versions"], "commit": record["git"] or "unknown"},
        "scores": [_score(number) for number in numbers],
        "schema": declared,
    }


def _score(number: Number) -> Mapping[str, Any]:
    facts = {"stderr": number.stderr, "examples": number.examples, "published": number.reference}
    if number.value is not None and number.reference is not None:
        facts["difference"] = number.value - number.reference
    known = {key: fact for key, fact in facts.items() if fact is not None}
    return {"name": number.score, "value": number.value, **known}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="a study's folder")
    for folder in parser.parse_args().folder:
        for file in record(folder):
            print(file)
