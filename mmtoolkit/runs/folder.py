"""The files of a run folder that are plain data, read and checked. Neither PyTorch nor a plugin is needed for it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from mmtoolkit.base.better import Better
from mmtoolkit.base.errors import UserError
from mmtoolkit.base.yaml12 import read_yaml


class _Part(BaseModel):
    """What a part of a file must hold; it may hold more."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Versions(_Part):
    mmtoolkit: str
    torch: str
    python: str


class _Plugin(_Part):
    name: str
    distribution: str
    checksum: str | None


class _Times(_Part):
    started: str
    finished: str | None


class _Record(_Part):
    versions: _Versions
    plugins: list[_Plugin]
    command: str
    seed: int
    device_name: str
    precision: str
    threads: int
    git: str | None
    data: dict[str, str]
    times: _Times


class _Maker(_Part):
    """The part of run.json that every version writes."""

    class Versions(_Part):
        mmtoolkit: str

    versions: Versions


class _Result(_Part):
    target: list[str]
    given: list[str]
    proposal: list[str] | None = None
    metric: str | None = None
    better: Better | None = None
    value: float | None = None
    stderr: NonNegativeFloat | None = None
    baseline: float | None = None
    examples: NonNegativeInt | None = None


class _Score(_Part):
    kind: str
    options: dict[str, Any]
    split: str
    results: list[_Result]
    notes: list[str]


class _Evaluation(_Part):
    scores: list[_Score]


class _Parameters(_Part):
    total: int
    inference: int


class _Training(_Part):
    epochs: int
    kept_epoch: int
    reason: str


class _Results(_Evaluation):
    name: str
    parameters: _Parameters
    training: _Training


class _Epoch(_Part):
    epoch: int
    loss: float
    terms: dict[str, float]
    validation: float | None
    seconds: float
    rows_per_second: float


class _Split(_Part):
    rows: NonNegativeInt
    missing: dict[str, float | None]


class _Data(_Part):
    splits: dict[str, _Split]
    notes: list[str]


class _Latent(_Part):
    split: str
    rows: list[int]
    means: list[list[float]]
    shades: dict[str, list[float | str | None]]

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        lengths = {len(self.rows), len(self.means), *map(len, self.shades.values())}
        if len(lengths) > 1 or len(set(map(len, self.means))) > 1:
            raise ValueError("its lists are not of one length")
        return self


class _Picture(_Part):
    file: str
    name: str
    title: str
    text: str
    evaluator: NonNegativeInt | None


class _Pictures(_Part):
    pictures: list[_Picture]


class _Declared(_Part):
    name: str
    data: dict[str, Any]
    modalities: dict[str, dict[str, Any]]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: list[dict[str, Any]]


_MEND = "mend it, or train the run again"


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run, finished or not."""
    return os.path.exists(folder / "schema.yaml")  # False, where Path's own raises, for a name too long


def resume_command(folder: Path, plugin_files: Sequence[str | Path] = ()) -> str:
    """What to type to go on with a run, which writes anew all that follows from the checkpoint."""
    files = [word for file in plugin_files for word in ("--plugin", str(file))]
    return shlex.join(["mmt", *files, "run", str(folder / "schema.yaml"), "--out", str(folder), "--resume"])


def read_record(folder: Path) -> dict[str, Any]:
    """What a run's run.json holds, whether it is finished or not.

    Raises:
        UserError: the folder holds no run, or that of a version whose runs mean something else; the file is damaged.
    """
    if not holds_run(folder):
        hint = "give the folder that `mmt run` wrote"
        if not os.path.exists(folder):
            raise UserError(f"{folder}: there is no such folder; {hint}")
        fault = "holds no run (there is no schema.yaml in it)" if folder.is_dir() else "is no folder"
        raise UserError(f"{folder}: {fault}; {hint}")
    path = folder / "run.json"
    remedy = f"train it again with `{shlex.join(['mmt', 'run', str(folder / 'schema.yaml'), '--out'])} FOLDER`"
    text = _bytes(path, remedy)
    made_by, this = _checked(path, text, _Maker, remedy)["versions"]["mmtoolkit"], metadata.version("mmtoolkit")
    if _series(made_by) not in (_series(this), *_OLDER):
        raise UserError(f"{folder}: was made by mmtoolkit {made_by}, this is {this}; use that version, or {remedy}")
    return _checked(path, text, _Record, remedy)


_OLDER = (["0", "1"],)
"""The older series whose runs this one reads."""


def _series(version: str) -> list[str]:
    """What versions have in common that read each other's runs: the minor version too before 1.0."""
    parts = version.split(".")
    return parts[:2] if parts[0] == "0" else parts[:1]


def read_finished_record(folder: Path) -> dict[str, Any]:
    """What a finished run's run.json holds.

    Raises:
        UserError: as `read_record`, or the run is not finished.
    """
    record = read_record(folder)
    if record["times"]["finished"] is None:
        files = [plugin["distribution"] for plugin in record["plugins"] if plugin["checksum"]]
        raise UserError(f"{folder}: is not finished; go on with `{resume_command(folder, files)}`")
    return record


