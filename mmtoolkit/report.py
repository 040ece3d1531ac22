"""The report of a run: one self-contained HTML file, made of what the run folder holds."""

from __future__ import annotations

import base64
import io
import re
import shlex
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mmtoolkit.cross_modal import from_others, matrix
from mmtoolkit.errors import UserError
from mmtoolkit.files import write_text
from mmtoolkit.run_folder import (
    read_data,
    read_declared,
    read_finished_record,
    read_history,
    read_latent,
    read_results,
    resume_command,
    schema_text,
)

_MOST_NAMES = 4
# What the entry's name says, and what the evaluator's options say.
_HIDDEN = {"target", "given", "proposal", "metric", "samples", "marginal"}

# Titles and captions by file name, in the order of the report; the text says what to look for.
_CAPTIONS = {
    "cells": (
        "Rows of the data",
        "Training rows as the networks get them, a column each, from the first to the last evenly.",
    ),
    "learning_curves": (
        "Learning curves",
        "The training loss, the validation bound and each part of the loss, summed over the terms of a row and "
        "averaged over rows, in nats. β, the weight of the KL divergence, rises over the warm-up.",
    ),
    "samples": (
        "Samples from the prior",
        "z is drawn from N(0, I); what every modality makes of one draw stands in one column, or below one picture.",
    ),
    r"given_(\d+)_.*": (
        "Samples given {}",
        "Each line fixes one value of {}, draws z from q(z | that value) and shows what another modality makes of it: "
        "it should be of the value in every column, and differ between columns in all else.",
    ),
    "from_all": (
        "Everything from everything",
        "Rows of the data, a column each. z is the mean of q(z | all that is marked as given). Each given stands over "
        "its reconstruction: what is lost between the two, z does not hold.",
    ),
    r"from_(\d+)_.*": (
        "Everything from {}",
        "Rows of the data, a column each; where {} has few values, rows with different ones. z is the mean of "
        "q(z | {} alone). First {} over its reconstruction, then each other modality as predicted from it, over the "
        "row's own value, which the model was not shown: where the two agree, {} tells of it.",
    ),
    "latent": (
        "The latent space",
        "The mean of q(z | all that a row has), of up to 2,000 rows of the split that is scored, in the two dimensions "
        "in which these means vary most. Where colours keep apart, z tells of that column; what is missing is grey. "
        "`mmt report RUN --colour COLUMN` colours it by another, and `--projection umap` draws it by UMAP.",
    ),
}
_QUALITY = 90


def number(value: Any) -> str:
    """A score in a table: four decimals below ten, else two; an integer with commas; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def entry_name(result: dict[str, Any]) -> str:
    """`label from image: accuracy`; of a density `log p(label | image), z from image`."""
    target, given = _listed(result["target"]), _listed(result["given"])
    if "proposal" in result:
        return f"log p({target}{given and f' | {given}'}), z from {_listed(result['proposal']) or 'the prior'}"
    metric = f": {result['metric']}" if result.get("metric") else ""
    return f"{target} from {given or 'nothing'}{metric}"


def _listed(names: Sequence[str]) -> str:
    """The names; of many the first and how many they are."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMES - 1])}, … ({len(names)})"


def score_columns(results: list[dict[str, Any]]) -> list[str]:
    """The columns of an evaluator's results: those that say something in some row."""
    order = ["value", "stderr", "baseline", "relative", "neighbours", "examples"]
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


def _caption(stem: str, modalities: list[str]) -> tuple[int, str, str]:
    """The place of a figure in the report, its title and its text."""
    for place, (pattern, words) in enumerate(_CAPTIONS.items()):
        if match := re.fullmatch(pattern, stem):
            name = "".join(modalities[int(number)] for number in match.groups())
            title, text = (part.replace("{}", name) for part in words)
            return place, title, text
    # An evaluator's: its place and the figure's number come first.
    return len(_CAPTIONS), re.sub(r"^\d+_\d+_", "", stem).replace("_", " ").replace("-", ": "), ""


def _figures(folder: Path, modalities: list[str]) -> dict[str, dict[str, str]]:
    """The run's figures by file name, in order, as WebP: a third of the size, and hardly another picture."""
    from PIL import Image

    found = []
    for path in sorted((folder / "figures").glob("*.png")):
        place, title, text = _caption(path.stem, modalities)
        file = io.BytesIO()
        try:
            with Image.open(path) as picture:
                picture.convert("RGB").save(file, format="webp", quality=_QUALITY)
        except (OSError, SyntaxError) as error:  # Pillow has both for a damaged file
            remedy = f"have it drawn again with `{resume_command(folder)}`, or remove it"
            raise UserError(f"{path}: is no picture that can be read; {remedy}") from error
        data = base64.b64encode(file.getvalue()).decode("ascii")
        found.append((place, path.stem, {"title": title, "text": text, "source": f"data:image/webp;base64,{data}"}))
    return {stem: figure for _, stem, figure in sorted(found, key=lambda entry: entry[0])}


def redraw_latent_space(folder: Path | str, colours: Sequence[str] = (), projection: str = "pca") -> None:
    """Draw the picture of the latent space anew, from what the run folder holds.

    Args:
        folder: the run folder.
        colours: the columns that colour its points; those that the run has chosen where left out.
        projection: pca or umap.

    Raises:
        UserError: the folder holds no finished run, there is no such column, or UMAP is not installed.
    """
    from mmtoolkit.figures.files import save_figure
    from mmtoolkit.figures.latent import latent_space

    folder = Path(folder)
    read_finished_record(folder)
    latent = read_latent(folder)
    if not latent["means"]:
        raise UserError(
            f"{folder}: no row of {latent['split']} has anything that z is inferred from; there is no picture"
        )
    save_figure(latent_space(latent, colours, projection), folder / "figures" / "latent.png")


def write_report(folder: Path | str) -> Path:
    """Write report.html from the run folder's results, history, figures and schema; the data is not touched.

    Raises:
        UserError: the folder holds no finished run.
    """
    import jinja2

    folder = Path(folder)
    record, results, declared = read_finished_record(folder), read_results(folder), read_declared(folder)
    data, names = read_data(folder), list(declared["modalities"])
    history = read_history(folder, results["training"]["epochs"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": number, "share": lambda value: "" if value is None else f"{value:.1%}"}
    template = environment.from_string(
        resources.files("mmtoolkit").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    scores = [_with_relative(score) for score in results["scores"]]
    scores = [
        {**score, "columns": score_columns(score["results"]), "matrix": matrix(score["results"], names)}
        for score in scores
    ]
    figures = _figures(folder, names)
    html = template.render(
        results=results,
        scores=scores,
        record=record,
        schema=schema_text(folder),
        seconds=sum(line["seconds"] for line in history),
        speed=history[-1]["rows_per_second"],
        data=data,
        kinds={name: modality["kind"] for name, modality in declared["modalities"].items()},
        from_others=from_others(results["scores"], names),
        rows_shown=figures.pop("cells", None),
        figures=list(figures.values()),
        entry_name=entry_name,
        listed=_listed,
        folder=shlex.quote(str(folder)),
    )
    write_text(folder / "report.html", html)
    return folder / "report.html"
