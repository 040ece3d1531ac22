"""Reads and checks the plain files of a run folder, without PyTorch and without plugins."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import did_you_mean
from mmtoolkit.base.yaml12 import read_yaml
from mmtoolkit.catalogue.models import models
from mmtoolkit.runs.contents import (
    Content,
    DataFile,
    EvaluationFile,
    HistoryLine,
    LatentFile,
    PicturesFile,
    RecordFile,
    ResultEntry,
    ResultsFile,
    SchemaFile,
    VersionOfRecord,
)

_OLDER = (["0", "1"],)
"""The older series of versions whose runs this version reads."""
ELSEWHERE = "trained_elsewhere"
"""The key of run.json that is true in a run whose networks were trained in another loop than ours."""
_MEND = "mend it, or train the run again"


TO_USE = (
    "schema.yaml",
    "run.json",
    "weights.safetensors",
    "baselines.safetensors",
    "results.json",
    "data.json",
    "history.jsonl",
)
"""The files that using a run takes, without its checkpoint, pictures and report."""

UNWATCHED = "train.watch=[]"
"""The override with which you read a run's schema to use or to resume the run: its watchers need not be installed."""


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return os.path.exists(folder / "schema.yaml")  # Path.exists raises if a name is too long


def resume_command(folder: Path, plugin_files: Sequence[str | Path] = ()) -> str:
    """The command that resumes a run. It writes again every file that follows from the checkpoint."""
    files = [word for file in plugin_files for word in ("--plugin", str(file))]
    return shlex.join(["mmt", *files, "run", str(folder / "schema.yaml"), "--out", str(folder), "--resume"])


def read_record(folder: Path) -> dict[str, Any]:
    """Read the run.json of a run, finished or not.

    Raises:
        UserError: the folder holds no run, another version wrote it in another format, or the file is damaged.
    """
    if not holds_run(folder):
        hint = "give the folder that `mmt run` wrote"
        if not os.path.exists(folder):
            if len(folder.parts) > 1:
                raise UserError(f"{folder}: there is no such folder; {hint}")
            near = did_you_mean(folder.name, list(models()))
            raise UserError(
                f"{folder}: there is no such folder, and no such model in the catalogue{near}; {hint}, or a name from "
                "`mmt list models`"
            )
        fault = "holds no run (there is no schema.yaml in it)" if folder.is_dir() else "is not a folder"
        raise UserError(f"{folder}: {fault}; {hint}")
    path = folder / "run.json"
    remedy = f"train it again with `{shlex.join(['mmt', 'run', str(folder / 'schema.yaml'), '--out'])} FOLDER`"
    text = _read_bytes(path, remedy)
    made_by, this = _parse(path, text, VersionOfRecord, remedy)["versions"]["mmtoolkit"], metadata.version("mmtoolkit")
    if _series(made_by) not in (_series(this), *_OLDER):
        raise UserError(f"{folder}: was made by mmtoolkit {made_by}, this is {this}; use that version, or {remedy}")
    return _parse(path, text, RecordFile, remedy)


def _series(version: str) -> list[str]:
    """The parts of a version that must agree to read a run: the major version, and the minor one before 1.0."""
    parts = version.split(".")
    return parts[:2] if parts[0] == "0" else parts[:1]


def read_finished_record(folder: Path) -> dict[str, Any]:
    """Read the run.json of a finished run.

    Raises:
        UserError: as `read_record`, or the run is not finished.
    """
    record = read_record(folder)
    if record["times"]["finished"] is None:
        files = [plugin["distribution"] for plugin in record["plugins"] if plugin["checksum"]]
        raise UserError(f"{folder}: is not finished; resume it with `{resume_command(folder, files)}`")
    return record


