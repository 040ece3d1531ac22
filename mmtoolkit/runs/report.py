"""Writes a run's report from the files of its folder: one self-contained HTML file."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import write_text
from mmtoolkit.base.score_names import entry_name, names_in_table
from mmtoolkit.base.words import short_listing
from mmtoolkit.catalogue.models import find_run, refuse_packed
from mmtoolkit.runs.cross_modal import matrix
from mmtoolkit.runs.folder import (
    read_finished_record,
    read_pictures,
    resume_command,
    schema_text,
)
from mmtoolkit.runs.pictures import ROWS_OF_DATA
from mmtoolkit.runs.report_head import head_of, templates
from mmtoolkit.runs.scores import score_columns

_QUALITY = 90
_FEW_COLOURS = 256
_LARGEST_WEBP = 16_383  # pixels a side


def _with_relative(score: dict[str, Any]) -> dict[str, Any]:
    """Add to each result of a score its value divided by its baseline, if it has one."""
    results = []
    for result in score["results"]:
        value, baseline = result.get("value"), result.get("baseline")
        relative = value / baseline if value is not None and baseline else None
        results.append({**result, "relative": relative})
    return {**score, "results": results}


def _as_table(score: dict[str, Any], modalities: Sequence[str]) -> dict[str, Any]:
    """Add to a score what its table has: names, columns, and a matrix if it has one."""
    results = score["results"]
    given, names = names_in_table(results)
    return {
        **score,
        "given": given,
        "names": names,
        "columns": score_columns(results),
        "matrix": matrix(results, modalities),
    }


def _pictures(folder: Path) -> list[dict[str, Any]]:
    """The run's pictures in order, as WebP."""
    return [{**entry, "source": _source(folder, entry["file"])} for entry in read_pictures(folder)]


def _source(folder: Path, file: str) -> str:
    """A picture as a data URL. Words, of few colours, are exact in the least space; all else is nearly so."""
    from PIL import Image

    path, packed = folder / "figures" / file, io.BytesIO()
    try:
        with Image.open(path) as picture:
            if max(picture.size) > _LARGEST_WEBP:
                return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
            colours = picture.convert("RGB")
            if colours.getcolors(_FEW_COLOURS):
                colours.save(packed, format="webp", lossless=True, quality=0, method=0)
            else:
                colours.save(packed, format="webp", quality=_QUALITY, method=2)
    except (OSError, SyntaxError) as error:  # Pillow raises both for a damaged file
        remedy = f"draw it again with `{resume_command(folder)}`, or remove it"
        raise UserError(f"{path}: cannot be read as a picture; {remedy}") from error
    return f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"


def write_report(folder: Path | str) -> Path:
    """Write report.html from the run folder's results, history, figures and schema. This does not read the data.

    Raises:
        UserError: the folder holds no finished run, or a packed one.
    """
    folder = find_run(folder)
    read_finished_record(folder)
    refuse_packed(folder, "report")
    return report_of(folder)


def report_of(folder: Path) -> Path:
    """Write report.html like `write_report`, for a run that may still lack its finish time."""
    head = head_of(folder)
    results = head["results"]
    scores = [_with_relative(score) for score in results["scores"]]
    scores = [_as_table(score, head["names"]) for score in scores]
    pictures = _pictures(folder)
    html = (
        templates()
        .get_template("report.html.jinja")
        .render(
            head,
            scores=scores,
            schema=schema_text(folder),
            rows_of_data=next((picture for picture in pictures if picture["name"] == ROWS_OF_DATA), None),
            pictures=[picture for picture in pictures if picture["name"] != ROWS_OF_DATA],
            entry_name=entry_name,
            listed=short_listing,
            folder=shlex.quote(str(folder)),
            most=None,
        )
    )
    write_text(folder / "report.html", html)
    return folder / "report.html"
