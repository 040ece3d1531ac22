"""The report of a run: one self-contained HTML file, made of what the run folder holds."""

from __future__ import annotations

import base64
import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Any

from mmtoolkit.errors import UserError
from mmtoolkit.files import write_text
from mmtoolkit.yaml12 import read_yaml

_MOST_NAMES = 4
_HIDDEN = {"target", "given", "metric"}

# Captions by file name; the text says what to look for.
_CAPTIONS = {
    "learning_curves": (
        "Learning curves",
        "The training loss, the validation bound and each part of the loss, summed over the terms of a row and "
        "averaged over rows, in nats. β, the weight of the KL divergence, rises over the warm-up.",
    ),
    "samples": (
        "Samples from the prior",
        "z is drawn from N(0, I); each panel shows what every modality makes of it.",
    ),
    "reconstructions": (
        "Reconstructions",
        "Rows of the data, and under each what the model makes of everything that the row has.",
    ),
    "cross_modal": (
        "Any modality from any other",
        "The first line is the data. In each other line z is the mean of q(z | given), and every modality is "
        "predicted from it.",
    ),
}


def number(value: Any) -> str:
    """A score in a table: four decimals below ten, else two; an integer with commas; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def entry_name(result: dict[str, Any]) -> str:
    """`label from image: accuracy`."""
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{_listed(result['target'])} from {_listed(result['given']) or 'nothing'}{metric}"


def _listed(names: list[str]) -> str:
    """The names; of many the first and how many they are."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMES - 1])}, … ({len(names)})"


def score_columns(results: list[dict[str, Any]]) -> list[str]:
    """The columns of an evaluator's results: those that say something in some row."""
    order = ["value", "stderr", "baseline", "relative", "examples"]
    keys = dict.fromkeys(order) | dict.fromkeys(key for result in results for key in result)
    said = [key for key in keys if key not in _HIDDEN and any(r.get(key) is not None for r in results)]
    return [key for key in said if key != "incomplete" or any(r.get(key) for r in results)]


def _with_relative(score: dict[str, Any]) -> dict[str, Any]:
    """The same score with each value over its baseline, where there is one."""
    results = []
    for result in score["results"]:
        value, baseline = result.get("value"), result.get("baseline")
        relative = value / baseline if value is not None and baseline else None
        results.append({**result, "relative": relative})
    return {**score, "results": results}


def _caption(stem: str, modalities: list[str]) -> tuple[str, str]:
    if stem in _CAPTIONS:
        return _CAPTIONS[stem]
    if given := re.match(r"given_(\d+)_", stem):
        return (
            f"Samples given {modalities[int(given[1])]}",
            "Each line fixes one value, draws z from q(z | that value) and shows what the other modalities make of it.",
        )
    return stem.replace("_", " ").replace("-", ": "), ""


def _figures(folder: Path, modalities: list[str]) -> list[dict[str, str]]:
    order = [*_CAPTIONS]
    paths = sorted(
        (folder / "figures").glob("*.png"),
        key=lambda path: (order.index(path.stem) if path.stem in order else 1.5, path.stem),
    )
    figures = []
    for path in paths:
        title, text = _caption(path.stem, modalities)
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        figures.append({"title": title, "text": text, "source": f"data:image/png;base64,{data}"})
    return figures


def write_report(folder: Path | str) -> Path:
    """Write report.html from the run folder's results, history, figures and schema; the data is not touched.

    Raises:
        UserError: the folder holds no finished run.
    """
    import jinja2

    folder = Path(folder)
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        schema = (folder / "schema.yaml").read_text(encoding="utf-8")
        history = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is not there; {folder} holds no finished run") from error
    except ValueError as error:
        raise UserError(f"{folder}: holds a damaged run: {error}; train it again") from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    template = environment.from_string(
        resources.files("mmtoolkit").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    lines = [json.loads(line) for line in history]
    scores = [_with_relative(score) for score in results["scores"]]
    scores = [{**score, "columns": score_columns(score["results"])} for score in scores]
    html = template.render(
        results=results,
        scores=scores,
        record=record,
        schema=schema,
        seconds=sum(line["seconds"] for line in lines),
        speed=lines[-1]["rows_per_second"] if lines else None,
        figures=_figures(folder, list(read_yaml(schema, "schema.yaml").data["modalities"])),
        entry_name=entry_name,
        folder=shlex.quote(str(folder)),
    )
    write_text(folder / "report.html", html)
    return folder / "report.html"