def read_results(folder: Path) -> dict[str, Any]:
    """What a finished run's results.json holds.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "results.json", _written_again(folder)
    return _checked(path, _bytes(path, remedy), _Results, remedy)


def read_history(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """What history.jsonl holds: a line for each of the epochs.

    Raises:
        UserError: it is missing or damaged, or has lines of other epochs.
    """
    path, remedy = folder / "history.jsonl", _written_again(folder)
    lines = [_checked(path, line, _Epoch, remedy) for line in _bytes(path, remedy).splitlines()]
    if [line["epoch"] for line in lines] != list(range(1, epochs + 1)):
        raise UserError(f"{path}: is damaged: it has not one line for each of {epochs} epochs; {remedy}")
    return lines


def read_data(folder: Path) -> dict[str, Any]:
    """What a finished run's data.json holds: the rows of its data and what is missing of them.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "data.json", _written_again(folder)
    return _checked(path, _bytes(path, remedy), _Data, remedy)


def read_latent(folder: Path) -> dict[str, Any]:
    """What a finished run's latent.json holds: where rows lie in the latent space, and what can colour them.

    Raises:
        UserError: it is missing or damaged.
    """
    path, remedy = folder / "latent.json", _written_again(folder)
    return _checked(path, _bytes(path, remedy), _Latent, remedy)


def read_pictures(folder: Path) -> list[dict[str, Any]]:
    """What figures.json lists: for each picture `file`, `name`, `title`, `text`, and the place of its `evaluator`.

    Pictures whose files were removed are left out. Of a run of 0.1, which has no such list, the pictures that there
    are, by their names alone.

    Raises:
        UserError: it is damaged.
    """
    path, remedy = folder / "figures.json", _written_again(folder)
    if not path.exists():
        stems = sorted(file.stem for file in (folder / "figures").glob("*.png"))
        named = ((stem, stem.replace("_", " ")) for stem in stems)
        return [
            {"file": f"{stem}.png", "name": stem, "title": title, "text": "", "evaluator": None}
            for stem, title in named
        ]
    pictures: list[dict[str, Any]] = _checked(path, _bytes(path, remedy), _Pictures, remedy)["pictures"]
    return [picture for picture in pictures if (folder / "figures" / picture["file"]).exists()]


def read_evaluation(path: Path) -> list[dict[str, Any]]:
    """The scores of an evaluation, RUN/evaluations/N.json.

    Raises:
        UserError: it is missing or damaged.
    """
    remedy = "score the run again with `mmt evaluate`"
    scores: list[dict[str, Any]] = _checked(path, _bytes(path, remedy), _Evaluation, remedy)["scores"]
    return scores


def check_result(result: Mapping[str, Any]) -> None:
    """Raise a `ValueError` where a result of an evaluator is not what results.json may hold."""
    try:
        text = json.dumps(result, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"it is no plain data, {error}") from error
    try:
        _Result.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(_first(error)) from error


def schema_text(folder: Path) -> str:
    """A run's schema.yaml as it is written.

    Raises:
        UserError: it is missing or is no text.
    """
    path = folder / "schema.yaml"
    try:
        return _bytes(path, _MEND).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is damaged: it is not UTF-8 text (byte {error.start}); {_MEND}") from error


def read_declared(folder: Path) -> dict[str, Any]:
    """What a run's schema.yaml holds, as plain data: no plugin is asked what it means.

    Raises:
        UserError: it is missing or damaged.
    """
    path, text = folder / "schema.yaml", schema_text(folder)
    try:
        declared: dict[str, Any] = read_yaml(text, str(path)).data
    except UserError as error:  # its remedies are for a schema that somebody writes
        raise UserError(f"{error.faults[0].rsplit('; ', 1)[0]}; {_MEND}") from error
    try:
        _Declared.model_validate(declared)
    except ValidationError as error:
        raise UserError(f"{path}: is damaged: {_first(error)}; {_MEND}") from error
    return declared


def _written_again(folder: Path) -> str:
    return f"have it written again with `{resume_command(folder)}`"


def _bytes(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; {remedy}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; mend that, or {remedy}") from error


def _checked(path: Path, text: bytes, part: type[_Part], remedy: str) -> dict[str, Any]:
    """The data of a JSON file, where it holds what it must."""
    try:
        part.model_validate_json(text)
    except ValidationError as error:
        raise UserError(f"{path}: is damaged: {_first(error)}; {remedy}") from error
    data: dict[str, Any] = from_json(text)
    return data


def _first(error: ValidationError) -> str:
    """The first fault, with the place where it stands."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "model_type":
        return ": ".join([*_places(first["loc"]), "it is no mapping"])
    return ": ".join([*_places(first["loc"]), first["msg"][0].lower() + first["msg"][1:]])


def _places(loc: Sequence[str | int]) -> list[str]:
    return [".".join(map(str, loc))] if loc else []