def read_results(folder: Path) -> dict[str, Any]:
    """Read the results.json of a finished run.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "results.json", _rewrite_remedy(folder)
    return _parse(path, _read_bytes(path, remedy), ResultsFile, remedy)


def read_history(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """Read history.jsonl: one line an epoch.

    Raises:
        UserError: it is missing or damaged, or its lines are not those of the epochs.
    """
    path, remedy = folder / "history.jsonl", _rewrite_remedy(folder)
    lines = [_parse(path, line, HistoryLine, remedy) for line in _read_bytes(path, remedy).splitlines()]
    if [line["epoch"] for line in lines] != list(range(1, epochs + 1)):
        raise UserError(f"{path}: is damaged: it must have one line for each of {epochs} epochs; {remedy}")
    return lines


def read_data(folder: Path) -> dict[str, Any]:
    """Read the data.json of a finished run: how many rows each split has, and which share lacks each modality.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "data.json", _rewrite_remedy(folder)
    return _parse(path, _read_bytes(path, remedy), DataFile, remedy)


def read_latent(folder: Path) -> dict[str, Any]:
    """Read the latent.json of a finished run: where rows lie in the latent space, and what can colour them.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "latent.json", _rewrite_remedy(folder)
    return _parse(path, _read_bytes(path, remedy), LatentFile, remedy)


def read_pictures(folder: Path) -> list[dict[str, Any]]:
    """Read figures.json: for each picture `file`, `name`, `title`, `text`, and the place of its `evaluator`.

    Pictures whose files you removed are left out. Runs of 0.1 have no figures.json: the answer then lists the files
    there are, with titles from their names.

    Raises:
        UserError: it is damaged.
    """
    path, remedy = folder / "figures.json", _rewrite_remedy(folder)
    if not path.exists():
        stems = sorted(file.stem for file in (folder / "figures").glob("*.png"))
        named = ((stem, stem.replace("_", " ")) for stem in stems)
        return [
            {"file": f"{stem}.png", "name": stem, "title": title, "text": "", "evaluator": None}
            for stem, title in named
        ]
    pictures: list[dict[str, Any]] = _parse(path, _read_bytes(path, remedy), PicturesFile, remedy)["pictures"]
    return [picture for picture in pictures if (folder / "figures" / picture["file"]).exists()]


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read an evaluation, RUN/evaluations/N.json: its scores, and its `run` if that is another one than RUN.

    Raises:
        UserError: it is missing or damaged.
    """
    remedy = "score the run again with `mmt evaluate`"
    return _parse(path, _read_bytes(path, remedy), EvaluationFile, remedy)


def check_result(result: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if results.json cannot hold this result of an evaluator."""
    try:
        text = json.dumps(result, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"it is no plain data, {error}") from error
    try:
        ResultEntry.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(_fault_text(error)) from error


def schema_text(folder: Path) -> str:
    """Read the text of a run's schema.yaml.

    Raises:
        UserError: it is missing or is not text.
    """
    path = folder / "schema.yaml"
    try:
        return _read_bytes(path, _MEND).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is damaged: it is not UTF-8 text (byte {error.start}); {_MEND}") from error


def read_declared(folder: Path) -> dict[str, Any]:
    """Read a run's schema.yaml as plain data, without asking plugins what it means.

    Raises:
        UserError: it is missing or damaged.
    """
    path, text = folder / "schema.yaml", schema_text(folder)
    try:
        declared: dict[str, Any] = read_yaml(text, str(path)).data
    except UserError as error:  # its remedies are for a schema that you write
        raise UserError(f"{error.faults[0].rsplit('; ', 1)[0]}; {_MEND}") from error
    try:
        SchemaFile.model_validate(declared)
    except ValidationError as error:
        raise UserError(f"{path}: is damaged: {_fault_text(error)}; {_MEND}") from error
    return declared


def _rewrite_remedy(folder: Path) -> str:
    return f"write it again with `{resume_command(folder)}`"


def _read_bytes(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; mend that, or {remedy}") from error


def _parse(path: Path, text: bytes, part: type[Content], remedy: str) -> dict[str, Any]:
    """Parse a JSON file, and raise if it does not hold what it must."""
    try:
        part.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: is damaged: {_fault_text(error)}; {remedy}") from error
    data: dict[str, Any] = from_json(text)
    return data


def _fault_text(error: ValidationError) -> str:
    """The first fault and its place."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "model_type":
        return ": ".join([*_places(first["loc"]), "it is not a mapping"])
    return ": ".join([*_places(first["loc"]), first["msg"][0].lower() + first["msg"][1:]])


def _places(loc: Sequence[str | int]) -> list[str]:
    return [".".join(map(str, loc))] if loc else []
